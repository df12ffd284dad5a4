"""What becomes of the rows, whatever the format."""

import os
import time

import pytest
import tensorflow as tf

from tests import warm_python
from tests.tfrecords_tools.manifest_formats.manifest_files import (
    class_lines,
    columns,
    csv_case,
    info,
    make,
    put,
    text,
)
from tfrecords_tools.manifest_formats import FileIndex, ManifestSettings
from tfrecords_tools.manifest_formats.chosen_entries import select, video_keys
from tfrecords_tools.manifest_formats.listing import Entry


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
        match=r"b/1\.mp4: .*'b' is not among the 3 classes of .*; --unknown_labels",
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
    listed = list(FileIndex("ram://index").paths)
    assert listed == ["jump/deep/y.jpg", "run/x.mp4"]


def test_excluding_takes_time_in_proportion_to_the_rows(tmp_path):
    names = [f"{number:05d}.jpg" for number in range(50_000)]
    lines = "".join(f"0{name},run\n" for name in names)
    other = text(tmp_path, "other.csv", "video,label\n" + lines)
    entries = [Entry("list", 1, name, "run", "", name, name) for name in names]
    began = time.monotonic()
    chosen = list(select(entries, ["run"], [other], ManifestSettings()))
    assert time.monotonic() - began < 10  # two minutes if each row met each other
    assert chosen == entries


def test_the_command_prints_what_is_in_and_what_is_left_out(tmp_path):
    put(tmp_path / "root", b"never opened", "here_000000_000001.mp4")
    path = text(
        tmp_path,
        "k.csv",
        csv_case("run,here,0,1,train", "run,gone,0,1,train", "jump,dead,0,1,val"),
    )
    command = ["-m", "tfrecords_tools.make_manifest"]
    command += ["--format=kinetics", f"--annotations={path}", "--video_root=root"]
    command += ["--output=web.csv", "--classes_output=classes.txt"]
    done = warm_python.run(*command, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "web.csv: 1 rows of 2 classes",
        "split  listed  in manifest  missing",
        "train       2            1        1",
        "val         1            0        1",
        f"missing, e.g. gone_000000_000001 ({path}, line 3)",
        "1 classes without a row, e.g. jump",
    ]
    failed = warm_python.run(*command, "--missing=error", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(f"error: {path}, line 3: 'gone_")


def test_a_video_is_excluded_in_both_unicode_forms_of_its_name(tmp_path):
    put(tmp_path / "root", b"never opened", "run/cre\u0302pes.mp4", "run/b.mp4")
    other = text(tmp_path, "val.csv", "video\nrun/cr\u00eapes.mp4\n")
    _, rows = make(tmp_path, "folders", exclude=[other])
    assert columns(rows, "video") == [("run/b.mp4",)]


def test_an_unknown_label_names_the_classes_file(tmp_path):
    put(tmp_path / "root", b"never opened", "run/a.mp4", "walk/b.mp4")
    classes = text(tmp_path, "k200.txt", "run\n")
    with pytest.raises(
        ValueError, match=r"'walk' is not among the 1 classes of .*k200"
    ):
        make(tmp_path, "folders", classes=classes)
