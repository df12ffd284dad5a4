"""Posts with hashtags become rows with all their labels."""

import gzip
import json
import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfrecords_tools.manifest_formats.manifest_files import (
    class_lines,
    columns,
    make,
    put,
    rows_of,
    text,
)
from tfrecords_tools.manifest_formats import FileIndex, ManifestSettings
from tfrecords_tools.manifest_formats.hashtags import read
from tfrecords_tools.manifest_formats.posts import read_posts

HASHTAGS = (
    "query,label,language\n#catchfish,catching a fish,en\n#fishing,catching a fish,en\n"
    "#fishing,fishing,en\n#crêpe,making pancakes,en\n#run,run,en\n"
    "#swim,swim,en\n"
)
POSTS = """id,description,hashtags,duration,likes
1,"A day, #CatchFish
and #Cre\u0302pe!",,12.5,3
2,,"fishing, run",60,
3,no tag,,1,
4,#other,,1,
1,#run,,1,
5,#\uff52\uff55\uff4e,,,
6,#run
"7 has a quote without end,#run,,1,
8,#run,,1,
9,#run,,1,
"""


def folder(tmp_path, posts=POSTS, ids="12345689"):
    put(tmp_path / "root", b"x", *(f"sub/{number}.mp4" for number in ids))
    return {
        "annotations": [text(tmp_path, "posts", posts)],
        "queries": text(tmp_path, "hashtags.csv", HASHTAGS),
    }


def test_a_post_has_all_labels_of_its_hashtags(tmp_path):
    summary, rows = make(tmp_path, "hashtags", **folder(tmp_path), min_videos=1)
    assert [
        (row["media_id"], row["label"], row["more_labels"], row["duration"])
        for row in rows
    ] == [
        ("1", "catching a fish", "making pancakes", "12.5"),
        ("2", "catching a fish", "fishing|run", "60.0"),
        ("5", "run", "", ""),
        ("8", "run", "", "1.0"),
        ("9", "run", "", "1.0"),
    ]
    assert rows[0]["video"] == "sub/1.mp4"
    assert class_lines(tmp_path) == [
        "catching a fish",
        "fishing",
        "making pancakes",
        "run",
    ]
    assert (
        "1 hashtags have several labels, e.g. #fishing: catching a fish, fishing"
        in (summary.notes)
    )
    assert summary.unused_classes == ()


def test_bad_posts_are_counted_by_reason(tmp_path):
    summary, _ = make(
        tmp_path, "hashtags", **folder(tmp_path, ids="123458"), min_videos=1
    )
    assert summary.counts[""] == {
        "listed": 10,
        "in manifest": 4,
        "no hashtag": 1,
        "no known hashtag": 1,
        "repeated": 1,
        "broken": 2,
        "missing": 1,
    }
    left = columns(rows_of(tmp_path / "deep" / "left_out.csv"), "line", "reason")
    assert left[0] == ("5", "no hashtag")
    assert left[-1] == ("12", "missing")


def test_labels_of_few_videos_go(tmp_path):
    summary, rows = make(tmp_path, "hashtags", **folder(tmp_path), min_videos=2)
    assert [(row["media_id"], row["label"]) for row in rows] == [
        ("1", "catching a fish"),
        ("2", "catching a fish"),
        ("5", "run"),
        ("8", "run"),
        ("9", "run"),
    ]
    assert rows[1]["more_labels"] == "run"
    assert class_lines(tmp_path) == ["catching a fish", "run"]
    assert "3 labels of fewer than 2 videos went, e.g. fishing (1)" in summary.notes
    summary, _ = make(tmp_path, "hashtags", **folder(tmp_path), min_videos=4)
    assert summary.counts[""]["rare label"] == 1
    with pytest.raises(ValueError, match="5 labels of fewer than 50 videos went"):
        make(tmp_path, "hashtags", **folder(tmp_path))


def test_without_a_list_every_hashtag_is_a_label(tmp_path):
    known = folder(tmp_path) | {"queries": ""}
    _, rows = make(tmp_path, "hashtags", **known, min_videos=1)
    assert (rows[0]["label"], rows[0]["more_labels"]) == ("catchfish", "crêpe")


def test_json_lines_and_their_faults(tmp_path):
    posts = [
        b'{"id": 1, "tags": ["run", "Catch Fish"], "video": "sub/2.mp4"}',
        b'{"id": "2", "text": "#run \xff"}',
        b'{"id": "3", "hashtags": "#run #fishing"',
        b"[1]",
        b'{"hashtags": ["run"]}',
        b'{"id": "4", "hashtags": ["\\ud83d"]}',
        b"",
        b'{"id": "5", "hashtags": ["run"], "duration": "long"}',
    ]
    paths = folder(tmp_path)
    put(tmp_path, gzip.compress(b"\n".join(posts)), "posts")
    summary, rows = make(tmp_path, "hashtags", **paths, min_videos=1)
    assert [(row["media_id"], row["video"], row["label"]) for row in rows] == [
        ("1", "sub/2.mp4", "run"),
        ("5", "sub/5.mp4", "run"),
    ]
    assert rows[0]["more_labels"] == "catching a fish"
    assert summary.counts[""]["wrong encoding"] == 2
    assert summary.counts[""]["broken"] == 3
    left = columns(rows_of(tmp_path / "deep" / "left_out.csv"), "line", "reason")
    assert dict(left) == {
        "2": "wrong encoding",
        "3": "broken",
        "4": "broken",
        "5": "broken",
        "6": "wrong encoding",
    }


def test_what_yt_dlp_left_are_posts(tmp_path):
    known = folder(tmp_path, ids="")
    root = tmp_path / "root"
    put(root, b"x", "a/x [1].mp4", "b/y [2].webm")
    info = {
        "id": "1",
        "tags": ["catch fish"],
        "description": "See #RUN.",
        "duration": 9,
    }
    text(root, "a/x [1].info.json", json.dumps(info))
    text(root, "b/y [2].info.json", json.dumps({"id": "2", "extractor": "Vimeo"}))
    text(root, "b/list.info.json", json.dumps({"id": "3", "_type": "playlist"}))
    text(root, "b/bad.info.json", "{")
    put(root, b'{"id": "\xff"}', "b/wrong.info.json")
    summary, rows = make(tmp_path, "hashtags", queries=known["queries"], min_videos=1)
    (row,) = rows
    assert (row["video"], row["label"], row["more_labels"], row["duration"]) == (
        "a/x [1].mp4",
        "catching a fish",
        "run",
        "9.0",
    )
    assert summary.counts[""] == {
        "listed": 4,
        "in manifest": 1,
        "no hashtag": 1,
        "broken": 1,
        "wrong encoding": 1,
    }


ODD_JSON = [
    b'{"id": ' + b"1" * 5000 + b"}",  # more digits than Python reads
    b'{"id": "a", "tags": ' + b"[" * 100_000,
    b"\x00\x00",
    b'{"id": "b", "tags": ["run"], "video": ["\\u0000"]}',
    b'{"id": "2", "tags": ["run"], "duration": ' + b"1" * 400 + b"}",
]
ODD_CSV = [b"a,\x00,,1", b"b," + b"x" * 200_000 + b",,", b"2,#run,,%d" % 10**400]


@pytest.mark.parametrize(
    ("head", "good", "odd", "counts"),
    [
        (b"", b'{"id": "%d", "tags": ["run"]}', ODD_JSON, {"broken": 3, "missing": 1}),
        (
            b"id,text,tags,duration",
            b"%d,,run,1",
            ODD_CSV,
            {"broken": 1, "no hashtag": 1},
        ),
    ],
)
def test_what_no_reader_expects_stops_nothing(tmp_path, head, good, odd, counts):
    paths = folder(tmp_path)
    lines = [head] if head else []
    put(tmp_path, b"\n".join([*lines, good % 1, *odd, good % 3]), "posts")
    summary, rows = make(tmp_path, "hashtags", **paths, min_videos=1)
    assert [row["media_id"] for row in rows] == ["1", "2", "3"]
    assert not rows[1].get("duration")
    found = {"listed": 2 + len(odd), "in manifest": 3, **counts}
    assert summary.counts[""] == found


def test_info_files_that_no_reader_expects_stop_nothing(tmp_path):
    known = folder(tmp_path, ids="1")
    root = tmp_path / "root"
    text(root, "sub/1.info.json", json.dumps({"id": "1", "tags": ["run"]}))
    put(root, b"[" * 100_000, "deep.info.json")
    put(root, b"", "empty.info.json")
    text(root, "half.info.json", json.dumps({"id": "\ud83d", "tags": ["run"]}))
    text(root, "site.info.json", json.dumps({"id": "4", "extractor": "\ud83d"}))
    put(root, b'{"id": "2", "tags": ["run"]}', os.fsdecode(b"caf\xe9.info.json"))
    put(root, b"x", os.fsdecode(b"caf\xe9.mp4"))
    summary, _ = make(tmp_path, "hashtags", queries=known["queries"], min_videos=1)
    assert summary.counts[""] == {
        "listed": 6,
        "in manifest": 1,
        "broken": 2,
        "wrong encoding": 3,
    }


@pytest.mark.parametrize(
    ("posts", "hashtags", "message"),
    [
        (
            "name,tags\n",
            HASHTAGS,
            r"posts, line 1: expected the columns 'id' and one of",
        ),
        ("id,likes\n", HASHTAGS, "expected the columns 'id' and one of"),
        (POSTS, "tag,label\n", r"hashtags\.csv, line 1: expected one column 'query'"),
        (
            POSTS,
            "query,label\n#a,b|c\n",
            "line 2: the label is 'b|c', expected a name w",
        ),
    ],
)
def test_files_that_are_none_are_named(tmp_path, posts, hashtags, message):
    paths = folder(tmp_path, posts)
    text(tmp_path, "hashtags.csv", hashtags)
    with pytest.raises(ValueError, match=message.replace("|", r"\|")):
        make(tmp_path, "hashtags", **paths)


def test_annotations_or_info_files_are_needed(tmp_path):
    known = folder(tmp_path)
    with pytest.raises(ValueError, match=r"holds no \.info\.json files"):
        make(tmp_path, "hashtags", queries=known["queries"])


@given(
    st.lists(
        st.sampled_from([b"g", b'"', b"\xff", b",", b"\x00", b"\r", b'"x', b"x\n"]),
        max_size=12,
    ),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_one_bad_line_costs_no_other_post(tmp_path_factory, parts, is_json):
    path = tmp_path_factory.mktemp("posts") / "posts"
    bad = b"".join(parts) + b"\n"
    if is_json:
        head, good = b"", [b'{"id": "%d", "tags": ["run"]}\n' % n for n in range(8)]
    else:
        head, good = b"id,text\n", [b'%d,"#run, it"\n' % n for n in range(8)]
    path.write_bytes(b"".join([head, *good[:2], bad, *good[2:]]))
    found = [post for post in read_posts(str(path)) if post.hashtags == ("run",)]
    assert [post.id for post in found if post.id in "01234567"] == list("01234567")


@given(st.lists(st.tuples(st.sampled_from("abcx"), st.sampled_from(["run", "", "z"]))))
@settings(max_examples=50, deadline=None)
def test_of_the_posts_of_an_id_the_first_with_a_video_counts(tmp_path_factory, posts):
    """`x` has no video; a post without a known hashtag has one, too."""
    tmp_path = tmp_path_factory.mktemp("repeated")
    lines = [f"{name},#{tag}\n" for name, tag in [("a", "run"), *posts]]
    paths = folder(tmp_path, "id,text\n" + "".join(lines), ids="abc")
    summary, rows = make(tmp_path, "hashtags", **paths, min_videos=1)
    seen, expected = set(), []
    for name, tag in [("a", "run"), *posts]:
        expected += [name] if tag == "run" and name not in {*seen, "x"} else []
        seen |= {name} - {"x"}
    assert [row["media_id"] for row in rows] == expected
    left = [name for name, _ in posts if name != "x"]
    assert summary.counts[""].get("repeated", 0) == 1 + len(left) - len(seen)


def test_posts_take_a_few_bytes_of_memory_each(tmp_path):
    put(tmp_path, b"x", "root/v.mp4")
    posts = "".join(f'{n},"#run #fishing, a day",v.mp4\n' for n in range(20_000))
    listed = read(
        FileIndex(str(tmp_path / "root")),
        [text(tmp_path, "posts", "id,text,video\n" + posts)],
        ManifestSettings(min_videos=1),
    )
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    assert sum(1 for entry in listed.entries if not entry.reason) == 20_000
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000
    assert peak - before < 500_000
