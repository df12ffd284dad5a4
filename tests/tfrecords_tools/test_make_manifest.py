"""Each format from small files in the true form of its distribution to a dataset."""

import csv
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.conftest import counting_images, write_video
from tests.tfrecords_tools.conftest import read_all
from tfrecords_tools.conversion import FileSettings, RunOptions
from tfrecords_tools.convert_images import convert_images
from tfrecords_tools.convert_videos import ConversionSettings, convert_videos
from tfrecords_tools.make_manifest import make_manifest
from tfrecords_tools.manifest_formats import FileIndex, ManifestSettings
from tfrecords_tools.manifest_formats.listing import Entry
from tfrecords_tools.manifest_formats.selection import select, video_keys

ONE_WORKER = RunOptions(num_workers=1)


@pytest.fixture(scope="session")
def video_bytes(tmp_path_factory):
    """A video of 2 s at 8 fps."""
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    write_video(path, counting_images(16, height=32, width=32), options={"crf": "30"})
    return path.read_bytes()


def put(folder, content, *names):
    """Writes the same content to several files."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def text(folder, name, content):
    put(folder, content.encode(), name)
    return str(folder / name)


def make(tmp_path, name, annotations=(), classes="", exclude=(), **settings):
    """Makes `web.csv` of `root`; gives the summary and the manifest's rows."""
    summary = make_manifest(
        name,
        str(tmp_path / "root"),
        str(tmp_path / "web.csv"),
        str(tmp_path / "classes.txt"),
        [str(path) for path in annotations],
        classes,
        exclude,
        str(tmp_path / "deep" / "left_out.csv"),
        ManifestSettings(**settings),
    )
    return summary, rows_of(tmp_path / "web.csv")


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def left_out(tmp_path):
    return {
        row["name"]: row["reason"]
        for row in rows_of(tmp_path / "deep" / "left_out.csv")
    }


def columns(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def class_lines(tmp_path):
    return (tmp_path / "classes.txt").read_text(encoding="utf-8").splitlines()


def converted(tmp_path, split="", **settings):
    """Converts `web.csv` as videos; the label and the frames of each clip by id."""
    settings = {"drop_duplicates": False, "short_side": 0} | settings
    info = convert_videos(
        str(tmp_path / "web.csv"),
        str(tmp_path / "classes.txt"),
        str(tmp_path / f"clips{split}"),
        str(tmp_path / "root"),
        ConversionSettings(split=split, **settings),
        ONE_WORKER,
    )
    assert info.skipped == []
    _, by_id = read_all(tmp_path / f"clips{split}")
    return {name: (clip.label_name, len(clip.frames)) for name, clip in by_id.items()}


KINETICS = """label,youtube_id,time_start,time_end,split
testifying,---QUuC4vJs,84,94,validate
"air drumming",_dbcJuKJQNs,0,1,train
testifying,--gone-----,3,13,train
"massaging person's head",AbCdEfGhIjK,12,22,train
"""


def test_kinetics_takes_cut_and_uncut_videos_wherever_they_lie(tmp_path, video_bytes):
    put(
        tmp_path / "root",
        video_bytes,
        "val/testifying/---QUuC4vJs_000084_000094.mp4",
        "_dbcJuKJQNs.mkv",  # nobody cut it
        "train/AbCdEfGhIjK_000012_000022.mp4",
        "replacement/AbCdEfGhIjK_000012_000022.mp4",
        "train/AbCdEfGhIjK_000012_000022.json",
    )
    csv_path = text(tmp_path, "k.csv", KINETICS)
    summary, rows = make(tmp_path, "kinetics", [csv_path])
    assert class_lines(tmp_path) == [
        "air drumming",
        "massaging person's head",
        "testifying",
    ]
    assert columns(rows, "video", "start", "end", "media_id", "split") == [
        (
            "val/testifying/---QUuC4vJs_000084_000094.mp4",
            *("", ""),
            *("---QUuC4vJs_000084_000094", "validate"),
        ),
        ("_dbcJuKJQNs.mkv", "0.0", "1.0", "_dbcJuKJQNs", "train"),
        (
            "replacement/AbCdEfGhIjK_000012_000022.mp4",
            *("", ""),
            *("AbCdEfGhIjK_000012_000022", "train"),
        ),
    ]
    assert summary.counts == {
        "validate": {"listed": 1, "in manifest": 1},
        "train": {"listed": 3, "in manifest": 2, "missing": 1},
    }
    assert left_out(tmp_path) == {"--gone-----_000003_000013": "missing"}
    assert converted(tmp_path, "train") == {
        "_dbcJuKJQNs@0-1000000": ("air drumming", 8),
        "AbCdEfGhIjK_000012_000022@0-2000000": ("massaging person's head", 16),
    }


def test_ucf101_takes_a_fold_and_the_order_of_its_class_file(tmp_path, video_bytes):
    put(
        tmp_path / "root",
        video_bytes,
        "UCF-101/YoYo/v_YoYo_g01_c01.avi",
        "UCF-101/HandstandPushups/v_HandStandPushups_g08_c01.avi",
    )
    lists = tmp_path / "ucfTrainTestlist"
    text(lists, "classInd.txt", "1 YoYo\r\n2 HandstandPushups\r\n3 Archery\r\n")
    text(lists, "trainlist01.txt", "YoYo/v_YoYo_g09_c01.avi 1\n")
    text(
        lists,
        "trainlist02.txt",
        "HandstandPushups/v_HandstandPushups_g08_c01.avi 2\r\n"
        "YoYo/v_YoYo_g08_c01.avi 1\r\n",
    )
    text(lists, "testlist02.txt", "YoYo/v_YoYo_g01_c01.avi\r\n")
    summary, rows = make(tmp_path, "ucf101", [lists], fold=2)
    assert class_lines(tmp_path) == ["YoYo", "HandstandPushups", "Archery"]
    assert columns(rows, "video", "label", "split") == [
        (
            "UCF-101/HandstandPushups/v_HandStandPushups_g08_c01.avi",
            *("HandstandPushups", "train"),
        ),
        ("UCF-101/YoYo/v_YoYo_g01_c01.avi", "YoYo", "test"),
    ]
    assert summary.counts["train"] == {"listed": 2, "in manifest": 1, "missing": 1}
    assert summary.unused_classes == ("Archery",)
    assert converted(tmp_path, "test") == {"v_YoYo_g01_c01@0-2000000": ("YoYo", 16)}


def test_hmdb51_takes_what_a_fold_uses(tmp_path, video_bytes):
    names = [
        "April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
        "(HQ)_#20_brush_hair_f_nm_np1_ba_goo_0.avi",
        "not_used_brush_hair_f_nm_np1_ba_goo_1.avi",
    ]
    put(tmp_path / "root", video_bytes, *(f"brush_hair/{name}" for name in names))
    put(tmp_path / "root", video_bytes, "wave/a_wave_f_nm_np1_ba_goo_0.avi")
    lists = tmp_path / "splits"
    text(
        lists,
        "brush_hair_test_split1.txt",
        f"{names[0]} 1 \n{names[1]} 2 \n{names[2]} 0 \n",
    )
    text(lists, "wave_test_split1.txt", "a_wave_f_nm_np1_ba_goo_0.avi 1 \n")
    text(lists, "wave_test_split2.txt", "a_wave_f_nm_np1_ba_goo_0.avi 2 \n")
    _, rows = make(tmp_path, "hmdb51", [lists])
    assert class_lines(tmp_path) == ["brush_hair", "wave"]
    assert columns(rows, "video", "split") == [
        (f"brush_hair/{names[0]}", "train"),
        (f"brush_hair/{names[1]}", "test"),
        ("wave/a_wave_f_nm_np1_ba_goo_0.avi", "train"),
    ]
    assert left_out(tmp_path) == {names[2]: "unused"}
    assert set(converted(tmp_path, "train")) == {
        f"brush_hair/{names[0][:-4]}@0-2000000",
        "wave/a_wave_f_nm_np1_ba_goo_0@0-2000000",
    }


def test_clothing1m_reads_the_noisy_and_the_clean_part(tmp_path):
    root = tmp_path / "root"
    image = np.full((32, 48, 3), 90, np.uint8)
    for number in range(4):
        # Some unpack the images without their outer folder.
        folder = root if number == 3 else root / "images"
        path = folder / "0" / f"{number:02d}" / f"1,{number}.jpg"
        path.parent.mkdir(parents=True)
        Image.fromarray(image + number).save(path)
    names = [f"images/0/{number:02d}/1,{number}.jpg" for number in range(5)]
    text(root, "category_names_eng.txt", "T-Shirt\nShirt\nDown Coat\n")
    kv = f"{names[0]} 2\n{names[1]} 0\n{names[2]} 1\n{names[4]} 1\n"
    text(root, "noisy_label_kv.txt", kv)
    text(
        root,
        "noisy_train_key_list.txt",
        "".join(f"{n.split()[0]}\n" for n in kv.split("\n") if n),
    )
    text(root, "clean_label_kv.txt", f"{names[2]} 2\n{names[3]} 0\n{names[1]} 0\n")
    text(root, "clean_train_key_list.txt", f"{names[2]}\n")
    text(root, "clean_val_key_list.txt", f"{names[3]}\n")
    text(root, "clean_test_key_list.txt", f"{names[1]}\n")

    _, clean = make(tmp_path, "clothing1m", splits="train,val,test")
    assert columns(clean, "video", "media_id", "label", "split") == [
        (names[2], names[2], "Down Coat", "train"),
        ("0/03/1,3.jpg", names[3], "T-Shirt", "val"),
        (names[1], names[1], "T-Shirt", "test"),
    ]
    (tmp_path / "web.csv").rename(tmp_path / "clean.csv")
    _, noisy = make(
        tmp_path,
        "clothing1m",
        exclude=[str(tmp_path / "clean.csv")],
        splits="noisy_train",
    )
    assert columns(noisy, "video", "label") == [(names[0], "Down Coat")]
    assert left_out(tmp_path) == {
        names[1]: "excluded",
        names[2]: "excluded",
        names[4]: "missing",
    }
    assert class_lines(tmp_path) == ["T-Shirt", "Shirt", "Down Coat"]
    for manifest, split, ids in (
        ("clean.csv", "test", {f"{names[1]}@0-0": 0}),
        ("web.csv", "noisy_train", {f"{names[0]}@0-0": 2}),
    ):
        convert_images(
            str(tmp_path / "classes.txt"),
            str(tmp_path / split),
            str(root),
            str(tmp_path / manifest),
            FileSettings(split=split),
            ONE_WORKER,
        )
        _, by_id = read_all(tmp_path / split)
        assert {name: clip.label_index for name, clip in by_id.items()} == ids


def info(root, name, media_id, **fields):
    fields = {"id": media_id, "ext": "webm", "extractor": "youtube"} | fields
    text(root, f"{name}.info.json", json.dumps(fields))


def test_yt_dlp_labels_a_video_by_the_query_that_found_it(tmp_path, video_bytes):
    root = tmp_path / "root"
    info(root, "red card/Ün [x] [aaaaaaaaaaa]", "aaaaaaaaaaa", _type="video")
    info(root, "carton rouge/again [aaaaaaaaaaa]", "aaaaaaaaaaa")
    info(root, "carton rouge/b [123]", "123", extractor="vimeo")
    info(root, "own goal/c [ccccccccccc]", "ccccccccccc")
    info(root, "own goal/own goal [own goal]", "own goal", _type="playlist")
    put(
        root,
        video_bytes,
        "red card/Ün [x] [aaaaaaaaaaa].mp4",
        "carton rouge/again [aaaaaaaaaaa].webm",
        "carton rouge/b [123].webm",
        "own goal/c [ccccccccccc].f137.mp4",  # a stream that was not merged
    )
    queries = text(
        tmp_path,
        "queries.csv",
        "query,label,language\nown goal,Goal,en\nred card,Yellow/Red Card,en\n"
        "carton rouge,Yellow/Red Card,fr\n",
    )
    _, rows = make(tmp_path, "yt_dlp", queries=queries)
    assert class_lines(tmp_path) == ["Goal", "Yellow/Red Card"]
    assert columns(rows, "video", "label", "media_id") == [
        ("carton rouge/again [aaaaaaaaaaa].webm", "Yellow/Red Card", "aaaaaaaaaaa"),
        ("carton rouge/b [123].webm", "Yellow/Red Card", "vimeo:123"),
    ]
    assert left_out(tmp_path) == {
        "own goal/c [ccccccccccc]": "missing",
        "red card/Ün [x] [aaaaaaaaaaa]": "repeated",
    }
    assert set(converted(tmp_path)) == {
        "aaaaaaaaaaa@0-2000000",
        "vimeo:123@0-2000000",
    }


def test_yt_dlp_can_take_the_search_that_a_file_states(tmp_path, video_bytes):
    root = tmp_path / "root"
    put(root, video_bytes, "all/a.mp4", "all/b.mp4")
    info(root, "all/a", "aaaaaaaaaaa", playlist_title="making pizza")
    info(root, "all/b", "bbbbbbbbbbb", playlist_title="baking cookies")
    _, rows = make(tmp_path, "yt_dlp", query_from="search")
    assert columns(rows, "video", "label") == [
        ("all/a.mp4", "making pizza"),
        ("all/b.mp4", "baking cookies"),
    ]
    info(root, "all/b", "bbbbbbbbbbb")
    with pytest.raises(ValueError, match=r"all/b\.info\.json has no 'playlist_title'"):
        make(tmp_path, "yt_dlp", query_from="search")


def test_one_video_under_two_classes_is_a_question_for_the_user(tmp_path, video_bytes):
    root = tmp_path / "root"
    put(root, video_bytes, "run/a.mp4", "jump/a.mp4")
    info(root, "run/a", "aaaaaaaaaaa")
    info(root, "jump/a", "aaaaaaaaaaa")
    with pytest.raises(
        ValueError, match=r"run/a\.info\.json.*'run' here, and 'jump' in .*=skip"
    ):
        make(tmp_path, "yt_dlp")
    _, rows = make(tmp_path, "yt_dlp", duplicates="skip")
    assert columns(rows, "video") == [("jump/a.mp4",)]
    assert left_out(tmp_path) == {"run/a": "repeated"}


def test_folders_are_classes_and_may_be_splits(tmp_path, video_bytes):
    root = tmp_path / "root"
    put(root, video_bytes, "val/run/x.mp4", "train/run/deep/x.mp4", "train/jump/z.MKV")
    put(root, b"notes", "train/run/readme.txt", "train/run/.hidden.mp4")
    summary, rows = make(tmp_path, "folders", split_folders=True)
    assert class_lines(tmp_path) == ["jump", "run"]
    assert columns(rows, "video", "label", "split") == [
        ("train/jump/z.MKV", "jump", "train"),
        ("train/run/deep/x.mp4", "run", "train"),
        ("val/run/x.mp4", "run", "val"),
    ]
    assert summary.notes == (
        "1 files are no videos or images, e.g. train/run/readme.txt",
    )
    assert set(converted(tmp_path, "val")) == {"val/run/x.mp4@0-2000000"}
    put(root, video_bytes, "stray.mp4")
    with pytest.raises(ValueError, match=r"stray\.mp4: expected CLASS/FILE"):
        make(tmp_path, "folders")


def test_folders_of_images_convert_too(tmp_path):
    root = tmp_path / "root"
    for level, name in enumerate(("dog/a.jpg", "cat/b.png")):
        (root / name).parent.mkdir(parents=True)
        Image.new("L", (40, 32), 50 * level).save(root / name)
    make(tmp_path, "folders")
    convert_images(
        str(tmp_path / "classes.txt"),
        str(tmp_path / "clips"),
        str(root),
        str(tmp_path / "web.csv"),
        run=ONE_WORKER,
    )
    _, by_id = read_all(tmp_path / "clips")
    assert {name: clip.label_index for name, clip in by_id.items()} == {
        "cat/b.png@0-0": 0,
        "dog/a.jpg@0-0": 1,
    }


def test_links_to_folders_are_followed_once(tmp_path, video_bytes):
    put(tmp_path / "disk", video_bytes, "run/x.mp4")
    (tmp_path / "root").mkdir()
    os.symlink(tmp_path / "disk" / "run", tmp_path / "root" / "run")
    os.symlink(tmp_path / "root", tmp_path / "disk" / "run" / "round")
    _, rows = make(tmp_path, "folders")
    assert columns(rows, "video") == [("run/x.mp4",)]


def test_what_occurs_in_another_manifest_is_excluded_by_its_address(tmp_path):
    root = tmp_path / "root"
    for name in ("aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc", "ddddddddddd", "1"):
        put(root, b"never opened", f"run/{name}.mp4")
        info(root, f"run/{name}", name)
    put(root, b"never opened", "run/00000000001.jpg")
    val = text(
        tmp_path,
        "val.csv",
        "video,label,media_id\n"
        "val/x.mp4,cook,aaaaaaaaaaa_000004_000014\n"
        "A title [bbbbbbbbbbb].webm,cook,\n"
        "val/run/ccccccccccc.mp4,cook,\n"
        "val/00000000001.jpg,cook,\n"
        "match/1.mkv,cook,\n",
    )
    _, rows = make(tmp_path, "yt_dlp", exclude=[val])
    assert columns(rows, "media_id") == [("1",), ("ddddddddddd",)]
    _, rows = make(tmp_path, "folders", exclude=[val])
    assert columns(rows, "video") == [
        ("run/00000000001.jpg",),
        ("run/1.mp4",),
        ("run/ddddddddddd.mp4",),
    ]
    (tmp_path / "web.csv").rename(tmp_path / "first.csv")
    with pytest.raises(
        ValueError, match=r"nothing of what folders lists(?s:.*)excluded"
    ):
        make(tmp_path, "folders", exclude=[str(tmp_path / "first.csv"), val])


def test_a_classes_file_gives_the_order_and_unknown_labels_are_refused(tmp_path):
    put(tmp_path / "root", b"never opened", *(f"{c}/1.mp4" for c in ("a", "b", "c")))
    classes = text(tmp_path, "order.txt", "c\nz\na\n")
    with pytest.raises(
        ValueError,
        match=r"b/1\.mp4: .*'b' is not among the 3 classes; --unknown_labels",
    ):
        make(tmp_path, "folders", classes=classes)
    assert not (tmp_path / "web.csv").exists()
    summary, rows = make(tmp_path, "folders", classes=classes, unknown_labels="skip")
    assert class_lines(tmp_path) == ["c", "z", "a"]
    assert columns(rows, "label") == [("a",), ("c",)]
    assert summary.counts[""] == {"listed": 3, "in manifest": 2, "other label": 1}
    assert summary.unused_classes == ("z",)


def test_an_absent_video_of_another_class_is_not_missing(tmp_path):
    put(tmp_path / "root", b"never opened", "here_000000_000001.mp4")
    lines = csv_case("run,here,0,1,train", "jump,gone,0,1,train")
    path = text(tmp_path, "k.csv", lines)
    classes = text(tmp_path, "some.txt", "run\n")
    summary, _ = make(
        *(tmp_path, "kinetics", [path], classes),
        unknown_labels="skip",
        missing="error",
    )
    assert summary.counts["train"] == {"listed": 2, "in manifest": 1, "other label": 1}


@pytest.mark.parametrize(
    ("media_id", "keys"),
    [
        ("aaaaaaaaa-_", {"aaaaaaaaa-_"}),
        ("aaaaaaaaa-__000010_000020", {"aaaaaaaaa-_"}),
        ("x/aaaaaaaaa-__000010_000020.mp4", {"aaaaaaaaa-_"}),
        ("x/Mr. X [aaaaaaaaa-_]", {"aaaaaaaaa-_"}),
        ("x/Mr. X [aaaaaaaaa-_].webm", {"aaaaaaaaa-_"}),
        ("aaaaaaaaa-__10_20", set()),
        ("aaaaaaaaaéé", set()),
        ("x/aaaaaaaaa-_.jpg", set()),
        ("aaaaaaaaa-_/1.mkv", set()),
    ],
)
def test_a_youtube_id_is_found_as_downloaders_write_it(media_id, keys):
    assert video_keys(media_id) == keys | {media_id}


def test_nothing_that_is_read_is_written_over(tmp_path):
    put(tmp_path / "root", b"never opened", "here_000000_000001.mp4")
    path = text(tmp_path, "web.csv", csv_case("run,here,0,1,train"))
    with pytest.raises(ValueError, match=r"web\.csv would be written over"):
        make(tmp_path, "kinetics", [path])
    assert (tmp_path / "web.csv").read_text() == csv_case("run,here,0,1,train")


def test_a_name_that_is_no_text_is_named(tmp_path):
    root = tmp_path / "root"
    put(root, b"never opened", "run/fine.mp4", "run/not fine.mp4")
    os.rename(root / "run" / "not fine.mp4", os.fsencode(root / "run") + b"/n\xff.mp4")
    with pytest.raises(ValueError, match=r"name is not UTF-8: .*run/n\?"):
        make(tmp_path, "folders")


def test_the_folder_may_be_remote(tmp_path):
    for name in ("run/x.mp4", "run/.hidden/x.mp4", "jump/deep/y.jpg"):
        path = f"ram://index/{name}"
        tf.io.gfile.makedirs(os.path.dirname(path))
        with tf.io.gfile.GFile(path, "wb") as file:
            file.write(b"never opened")
    assert FileIndex("ram://index").paths == ["jump/deep/y.jpg", "run/x.mp4"]


def test_excluding_takes_time_in_proportion_to_the_rows(tmp_path):
    names = [f"{number:05d}.jpg" for number in range(50_000)]
    lines = "".join(f"0{name},run\n" for name in names)
    other = text(tmp_path, "other.csv", "video,label\n" + lines)
    entries = [Entry("list", 1, name, "run", "", name, name) for name in names]
    began = time.monotonic()
    chosen = list(select(entries, ["run"], [other], ManifestSettings()))
    assert time.monotonic() - began < 10  # two minutes if each row met each other
    assert chosen == entries


def csv_case(*lines):
    return "\n".join(["label,youtube_id,time_start,time_end,split", *lines]) + "\n"


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("youtube_id,time_start,time_end,split\n", {}, "line 1: .*one column 'label'"),
        ("", {}, "line 1: expected one column 'label', found \\[\\]"),
        (csv_case("run,a,0,1"), {}, "line 2: 4 cells, but the header has 5"),
        (csv_case("run,a,zero,1,train"), {}, "line 2: 'zero' is no time"),
        (csv_case("run,a,5,5,train"), {}, "line 2: time_end 5.0 is not after"),
        (csv_case(",a,0,1,train"), {}, "line 2: label '' or youtube_id 'a' empty"),
        (csv_case('"run,a,0,1,train'), {}, "after line .*: unexpected end of data"),
        (
            csv_case("run,here,0,1,train", "jump,here,0,1,train"),
            {},
            "line 3: .*'jump' here, and 'run' in .*line 2; --duplicates=skip",
        ),
        (
            csv_case("run,here,0,1,train", "run,gone,0,1,train"),
            {"missing": "error"},
            "line 3: 'gone_000000_000001': there is no file; --missing=skip",
        ),
        (csv_case("run,gone,0,1,train"), {}, "nothing of what kinetics lists"),
        (
            csv_case("run,here,0,1,train"),
            {"splits": "val"},
            "'val', which is not there",
        ),
        (
            csv_case("run,here,0,1,train"),
            {"exclude": ["k.csv"]},
            "no manifest: expected",
        ),
        (csv_case("run,here,0,1,train"), {"fold": 2}, "--fold is for ucf101, hmdb51"),
    ],
)
def test_faults_of_a_csv_are_named_with_their_line(
    tmp_path, monkeypatch, content, settings, message
):
    put(tmp_path / "root", b"never opened", "here_000000_000001.mp4")
    path = text(tmp_path, "k.csv", content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        make(tmp_path, "kinetics", [path], **settings)
    assert not (tmp_path / "web.csv").exists()


LISTS = {
    "classInd.txt": "1 Archery\n2 YoYo\n",
    "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\n",
    "testlist01.txt": "YoYo/v_YoYo_g01_c01.avi\n",
    "category_names_eng.txt": "T-Shirt\nShirt\n",
    "clean_label_kv.txt": "images/0.jpg 0\nimages/1.jpg 1\n",
    "clean_train_key_list.txt": "images/0.jpg\n",
    "wave_test_split1.txt": "a.avi 1\n",
}


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("ucf101", "classInd.txt", "1 Archery\n3 YoYo\n", "line 2: class YoYo has"),
        ("ucf101", "trainlist01.txt", "Run/v.avi 1\n", "line 1: 'Run/v.avi' is in no"),
        (
            "ucf101",
            "trainlist01.txt",
            "YoYo/v.avi 1\n",
            "line 1: .*classInd.txt says 2",
        ),
        ("ucf101", "trainlist01.txt", "YoYo/v.avi 1 2\n", "line 1: .* has 3 words"),
        ("ucf101", "testlist01.txt", None, "testlist01.txt cannot be read"),
        ("hmdb51", "wave_test_split1.txt", "\na.avi 3\n", "line 2: a.avi has the nu"),
        ("hmdb51", "wave_test_split1.txt", None, "no file named <class>_test_split1"),
        ("clothing1m", "clean_label_kv.txt", "images/0.jpg 2\n", "line 1: .* 0 to 1"),
        (
            "clothing1m",
            "clean_label_kv.txt",
            "images/1.jpg 1\n",
            "line 1: .*0.jpg has no",
        ),
        ("clothing1m", "clean_label_kv.txt", "a 1\na 0\n", "line 2: a has the label 0"),
        (
            "clothing1m",
            "clean_train_key_list.txt",
            "images/0.jpg\nimages/0.jpg\n",
            "line 2: .*--duplicates=skip",
        ),
    ],
)
def test_faults_of_lists_are_named_with_their_line(
    tmp_path, name, file, content, message
):
    put(tmp_path / "root", b"never opened", "images/0.jpg", "v_YoYo_g01_c01.avi")
    for known, lines in {**LISTS, file: content}.items():
        if lines is not None:
            text(tmp_path / "lists", known, lines)
    settings = {"splits": "train"} if name == "clothing1m" else {}
    with pytest.raises(ValueError, match=message):
        make(tmp_path, name, [tmp_path / "lists"], **settings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": "a",\n', "a.info.json, line 2: not JSON"),
        ("[1]", "a.info.json: no information about a video"),
        ('{"title": "a"}', "a.info.json: no information about a video"),
        ('{"id": "a"}', "a.info.json: the query 'run' is not in .*queries.csv"),
    ],
)
def test_faults_of_info_files_name_the_file(tmp_path, content, message):
    text(tmp_path / "root", "run/a.info.json", content)
    queries = text(tmp_path, "queries.csv", "query,label\nwalk,walk\n")
    with pytest.raises(ValueError, match=message):
        make(tmp_path, "yt_dlp", queries=queries)


def test_the_command_prints_what_is_in_and_what_is_left_out(tmp_path):
    put(tmp_path / "root", b"never opened", "here_000000_000001.mp4")
    path = text(
        tmp_path,
        "k.csv",
        csv_case("run,here,0,1,train", "run,gone,0,1,train", "jump,dead,0,1,val"),
    )
    command = [sys.executable, "-m", "tfrecords_tools.make_manifest"]
    command += ["--format=kinetics", f"--annotations={path}", "--video_root=root"]
    command += ["--output=web.csv", "--classes_output=classes.txt"]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    arguments = {"capture_output": True, "text": True, "timeout": 120}
    arguments |= {"cwd": tmp_path, "env": environment}
    done = subprocess.run(command, **arguments)
    assert done.stdout.splitlines() == [
        "web.csv: 1 rows of 2 classes",
        "split  listed  in manifest  missing",
        "train       2            1        1",
        "val         1            0        1",
        f"missing, e.g. gone_000000_000001 ({path}, line 3)",
        "1 classes without a row, e.g. jump",
    ]
    failed = subprocess.run([*command, "--missing=error"], **arguments)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(f"error: {path}, line 3: 'gone_")
