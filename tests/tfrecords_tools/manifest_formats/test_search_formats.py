"""What tools that download results of searches leave on disk."""

import io
import json

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from tests.tfrecords_tools.conftest import read_all
from tests.tfrecords_tools.manifest_formats.manifest_files import (
    ONE_WORKER,
    class_lines,
    columns,
    left_out,
    make,
    put,
    text,
)
from tfrecords_tools.convert_images import convert_images

QUERIES = "query,label,language\ndog,dog,en\nperro,dog,es\ncat,cat,en\n"
# Key, query, caption and status of the rows of two shards.
ROWS = {
    "00000": [
        ("000000001", "dog", "my pet", "success"),
        ("000000000", "cat", "a cat", "success"),
        ("000000002", "perro", "", "failed_to_download"),
        ("000000003", "perro", None, "success"),
    ],
    "00001": [
        ("000010000", "cat", "no dog", "failed_to_resize"),
        ("000010001", None, "what?", "success"),
        ("000010002", "cat", "lost", "success"),
    ],
}


def picture(key):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 32), (int(str(key)[-3:]), 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def download(root, inside, rows=None):
    """Writes files as img2dataset does; those of "000010002" are lost."""
    for shard, entries in (rows or ROWS).items():
        table = {
            "query": [query for _, query, _, _ in entries],
            "caption": [caption for *_, caption, _ in entries],
            "url": [f"https://a.b/{key}.gif" for key, *_ in entries],
            "key": [key for key, *_ in entries],
            "status": [status for *_, status in entries],
            "width": [40 if row[-1] == "success" else None for row in entries],
            "sha256": ["0" * 64 for _ in entries],
        }
        images = [picture(k) if s == "success" else None for k, *_, s in entries]
        if inside:
            table["png"] = pa.array(images, pa.binary())
        root.mkdir(exist_ok=True)
        pyarrow.parquet.write_table(pa.table(table), root / f"{shard}.parquet")
        text(root, f"{shard}_stats.json", json.dumps({"count": len(entries)}))
        for (key, *_), content in zip(entries, images, strict=True):
            if content and not inside and key != "000010002":
                put(root, content, f"{shard}/{key}.png")
                text(root, f"{shard}/{key}.txt", "caption")
                text(root, f"{shard}/{key}.json", "{}")


def converted(tmp_path):
    """The label and the first pixel's red of each clip, by media id."""
    convert_images(
        str(tmp_path / "classes.txt"),
        str(tmp_path / "clips"),
        str(tmp_path / "root"),
        str(tmp_path / "web.csv"),
        run=ONE_WORKER,
    )
    _, by_id = read_all(tmp_path / "clips")
    return {
        clip.media_id: (
            clip.label_name,
            Image.open(io.BytesIO(clip.frames[0])).getpixel((0, 0))[0],
        )
        for clip in by_id.values()
    }


@pytest.mark.parametrize("inside", [False, True], ids=["files", "parquet"])
def test_images_of_img2dataset_keep_their_query(tmp_path, inside):
    download(tmp_path / "root", inside)
    settings = {"query_column": "query", "extract_images": inside}
    settings["queries"] = text(tmp_path, "queries.csv", QUERIES)
    summary, rows = make(tmp_path, "img2dataset", **settings)
    assert class_lines(tmp_path) == ["cat", "dog"]
    expected = {
        "00000/000000001.png": "dog",
        "00000/000000000.png": "cat",
        "00000/000000003.png": "dog",
    }
    lost = {}
    if inside:
        expected["00001/000010002.png"] = "cat"
    else:
        lost = {"000010002": "missing"}
    found = columns(rows, "video", "media_id", "label")
    assert found == [(name, name, label) for name, label in expected.items()]
    assert (
        left_out(tmp_path)
        == {
            "000000002": "failed_to_download",
            "000010000": "failed_to_resize",
            "000010001": "no query",
        }
        | lost
    )
    assert summary.counts[""]["in manifest"] == len(expected)
    pixels = converted(tmp_path)
    assert {name: label for name, (label, _) in pixels.items()} == expected
    for name, (_, red) in pixels.items():
        assert abs(red - int(name[-7:-4])) <= 2
    # Nothing is extracted that does not enter the manifest.
    assert not (tmp_path / "root" / "00001" / "000010001.png").exists() or not inside


def test_the_caption_may_be_the_query(tmp_path):
    shard = [("000000000", "x", "making pizza", "success")]
    download(tmp_path / "root", False, {"00000": shard})
    _, rows = make(tmp_path, "img2dataset")
    assert columns(rows, "label") == [("making pizza",)]


@pytest.mark.parametrize(
    ("inside", "settings", "message"),
    [
        (True, {}, r"00000\.parquet holds the images itself.*--extract_images"),
        (False, {"query_column": "q"}, r"no column 'q', found \['query'.*--query_col"),
        (False, {"queries": True}, r"00000\.parquet: the query 'my pet' is not in"),
    ],
)
def test_what_img2dataset_leaves_open_is_asked(tmp_path, inside, settings, message):
    download(tmp_path / "root", inside)
    if "queries" in settings:
        settings = {"queries": text(tmp_path, "queries.csv", QUERIES)}
    with pytest.raises(ValueError, match=message):
        make(tmp_path, "img2dataset", **settings)
    assert not (tmp_path / "web.csv").exists()
    assert not (tmp_path / "root" / "00000" / "000000001.png").exists() or not inside


def test_damaged_and_packed_shards_of_img2dataset_are_named(tmp_path):
    root = tmp_path / "root"
    put(root, b"notes", "readme.txt")
    with pytest.raises(ValueError, match=r"root holds no 00000\.parquet"):
        make(tmp_path, "img2dataset")
    put(root, b"PAR1 cut off", "00000.parquet")
    with pytest.raises(ValueError, match=r"00000\.parquet cannot be read.*made anew"):
        make(tmp_path, "img2dataset")
    shard = [("../../001", "x", "pizza", "success")]
    download(root, True, {"00000": shard})
    with pytest.raises(ValueError, match=r"names the file '\.\./\.\./001'"):
        make(tmp_path, "img2dataset", extract_images=True)
    shard = [("000000000", "x", "pizza", "success")]
    download(root, False, {"00000": shard})
    (root / "00000" / "000000000.png").unlink()
    put(root, b"tar", "00000.tar")
    with pytest.raises(ValueError, match=r"00000\.tar: the images are in archives"):
        make(tmp_path, "img2dataset")


def test_folders_of_searches_are_queries(tmp_path):
    root = tmp_path / "root"
    for number, name in enumerate(
        [
            "dog/000001.jpg",  # as icrawler has them
            "perro/000001.png",
            "cat/1. a cat.jpeg",  # google-images-download
            "cat - thumbnail/1. a cat.jpeg",
            "perro/Image_2.JFIF",  # bing_image_downloader
        ]
    ):
        put(root, picture(number), name)
    text(root, "logs/cat.json", "[]")
    queries = text(tmp_path, "queries.csv", QUERIES)
    summary, rows = make(tmp_path, "search_folders", queries=queries)
    labels = {
        "cat/1. a cat.jpeg": "cat",
        "dog/000001.jpg": "dog",
        "perro/000001.png": "dog",
        "perro/Image_2.JFIF": "dog",
    }
    assert dict(columns(rows, "video", "label")) == labels
    assert left_out(tmp_path) == {"cat - thumbnail/1. a cat.jpeg": "unused"}
    assert summary.notes == ("1 files are no videos or images, e.g. logs/cat.json",)
    assert {k: v for k, (v, _) in converted(tmp_path).items()} == labels
    put(root, picture(9), "bird/1.jpg")
    with pytest.raises(ValueError, match=r"bird/1\.jpg: the query 'bird' is not in"):
        make(tmp_path, "search_folders", queries=queries)
    _, rows = make(tmp_path, "search_folders")
    assert class_lines(tmp_path) == ["bird", "cat", "dog", "perro"]


def test_thumbnails_alone_are_the_querys_images(tmp_path):
    put(tmp_path / "root", picture(1), "cat - thumbnail/1.jpg")
    _, rows = make(tmp_path, "search_folders")
    assert columns(rows, "label") == [("cat",)]
