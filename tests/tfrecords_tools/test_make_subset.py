import collections
import csv
import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import warm_python
from tfrecords_tools.make_subset import SubsetSettings, make_subset

HEADER = "video,label,start,note"


def manifest(folder, lines, header=HEADER, name="m.csv"):
    path = folder / name
    path.write_bytes("".join([header + "\n", *lines]).encode())
    return str(path)


def labels_of(lines, more=None):
    """How many lines have each label, in column 1 and `more`."""
    cells = [line.rstrip("\n").split(",") for line in lines]
    names = [c[1:2] + (c[more].split("|") if more and c[more] else []) for c in cells]
    return collections.Counter(name for row in names for name in row)


def subset(folder, lines, fraction=0.2, header=HEADER, **changes):
    """Lines of the subset and of the rest, and the summary."""
    paths = [str(folder / name) for name in ("out.csv", "rest.csv")]
    (summary,) = make_subset(
        manifest(folder, lines, header),
        paths[0],
        SubsetSettings(fraction=fraction, **changes),
        paths[1],
    )
    parts = []
    for path in paths:
        with open(path, newline="", encoding="utf-8") as file:
            first, *others = file.read().splitlines(keepends=True)
        assert first == header + "\n"
        parts.append(others)
    return *parts, summary


LINES = [f"v{n}.mp4,{'abc'[n % 10 // 8]},,{n}\n" for n in range(100)]


def test_a_fifth_of_each_class_is_taken_and_the_rest_is_left(tmp_path):
    taken, rest, summary = subset(tmp_path, LINES)
    assert labels_of(taken) == summary.of_label == {"a": 16, "b": 4}
    assert sorted(taken + rest) == sorted(LINES)
    # Order of the manifest.
    assert taken == [line for line in LINES if line in set(taken)]
    assert rest == [line for line in LINES if line in set(rest)]
    assert (summary.rows, summary.videos) == (20, 20)


def test_the_seed_decides_and_a_larger_fraction_holds_a_smaller_one(tmp_path):
    taken, *_ = subset(tmp_path, LINES)
    again, *_ = subset(tmp_path, LINES)
    other, *_ = subset(tmp_path, LINES, seed=1)
    half, *_ = subset(tmp_path, LINES, fraction=0.5)
    assert taken == again
    assert taken != other
    assert set(taken) < set(half)


def test_rows_keep_their_bytes(tmp_path):
    head = "\ufeffvideo,label,start,note\n"
    rows = [
        '"a, ""b""\r\nc.mp4", run,1.50,\r\n',
        "crêpe \u2028.mp4, run,,cre\u0302pe\n",
        "x.mp4, run,01,last line without an end",
    ]
    (tmp_path / "m.csv").write_bytes((head + "\n".join(rows)).encode())
    out, rest = tmp_path / "out.csv", tmp_path / "rest.csv"
    half = SubsetSettings(fraction=0.5)
    make_subset(str(tmp_path / "m.csv"), str(out), half, str(rest))
    found = [path.read_bytes().decode() for path in (out, rest)]
    assert all(text.startswith(head) for text in found)
    for row in rows:
        assert sum(row in text for text in found) == 1
    # Empty lines, two here, are no rows.
    assert sum(map(len, found)) == 2 * len(head) + len("".join(rows))


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.sets(st.integers(0, 4), min_size=1)),
        min_size=1,
        max_size=40,
    ),
    st.floats(0.05, 0.95),
)
@settings(max_examples=60, deadline=None)
def test_media_stay_whole_and_every_label_is_there(tmp_path_factory, rows, fraction):
    folder = tmp_path_factory.mktemp("subset")
    lines = []
    for n, (medium, labels) in enumerate(rows):
        first, *more = sorted(labels)
        lines.append(f"v{medium},{first},{'|'.join(map(str, more))},{n}\n")
    path = manifest(folder, lines, "video,label,more_labels,start")
    make_subset(path, str(folder / "out.csv"), SubsetSettings(fraction=fraction))
    taken = (folder / "out.csv").read_text().splitlines(keepends=True)[1:]
    rest = set(lines) - set(taken)
    media = [{line.split(",")[0] for line in part} for part in (taken, rest)]
    assert media[0].isdisjoint(media[1])

    assert set(labels_of(taken, 2)) == set(labels_of(lines, 2))


def test_further_labels_may_stand_in_the_first_column(tmp_path):
    lines = [f"b|c,v{n}.mp4,a\n" for n in range(4)]
    *_, summary = subset(tmp_path, lines, 0.5, "more_labels,video,label")
    assert summary.of_label == {"a": 2, "b": 2, "c": 2}


def test_media_of_several_rows_bring_a_class_as_near_as_can_be(tmp_path):
    sizes = [9, 1, 5, 5, 2, 8, 3, 7] * 5
    lines = [
        f"{n}-{k}.mp4,a,m{n}\n" for n, size in enumerate(sizes) for k in range(size)
    ]
    taken, rest, _ = subset(tmp_path, lines, 0.5, "video,label,media_id")
    assert len(taken) + len(rest) == 200
    assert abs(len(taken) - 100) <= max(sizes) / 2
    media = [{line.split(",")[2] for line in part} for part in (taken, rest)]
    assert media[0].isdisjoint(media[1])


def test_a_split_is_taken_alone(tmp_path):
    lines = [f"v{n},a,{('train', 'test')[n % 2]}\n" for n in range(20)]
    taken, rest, _ = subset(tmp_path, lines, 0.3, "video,label,split", split="train")
    assert len(taken) == 3
    assert len(rest) == 7
    assert all(line.endswith("train\n") for line in taken + rest)


def test_the_binary_reads_compressed_manifests_and_says_what_it_took(tmp_path):
    path = tmp_path / "m.csv.gz"
    path.write_bytes(gzip.compress("".join([HEADER + "\n", *LINES]).encode()))
    flags = [f"--manifest={path}", f"--output={tmp_path}/new/out.csv"]
    flags += ["--fraction=0.5"]
    done = warm_python.run("-m", "tfrecords_tools.make_subset", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"{tmp_path}/new/out.csv: 50 rows of 50 videos, 10 to 40 of each of 2 labels\n"
    )
    with open(tmp_path / "new/out.csv", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 50


@pytest.mark.parametrize(
    ("lines", "changes", "message"),
    [
        (["a.mp4,run\n"], {}, r"m\.csv, line 2: 2 cells, but the header has 4"),
        (
            ["a,b,b|c,\n"],
            {"header": "video,label,more_labels,note"},
            r"m\.csv, line 2: the labels are \['b', 'b', 'c'\], expected names, each",
        ),
        ([",run,,\n"], {}, r"m\.csv, line 2: the video or its label is empty"),
        (['"a.mp4,run,,\n'], {}, r"m\.csv, after line 1: unexpected end of data"),
        ([], {}, r"m\.csv lists no files"),
        (LINES[:1], {}, "nothing is left for --rest: all 1 rows are taken"),
        (LINES, {"fraction": 1.0}, "fraction is 1.0, expected above 0 and below 1"),
        (LINES, {"split": "train"}, r"column 'split' is missing"),
        (LINES, {"header": "file,label,a,b"}, r"m\.csv, line 1: column 'video' is mis"),
    ],
)
def test_faults_are_named_and_nothing_is_written(tmp_path, lines, changes, message):
    with pytest.raises(ValueError, match=message):
        subset(tmp_path, lines, **changes)
    assert {path.name for path in tmp_path.iterdir()} <= {"m.csv"}


def test_a_file_that_is_read_is_not_written_over(tmp_path):
    path = manifest(tmp_path, LINES)
    with pytest.raises(ValueError, match="each needs a name of its own"):
        make_subset(path, path, SubsetSettings(fraction=0.5))
    (tmp_path / "bad.csv").write_bytes(b"video,label\na\xff.mp4,run\n")
    with pytest.raises(ValueError, match=r"bad\.csv, after line .*utf-8"):
        make_subset(
            str(tmp_path / "bad.csv"),
            str(tmp_path / "o.csv"),
            SubsetSettings(fraction=0.5),
        )
    with pytest.raises(ValueError, match=r"gone\.csv cannot be read"):
        make_subset(
            str(tmp_path / "gone.csv"),
            str(tmp_path / "o.csv"),
            SubsetSettings(fraction=0.5),
        )


def take(folder, lines, header="video,label,duration,note", **request):
    """Lines of a subset."""
    out = folder / "out.csv"
    make_subset(manifest(folder, lines, header), str(out), SubsetSettings(**request))
    first, *others = out.read_text(encoding="utf-8").splitlines(keepends=True)
    assert first == header + "\n"
    return others


# 200 videos of class a, 20 of b, 4 of c, 1 of d; of class a from 1 to 60 seconds.
TAIL = [f"{n},a,{n % 60 + 1},\n" for n in range(200)]
TAIL += [f"{n},b,{n % 60 + 1},\n" for n in range(200, 220)]
TAIL += ["300,c,2,\n", "301,c,2.5,\n", "302,c,58,\n", "303,c,,\n", "304,d,60,\n"]


def test_the_tail_is_kept_and_the_head_cut(tmp_path):
    request = {"num_videos": 35, "sampling": "tail_preserving"}
    assert labels_of(take(tmp_path, TAIL, **request)) == {
        "a": 15,
        "b": 15,
        "c": 4,
        "d": 1,
    }
    # Roots: 14.1, 4.5, 2, 1; of 43 videos each class gets about twice its root.
    of_label = labels_of(take(tmp_path, TAIL, num_videos=43, sampling="sqrt"))
    assert of_label["d"] == 1
    assert abs(of_label["a"] - 28) <= 1
    assert abs(of_label["b"] - 9) <= 1
    assert of_label["c"] == 4
    assert len(take(tmp_path, TAIL, num_videos=43)) == 43


def test_fewer_labels_are_part_of_more_and_rows_lose_the_others(tmp_path):
    lines = [f"{n},{n % 7},{(n + 1) % 7}|{(n + 3) % 7},{n}\n" for n in range(700)]
    path = manifest(tmp_path, lines, "video,label,more_labels,note")
    settings = SubsetSettings(num_labels="5,1,3", num_videos=90)
    summaries = make_subset(
        path,
        f"{tmp_path}/s{{num_labels}}.csv",
        settings,
        "",
        f"{tmp_path}/{{num_labels}}",
    )
    known = []
    for count, summary in zip((1, 3, 5), summaries, strict=True):
        names = (tmp_path / str(count)).read_text().split()
        rows = (tmp_path / f"s{count}.csv").read_text().splitlines()[1:]
        assert len(rows) == 90
        assert labels_of(rows, 2) == summary.of_label
        assert set(summary.of_label) == set(names)
        assert len(names) == count
        assert set(known) < set(names)
        known = names
        for row in rows:
            video, label, more, note = row.split(",")
            before = [f"{(int(video) + k) % 7}" for k in (0, 1, 3)]
            assert [label, *filter(None, more.split("|"))] == [
                name for name in before if name in names
            ]
            assert note == video


def test_long_videos_are_like_short_ones_and_give_their_centers(tmp_path):
    short = take(tmp_path, TAIL, seconds="1:5")
    assert {float(line.split(",")[2]) for line in short} == {1, 2, 2.5, 3, 4, 5}
    like = manifest(tmp_path, [line for line in short if ",a," in line], name="l.csv")
    settings = SubsetSettings(seconds="50:60", like=like, center_seconds=4)
    out = tmp_path / "long.csv"
    (summary,) = make_subset(
        manifest(tmp_path, TAIL, "video,label,duration,note"), str(out), settings
    )
    assert summary.left_out == 1
    with open(out, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(",a," in line for line in short)
    for row in rows:
        assert row["label"] == "a"
        assert 50 <= float(row["duration"]) <= 60
        assert float(row["end"]) - float(row["start"]) == 4
        assert float(row["end"]) + float(row["start"]) == float(row["duration"])


def test_the_span_of_a_row_is_its_length(tmp_path):
    header = "video,label,start,end,duration"
    lines = ["v,a,10,14,60\n", "w,a,57,,60\n", "x,a,,60,\n", "y,a,1,,\n", "z,a,,2,9\n"]
    assert take(tmp_path, lines, header, seconds="3:4") == lines[:2]
    out = tmp_path / "center.csv"
    path = manifest(tmp_path, lines, header)
    (summary,) = make_subset(path, str(out), SubsetSettings(center_seconds=2.5))
    assert out.read_text().splitlines()[1:] == [
        "v,a,10.75,13.25,60",
        "w,a,57.25,59.75,60",
        "x,a,28.75,31.25,",
        "z,a,0,2,9",
    ]
    assert summary.left_out == 1


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"num_videos": 226},
            r"--num_videos is 226, but .* has 225 videos of 4 labels$",
        ),
        (
            {"num_videos": 99, "seconds": "1:5"},
            r"is 99, but .* has 22 videos of 2 labels, 1:5 seconds long",
        ),
        (
            {"num_videos": 3, "sampling": "tail_preserving"},
            "is 3, too few .* needed are at least 4",
        ),
        ({"seconds": "61:70"}, "no row is 61:70, .* of 225 rows 224 are 1 to 60 sec"),
        (
            {"seconds": "55:60", "like": "short"},
            r"has 1 videos of which 'd' is the rarest label, but 10 are "
            r"needed to be like .*short\.csv .*"
            r"too few of 2 labels .* --num_videos=3 can be met",
        ),
        ({"seconds": "5"}, "seconds is '5', expected FROM:TO"),
        ({"seconds": "5:1"}, "seconds is '5:1', expected FROM:TO"),
        ({}, "fraction is 0.0, expected above 0, or another flag that"),
        ({"fraction": 0.5, "num_videos": 3}, "expected 0 beside --num_videos"),
        ({"sampling": "sqrt", "fraction": 0.5}, "sampling is 'sqrt', expected random"),
        ({"num_labels": "3,x"}, "num_labels is '3,x', expected whole numbers"),
        ({"num_labels": "3"}, "--num_labels and --classes_output belong together"),
    ],
)
def test_a_request_that_cannot_be_met_says_what_there_is(tmp_path, request_, message):
    if "like" in request_:
        short = [f"{n},{'aad'[n % 3]},1,\n" for n in range(30)]
        request_ = {**request_, "like": manifest(tmp_path, short, name="short.csv")}
    with pytest.raises(ValueError, match=message):
        take(tmp_path, TAIL, **request_)
    assert not (tmp_path / "out.csv").exists()


def test_more_labels_than_there_are(tmp_path):
    path = manifest(tmp_path, TAIL)
    names = (str(tmp_path / "o.csv"), SubsetSettings(num_labels="2,9"), "", "c.txt")
    with pytest.raises(ValueError, match=r"o\.csv would be written 2 times"):
        make_subset(path, *names)
    names = (str(tmp_path / "o.csv"), SubsetSettings(num_labels="9"), "", "c.txt")
    with pytest.raises(ValueError, match=r"asks for 9, but rows of .* have 4 labels"):
        make_subset(path, *names)


def test_lengths_that_are_none_are_named(tmp_path):
    with pytest.raises(ValueError, match="225 rows nothing tells the length of any"):
        take(tmp_path, TAIL, "video,label,time,note", seconds="1:5")
    with pytest.raises(ValueError, match=r"line 2: duration is 'long', expected sec"):
        take(tmp_path, ["v,a,long,\n"], seconds="1:5")
