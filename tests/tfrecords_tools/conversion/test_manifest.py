import bz2
import os
import unicodedata

import pytest

from tfrecords_tools.conversion.manifest import (
    ManifestRow,
    path_of,
    read_ids,
    read_manifest,
)

NFC, NFD = (unicodedata.normalize(form, "crêpes ガ Å") for form in ("NFC", "NFD"))


def read(tmp_path, text, split=""):
    path = tmp_path / "web.csv"
    path.write_text(text, encoding="utf-8")
    return read_manifest(str(path), ["run", "jump"], split)


def test_rows_are_read_with_their_optional_columns(tmp_path):
    rows = read(
        tmp_path,
        "video,label,start,end,media_id\n"
        '"a b, ""c"".mp4",jump,1.5,2,x\n'
        "ünïcode.mp4,run,,,\n",
    )
    assert rows == [
        ManifestRow(2, 'a b, "c".mp4', 1, "x", 1.5, 2.0),
        ManifestRow(3, "ünïcode.mp4", 0, "ünïcode.mp4", None, None),
    ]


def test_a_row_has_one_label_or_several(tmp_path):
    head = "video,label,more_labels\n"
    rows = read(tmp_path, head + "a.mp4,run,\nb.mp4,jump,run\n")
    assert [(row.label, row.more_labels) for row in rows] == [(0, ()), (1, (0,))]
    with pytest.raises(ValueError, match=r"line 2: label 'fly' is not in the classes"):
        read(tmp_path, head + "a.mp4,run,jump|fly\n")
    with pytest.raises(ValueError, match=r"line 2: a label stands there twice: \['run"):
        read(tmp_path, head + "a.mp4,run,jump|run\n")


def test_a_split_takes_its_rows_and_an_unknown_one_lists_the_known(tmp_path):
    text = "video,label,split\na.mp4,run,train\na.mp4,run,val\nb.mp4,jump,train\n"
    assert [row.line for row in read(tmp_path, text, "train")] == [2, 4]
    with pytest.raises(ValueError, match=r"split 'test', only of \['train', 'val'\]"):
        read(tmp_path, text, "test")
    with pytest.raises(ValueError, match="column 'split' is missing"):
        read(tmp_path, "video,label\na.mp4,run\n", "train")


def test_a_byte_order_mark_does_not_belong_to_the_header(tmp_path):
    assert len(read(tmp_path, "\ufeffvideo,label\na.mp4,run\n")) == 1


def test_files_that_cannot_be_read_as_text_are_named_with_the_line(tmp_path):
    (tmp_path / "web.csv").write_bytes(b"video,label\na\xff.mp4,run\n")
    with pytest.raises(ValueError, match=r"web\.csv, line 2: not UTF-8"):
        read_manifest(str(tmp_path / "web.csv"), ["run"])
    with pytest.raises(ValueError, match=r"gone\.csv cannot be read"):
        read_manifest(str(tmp_path / "gone.csv"), ["run"])
    (tmp_path / "web.csv").write_text("video,label\na.mp4,run\n", encoding="utf-16")
    with pytest.raises(ValueError, match=r"web\.csv is text in UTF-16, expected"):
        read_manifest(str(tmp_path / "web.csv"), ["run"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video\na.mp4\n", "line 1: column 'label' is missing"),
        ("video,label\na.mp4,run\nb.mp4,walk\n", "line 3: label 'walk' is not in"),
        ("video,label\na.mp4\n", "line 2: the number of cells"),
        ("video,label\n,run\n", "line 2: the video's path is empty"),
        ("video,label,start\na.mp4,run,soon\n", "line 2: start is 'soon'"),
        ("video,label,start\na.mp4,run,-1\n", "line 2: start is '-1'"),
        ("video,label,end\na.mp4,run,nan\n", "line 2: end is 'nan'"),
        ("video,label,start,end\na.mp4,run,2,2\n", "line 2: end 2.0 is not after"),
        ("video,label\na.mp4,run\na.mp4,run\n", "line 3: .* already in line 2"),
        ('video,label\na.mp4,"run\n', "after line 1: unexpected end of data"),
        ("video,label,label\na.mp4,run,jump\n", "column 'label' stands there twice"),
        ("video,label,start,end\na,run,,2\na,run,0,2.0\n", "line 3: .* in line 2"),
        ("video,label,split\na,run,x\na,run,y\n", "line 3: .* already in line 2"),
        ("video,label\n", "lists no files"),
    ],
)
def test_every_fault_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_a_compressed_manifest_is_read(tmp_path):
    path = tmp_path / "web.csv.bz2"
    path.write_bytes(bz2.compress(b"video,label\na.mp4,jump\n"))
    rows = read_manifest(str(path), ["run", "jump"])
    assert rows == [ManifestRow(2, "a.mp4", 1, "a.mp4")]


def test_an_unknown_label_names_the_classes_file(tmp_path):
    path = tmp_path / "web.csv"
    path.write_text("video,label\na.mp4,walk\n")
    with pytest.raises(
        ValueError, match=r"label 'walk' is not in the classes file my/k200\.txt;"
    ):
        read_manifest(str(path), ["run"], classes="my/k200.txt")


def test_labels_and_ids_are_compared_composed(tmp_path):
    path = tmp_path / "web.csv"
    path.write_text(f"video,label\n{NFD}.mp4,{NFD}\nb,{NFC}\n", encoding="utf-8")
    for name in (NFC, NFD):
        rows = read_manifest(str(path), ["run", name])
        assert [(row.video, row.label) for row in rows] == [(f"{NFD}.mp4", 1), ("b", 1)]
    path.write_text(f"video,label\n{NFD},run\n{NFC},run\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 3: .* already in line 2"):
        read_manifest(str(path), ["run"])
    path.write_text(f"{NFD}\n", encoding="utf-8")
    assert read_ids(str(path)) == {NFC}


@pytest.mark.parametrize("stored", [NFC, NFD, NFC + NFD])
@pytest.mark.parametrize("listed", [NFC, NFD, NFC + NFD, NFD + NFC])
def test_a_file_is_found_by_both_forms_of_its_name(tmp_path, stored, listed):
    path = tmp_path / stored / "deep" / f"{stored}.mp4"
    path.parent.mkdir(parents=True)
    path.touch()
    found = path_of(str(tmp_path), f"{listed}/deep/{listed}.mp4")
    same = unicodedata.normalize("NFC", listed) == unicodedata.normalize("NFC", stored)
    assert os.path.exists(found) == same
    missing = path_of(str(tmp_path), f"{listed}/new")
    assert not os.path.exists(missing)
    (path.parent.parent / "new").touch()
    assert os.path.exists(path_of(str(tmp_path), f"{listed}/new")) == same


def test_of_both_forms_the_listed_one_is_taken(tmp_path, monkeypatch):
    for name in (NFC, NFD):
        (tmp_path / name).write_text(name, encoding="utf-8")
    for name in (NFC, NFD):
        with open(path_of(str(tmp_path), name), encoding="utf-8") as file:
            assert file.read() == name
    monkeypatch.chdir(tmp_path)
    assert path_of("", NFC) == NFC
    os.remove(NFC)
    assert path_of("", NFC) == NFD
    assert path_of("gs://bucket", NFC) == f"gs://bucket/{NFC}"


def test_a_folder_is_listed_once_however_many_files_are_missing(tmp_path, monkeypatch):
    (tmp_path / NFD).touch()
    listed = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or real(path))
    path_of(str(tmp_path), "plain")
    path_of(str(tmp_path), NFD)
    assert listed == []
    for number in range(100):
        path_of(str(tmp_path), f"{NFC}{number}")
    assert listed == [str(tmp_path)]


@pytest.mark.parametrize(
    "video",
    [
        "https://example.org/a.mp4",
        "http://example.org/a.mp4",
        "HTTPS://www.youtube.com/watch?v=abc",
        "ftp://example.org/a.mp4",
        "rtsp://camera/1",
        "youtube:abc",
        "www.youtube.com/watch?v=abc",
        "youtu.be/abc",
    ],
)
def test_a_url_is_refused_with_what_to_do(tmp_path, video):
    with pytest.raises(ValueError, match=r"line 3: .* is a URL.*: download the vid"):
        read(tmp_path, f"video,label\na,run\n{video},run\n")


def test_a_file_system_that_is_not_known_is_refused_with_its_line(tmp_path):
    with pytest.raises(ValueError, match="line 2: gfs://a: TensorFlow has no file sys"):
        read(tmp_path, "video,label\ngfs://a,run\n")


def test_files_and_buckets_are_no_urls(tmp_path):
    videos = ["https/a.mp4", "youtube/a.mp4", "gs://bucket/a.mp4", "www.a.org/a.mp4"]
    rows = "".join(f"{video},run\n" for video in videos)
    assert [r.video for r in read(tmp_path, f"video,label\n{rows}")] == videos
