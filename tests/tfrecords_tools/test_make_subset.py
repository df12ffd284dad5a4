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


def subset(folder, lines, fraction=0.2, header=HEADER, **changes):
    """Lines of the subset and of the rest, and the summary."""
    paths = [str(folder / name) for name in ("out.csv", "rest.csv")]
    summary = make_subset(
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
    labels = collections.Counter(line.split(",")[1] for line in taken)
    assert labels == {"a": 16, "b": 4}
    assert sorted(taken + rest) == sorted(LINES)
    # Order of the manifest.
    assert taken == [line for line in LINES if line in set(taken)]
    assert rest == [line for line in LINES if line in set(rest)]
    assert summary.taken_of_label.tolist() == [16, 4]
    assert summary.of_label.tolist() == [80, 20]


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

    def labels_of(part):
        cells = (line.split(",") for line in part)
        return {name for c in cells for name in (c[1], *c[2].split("|"))} - {""}

    assert labels_of(taken) == labels_of(lines)


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
        f"{tmp_path}/new/out.csv: 50 of 100 rows, 10 to 40 of each of 2 labels\n"
    )
    with open(tmp_path / "new/out.csv", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 50


@pytest.mark.parametrize(
    ("lines", "changes", "message"),
    [
        (["a.mp4,run\n"], {}, r"m\.csv, line 2: 2 cells, but the header has 4"),
        ([",run,,\n"], {}, r"m\.csv, line 2: the video or its label is empty"),
        (['"a.mp4,run,,\n'], {}, r"m\.csv, after line 1: unexpected end of data"),
        ([], {}, r"m\.csv lists no files"),
        (LINES[:1], {}, "nothing is left for --rest: of all 1 rows"),
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
    with pytest.raises(ValueError, match="names of their own"):
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
