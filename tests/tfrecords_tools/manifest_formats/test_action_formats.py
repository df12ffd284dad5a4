"""EPIC-KITCHENS, Something-Something and Sports-1M, as they are distributed."""

import gzip
import json

import numpy as np
import pytest
from PIL import Image

from tests.tfrecords_tools.manifest_formats.manifest_files import (
    class_lines,
    columns,
    converted,
    left_out,
    make,
    put,
    text,
)

VERBS = """verb_id,class_key,verbs
0,take,"['take', 'grab']"
1,put,['put']
2,open,['open']
"""
NOUNS = """noun_id,class_key,nouns
0,Nothing,['Nothing']
1,board:cutting,"['board:cutting', 'board']"
2,door,['door']
"""
HEAD = (
    "uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,"
    "start_frame,stop_frame,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
SEGMENTS = f"""{HEAD}
0,P01,P01_01,open door,00:00:00.14,00:00:01.37,8,82,open,2,door,2,['door'],[2]
1,P01,P01_01,take board,00:00:00.5,00:00:01,30,60,take,0,board,1,"['a', 'b']","[1, 2]"
2,P22,P22_12,put on,01:01:07.09,01:01:13.09,0,9,put,1,door,2,['door'],[2]
3,P22,P22_12,put on,01:01:07.09,01:01:13.09,0,9,put,1,door,2,['door'],[2]
4,P26,P26_02,open,00:00:00.00,00:00:00.25,0,9,open,2,door,2,['door'],[2]
"""


def epic_files(tmp_path, segments=SEGMENTS, verbs=VERBS):
    return [
        text(tmp_path, "EPIC_verb_classes.csv", verbs),
        text(tmp_path, "EPIC_noun_classes.csv", NOUNS),
        text(tmp_path, "EPIC_train_action_labels.csv", segments),
    ]


def write_frames(folder, levels, ending="jpg", size=(24, 16)):
    folder.mkdir(parents=True)
    for number, level in enumerate(levels, start=1):
        image = np.full((size[1], size[0], 3), level, np.uint8)
        Image.fromarray(image).save(folder / f"{number:05d}.{ending}", quality=95)


def test_epic_kitchens_gives_each_of_its_labels(tmp_path, video_bytes):
    put(tmp_path / "root", video_bytes, "P01/P01_01.MP4", "P01_01.mp4")
    write_frames(tmp_path / "root" / "P26" / "rgb" / "P26_02", range(30))
    known, paths = {"validation_kitchens": "P26"}, epic_files(tmp_path)
    summary, rows = make(tmp_path, "epic_kitchens", paths, **known)
    assert class_lines(tmp_path) == ["take", "put", "open"]
    assert columns(rows, "video", "label", "start", "end", "media_id", "split") == [
        ("P01/P01_01.MP4", "open", "0.14", "1.37", "P01_01", "train"),
        ("P01/P01_01.MP4", "take", "0.5", "1.0", "P01_01", "train"),
        ("P26/rgb/P26_02", "open", "0.0", "0.25", "P26_02", "validation"),
    ]
    assert summary.counts == {
        "train": {"listed": 4, "in manifest": 2, "missing": 1, "repeated": 1},
        "validation": {"listed": 1, "in manifest": 1},
    }
    _, rows = make(tmp_path, "epic_kitchens", paths, label_of="noun", **known)
    assert columns(rows, "label") == [("door",), ("board:cutting",), ("door",)]
    assert class_lines(tmp_path) == ["Nothing", "board:cutting", "door"]
    _, rows = make(tmp_path, "epic_kitchens", paths, label_of="action", **known)
    assert class_lines(tmp_path) == ["take board:cutting", "put door", "open door"]
    assert converted(tmp_path, "train", short_side=0) == {
        "P01_01@140000-1370000": ("open door", 9),
        "P01_01@500000-1000000": ("take board:cutting", 4),
    }
    assert converted(tmp_path, "validation", frames_fps=60.0) == {
        "P26_02@0-250000": ("open door", 15)
    }


def test_epic_kitchens_100_has_a_file_of_its_validation_set(tmp_path, video_bytes):
    put(tmp_path / "root", video_bytes, "P01/videos/P01_101.MP4")
    head = HEAD.replace("uid", "narration_id").replace(
        "video_id", "video_id,narration_timestamp"
    )
    row = "P01_{0}_0,P01,P01_{0},00:00:00.56,take,00:00:00.00,00:00:01.89,1,113,"
    row = head + "\n" + row + "take,0,board,1,['board'],[1]\n"
    paths = [
        text(tmp_path, f"EPIC_100_{name}.csv", content)
        for name, content in (
            ("validation", row.format("101")),
            ("train", row.format("11")),
            ("verb_classes", "id,key,instances,category\n0,take,\"['take']\",get\n"),
            ("noun_classes_v2", "id,key,instances,category\n0,a,[],x\n1,board,[],x\n"),
        )
    ]
    summary, rows = make(tmp_path, "epic_kitchens", paths, label_of="action")
    assert columns(rows, "video", "label", "split") == [
        ("P01/videos/P01_101.MP4", "take board", "validation")
    ]
    assert summary.counts["train"] == {"listed": 1, "missing": 1}


@pytest.mark.parametrize(
    ("changed", "settings", "message"),
    [
        ({"segments": HEAD}, {}, "nothing of what epic_kitchens lists"),
        (
            {"segments": SEGMENTS.replace(",2,door", ",3,door")},
            {},
            "line 2: verb_class",
        ),
        (
            {"segments": SEGMENTS.replace(",0,board", ",,board")},
            {},
            "3: verb_class is ''",
        ),
        (
            {"segments": SEGMENTS.replace("00:00:01.37", "0:1")},
            {},
            "line 2: '0:1' is no",
        ),
        (
            {"segments": SEGMENTS.replace("00:00:01.37", "00:00:00.14")},
            {},
            "line 2: video_id is 'P01_01', from 00:00:00.14 to 00:00:00.14",
        ),
        ({"verbs": VERBS.replace("2,open", "3,open")}, {}, "line 4: class 'open' has"),
        ({}, {"validation_kitchens": "P01,P99"}, "names 'P99', of whom there is no"),
        ({}, {"label_of": "adverb"}, "label_of is 'adverb', expected verb, noun or"),
    ],
)
def test_faults_of_epic_kitchens_are_named(tmp_path, changed, settings, message):
    put(tmp_path / "root", b"never opened", "P01_01.mp4")
    with pytest.raises(ValueError, match=message):
        make(tmp_path, "epic_kitchens", epic_files(tmp_path, **changed), **settings)


def test_something_something_v1_is_folders_of_frames(tmp_path):
    root = tmp_path / "root"
    levels = list(range(10, 250, 20))
    write_frames(root / "20bn-something-something-v1" / "100218", levels)
    write_frames(root / "20bn-something-something-v1" / "7", levels[:6])
    paths = [
        text(
            tmp_path,
            "something-something-v1-labels.csv",
            "Holding something\nPutting something, something and something on a table\n"
            "Turning something upside down\n",
        ),
        text(
            tmp_path,
            "something-something-v1-train.csv",
            "100218;Putting something, something and something on a table\n"
            "24413;Holding something\n",
        ),
        text(
            tmp_path, "something-something-v1-validation.csv", "7;Holding something\n"
        ),
    ]
    summary, rows = make(tmp_path, "something_something", paths)
    assert columns(rows, "video", "media_id", "split") == [
        ("20bn-something-something-v1/100218", "100218", "train"),
        ("20bn-something-something-v1/7", "7", "validation"),
    ]
    assert len(class_lines(tmp_path)) == 3
    assert summary.unused_classes == ("Turning something upside down",)
    assert left_out(tmp_path) == {"24413": "missing"}
    label = "Putting something, something and something on a table"
    assert converted(tmp_path, "train", frames_fps=12.0) == {
        "100218@0-1000000": (label, 12)
    }
    assert converted(tmp_path, "validation", frames_fps=12.0) == {
        "7@0-500000": ("Holding something", 6)
    }


def test_something_something_v2_is_webm_files(tmp_path, video_bytes):
    put(tmp_path / "root", video_bytes, "videos/78687.webm", "videos/41775.webm")
    train = {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    }
    later = {"id": "41775", "label": "a", "template": "Bending [something]"}
    paths = [
        text(tmp_path, f"something-something-v2-{name}.json", json.dumps(content))
        for name, content in (("train", [train]), ("validation", [later]))
    ]
    _, rows = make(tmp_path, "something_something", paths)
    held = "Holding something next to something"
    assert columns(rows, "video", "label", "split") == [
        ("videos/78687.webm", held, "train"),
        ("videos/41775.webm", "Bending something", "validation"),
    ]
    assert class_lines(tmp_path) == ["Bending something", held]
    numbers = {held: "0", "Bending something": "1"}
    paths.append(text(tmp_path, "labels.json", json.dumps(numbers)))
    make(tmp_path, "something_something", paths)
    assert class_lines(tmp_path) == [held, "Bending something"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x-train.csv", "7;Holding\n12\n", r"x-train\.csv, line 2: '12', expected id;"),
        ("x-train.json", '[{"id": "7"}]', r"entry 1: expected a list of objects with"),
        ("x-train.json", '{"id": "7"}', r"entry 1: expected a list of objects with"),
        ("x-test.csv", "7\n", r"x-test\.csv: expected one of \['labels', 'train'"),
        ("x-labels.csv", "Holding\n", r"expected a file with one of \['train'"),
        ("x-labels.json", '{"a": 1}', "expected an object with a number from 0"),
    ],
)
def test_faults_of_something_something_are_named(tmp_path, name, content, message):
    put(tmp_path / "root", b"never opened", "7.webm")
    with pytest.raises(ValueError, match=message):
        make(tmp_path, "something_something", [text(tmp_path, name, content)])


def test_sports1m_keeps_all_labels_of_an_address(tmp_path, video_bytes):
    put(
        tmp_path / "root",
        video_bytes,
        "UDqivjS-lpI.mp4",
        "b/Some race [ABPsSSS2uY0].webm",
        "b/ABPsSSS2uY0.txt",
    )
    lines = (
        "https://www.youtube.com/watch?v=UDqivjS-lpI 2,0,2\n"
        "http://youtu.be/ABPsSSS2uY0 1\n"
        "https://www.youtube.com/watch?v=-----------&t=3 1\n"
    )
    put(tmp_path, gzip.compress(lines.encode()), "train_partition.txt.gz")
    paths = [
        tmp_path / "train_partition.txt.gz",
        text(tmp_path, "labels.txt", "boomerang\nkyūdō\nrunning\n"),
        text(
            tmp_path,
            "test_partition.txt",
            "https://www.youtube.com/watch?v=UDqivjS-lpI 1\n",
        ),
    ]
    summary, rows = make(tmp_path, "sports1m", paths)
    wanted = ("video", "label", "more_labels", "media_id", "split")
    assert columns(rows, *wanted) == [
        ("UDqivjS-lpI.mp4", "running", "boomerang", "UDqivjS-lpI", "train"),
        (
            "b/Some race [ABPsSSS2uY0].webm",
            *("kyūdō", "", "ABPsSSS2uY0", "train"),
        ),
        ("UDqivjS-lpI.mp4", "kyūdō", "", "UDqivjS-lpI", "test"),
    ]
    assert summary.counts["train"] == {"listed": 3, "in manifest": 2, "missing": 1}
    assert converted(tmp_path, "train")["UDqivjS-lpI@0-2000000"] == ("running", 16)


@pytest.mark.parametrize(
    ("lines", "labels", "message"),
    [
        ("https://youtu.be/UDqivjS-lpI 2\n", "a\nb\n", "line 1: the label is '2', exp"),
        ("https://youtu.be/UDqivjS-lpI 0,\n", "a\nb\n", "line 1: the label is '', exp"),
        (
            "\nhttps://vimeo.com/1 0\n",
            "a\nb\n",
            "line 2: .* is no address of a You",
        ),
        ("https://youtu.be/UDqivjS-lpI\n", "a\n", "line 1: .* has 1 words, expected 2"),
        ("https://youtu.be/UDqivjS-lpI 0\n", "a|b\n", r"labels\.txt: a label has '\|'"),
    ],
)
def test_faults_of_sports1m_are_named(tmp_path, lines, labels, message):
    put(tmp_path / "root", b"never opened", "UDqivjS-lpI.mp4")
    paths = [text(tmp_path, "train.txt", lines), text(tmp_path, "labels.txt", labels)]
    with pytest.raises(ValueError, match=message):
        make(tmp_path, "sports1m", paths)
