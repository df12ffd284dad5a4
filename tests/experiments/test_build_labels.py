"""The command, on files that were written by other means than its own."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import pathlib
import subprocess
import sys
import unicodedata
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from experiments import build_labels as command
from experiments import pair_files
from spl_tf.labels import STRATEGIES, ConfusionMatrix, LabelMap

NAMES = ["baking cookies", "scrambling eggs", "7", "play, pause"]
ROOT = pathlib.Path(__file__).parents[2]

# Rows are weak labels.
COUNTS = [[5, 3, 0, 0], [2, 4, 0, 1], [0, 0, 6, 0], [0, 0, 3, 1]]


@pytest.fixture
def classes(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("\n".join(NAMES) + "\n")
    return path


def example_pairs():
    pairs = [(w, t) for w in range(4) for t in range(4) for _ in range(COUNTS[w][t])]
    order = np.random.default_rng(0).permutation(len(pairs))
    return [pairs[i] for i in order]


def as_csv(rows, header=("weak", "teacher")):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def named_pairs():
    return [(NAMES[weak], NAMES[teacher]) for weak, teacher in example_pairs()]


def build(tmp_path, classes_file, content=None, **arguments):
    if content is not None:
        path = tmp_path / "pairs.csv"
        path.write_bytes(content)
        arguments = {"pairs": str(path), "classes": classes_file, **arguments}
    return command.build_labels(
        tmp_path / "out", arguments.pop("strategy", "spl_b"), **arguments
    )


def counts_of(result):
    return result.confusion.counts.toarray().tolist()


def read(path, class_names, **columns):
    batches = list(pair_files.read_pairs(str(path), class_names, **columns))
    assert all(column.dtype == np.int32 for batch in batches for column in batch)
    return [pair for batch in batches for pair in zip(*map(list, batch), strict=True)]


def test_everything_is_written(tmp_path, classes):
    result = build(tmp_path, classes, as_csv(named_pairs()), labels_csv=True)
    assert counts_of(result) == COUNTS
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "confusion",
        "confusion.png",
        "distribution.png",
        "label_map",
        "labels.csv",
    ]
    loaded = ConfusionMatrix.load(out / "confusion")
    assert loaded.counts.toarray().tolist() == COUNTS
    assert loaded.class_names == tuple(NAMES)
    label_map = LabelMap.load(out / "label_map")
    assert label_map.strategy == "spl_b"
    with open(out / "labels.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["row", "label"]
    expected = [w if w == t else 4 + w for w, t in example_pairs()]
    assert rows[1:] == [[str(i), str(y)] for i, y in enumerate(expected, 1)]


def test_labels_of_a_former_label_map_are_not_left_beside_another(tmp_path, classes):
    build(tmp_path, classes, as_csv(named_pairs()), labels_csv=True)
    build(tmp_path, classes, as_csv(named_pairs()), strategy="weak")
    assert not (tmp_path / "out" / "labels.csv").exists()


def test_labels_csv_marks_discarded_rows_and_spans_chunks(
    tmp_path, classes, monkeypatch
):
    monkeypatch.setattr(command, "_CHUNK", 3)
    content = as_csv(example_pairs())
    build(tmp_path, classes, content, strategy="agreement", labels_csv=True)
    text = (tmp_path / "out" / "labels.csv").read_text().splitlines()[1:]
    expected = [w if w == t else -1 for w, t in example_pairs()]
    assert text == [f"{row},{label}" for row, label in enumerate(expected, 1)]


@pytest.mark.parametrize(
    "content",
    [
        as_csv(named_pairs()),
        as_csv([(w, t) if w != 2 else ("7", t) for w, t in example_pairs()]),
        as_csv([(f"{w}.0", f" {t} ") for w, t in example_pairs()]),
        b"\xef\xbb\xbf" + as_csv(named_pairs()).replace(b"\r\n", b"\n"),
        gzip.compress(as_csv(named_pairs())),
        bz2.compress(as_csv(named_pairs())),
        lzma.compress(as_csv(named_pairs())),
        pa.compress(as_csv(named_pairs()), "zstd", asbytes=True),
        gzip.compress(as_csv(named_pairs()[:9]))
        + gzip.compress(as_csv(named_pairs()[9:]).split(b"\r\n", 1)[1]),
        as_csv([("a\nb", t, w) for w, t in named_pairs()], ("id", "teacher", "weak")),
        as_csv(named_pairs(), ("query", "prediction")),
    ],
    ids=(
        *("names", "mixed", "floats", "bom", "gzip", "bzip2", "xz", "zstd", "gzips"),
        *("named columns", "query, prediction"),
    ),
)
def test_forms_of_csv(tmp_path, classes, content):
    assert counts_of(build(tmp_path, classes, content)) == COUNTS


def test_columns_can_be_named(tmp_path, classes):
    rows = [("0", t, w) for w, t in example_pairs()]
    content = as_csv(rows, ("weak", "guess", "query"))
    result = build(
        tmp_path, classes, content, weak_column="query", teacher_column="guess"
    )
    assert counts_of(result) == COUNTS


@pytest.mark.parametrize(
    ("header", "order"),
    [
        (("", "query", "pred"), "iwt"),
        (("Unnamed: 0", "teacher_label", "weak_label"), "itw"),
        (("label", "Prediction", "score"), "wti"),
        (("Weak Label", "Teacher-Label", "clip"), "wti"),
        (("label", "weak", "teacher"), "iwt"),
        (("found by", "said"), "wt"),
        (("pred", "found by"), "tw"),
    ],
)
def test_columns_are_found_by_what_they_are_called(tmp_path, classes, header, order):
    rows = [
        [{"i": index % 4, "w": w, "t": t}[kind] for kind in order]
        for index, (w, t) in enumerate(example_pairs())
    ]
    assert counts_of(build(tmp_path, classes, as_csv(rows, header))) == COUNTS


@pytest.mark.parametrize(
    ("header", "named", "flag"),
    [
        (("", "found by", "said"), {}, "--weak_column"),
        (("", "0", "1"), {}, "--weak_column"),
        (("", "pred"), {}, "--weak_column"),
        (("Unnamed: 0", "weak"), {}, "--teacher_column"),
        (("video_id", "teacher"), {}, "--weak_column"),
        (("query", "label", "pred"), {}, "--weak_column"),
        (("weak", "pred", "prediction"), {}, "--teacher_column"),
        (("a", "b", "c"), {"weak_column": "b"}, "--teacher_column"),
        (("index", "b"), {"teacher_column": "b"}, "--weak_column"),
    ],
)
def test_columns_that_are_not_obvious_are_asked_for(
    tmp_path, classes, header, named, flag
):
    content = as_csv([list(range(len(header)))] * 3, header)
    with pytest.raises(ValueError, match=f"which column .* {flag}") as caught:
        build(tmp_path, classes, content, **named)
    assert ", ".join(map(repr, header)) in str(caught.value)
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.table({name: [0, 1] for name in header}), path)
    with pytest.raises(ValueError, match=f"which column .* {flag}"):
        read(path, NAMES, **named)


def test_composed_and_decomposed_names_are_one(tmp_path):
    nfc, nfd = (unicodedata.normalize(form, "crêpes") for form in ("NFC", "NFD"))
    path = tmp_path / "pairs.csv"
    path.write_text(f"weak,teacher\n{nfd},{nfc}\n{nfc},b\n", encoding="utf-8")
    for known in (nfc, nfd):
        assert read(path, ["b", known]) == [(1, 1), (1, 0)]
    path.write_text(f"{nfd},b\n0,1\n", encoding="utf-8")
    assert read(path, ["b", "c"], weak_column=nfc, teacher_column="b") == [(0, 1)]


def test_a_name_counts_before_an_index(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes(b"weak,teacher\n2,1\n0,2\n")
    # The class named 2 has the index 0; 0 is no name, so it is an index.
    assert read(path, ["2", "a", "b"]) == [(0, 1), (0, 0)]


def test_many_blocks_keep_the_order(tmp_path, monkeypatch):
    monkeypatch.setattr(pair_files, "_BLOCK_BYTES", 1000)
    generator = np.random.default_rng(1)
    pairs = generator.integers(0, 300, (5000, 2)).tolist()
    path = tmp_path / "pairs.csv"
    # A block must not end inside of quotes.
    rows = [("two\nlines", f"class {w}", t) for w, t in pairs]
    path.write_bytes(as_csv(rows, ("id", "weak", "teacher")))
    found = read(path, [f"class {i}" for i in range(300)])
    assert found == [tuple(pair) for pair in pairs]


@pytest.mark.parametrize(
    "columns",
    [
        {"weak": [NAMES[w] for w, _ in example_pairs()]},
        {"weak": pa.array([w for w, _ in example_pairs()], pa.int16())},
        {"weak": pa.array([float(w) for w, _ in example_pairs()])},
        {"weak": pa.array([NAMES[w] for w, _ in example_pairs()]).dictionary_encode()},
        {"weak": pa.array([NAMES[w] for w, _ in example_pairs()], pa.large_string())},
    ],
    ids=["names", "integers", "floats", "dictionary", "large strings"],
)
def test_parquet(tmp_path, classes, columns, monkeypatch):
    monkeypatch.setattr(pair_files, "_BATCH_ROWS", 7)
    path = tmp_path / "pairs.parquet"
    teacher = [NAMES[t] for _, t in example_pairs()]
    pq.write_table(pa.table({"id": teacher, "teacher": teacher, **columns}), path)
    result = build(tmp_path, classes, pairs=str(path), classes=classes)
    assert counts_of(result) == COUNTS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"weak,teacher\n0,1\n0,juggling\n", r"line 3, column 'teacher': 'juggling'"),
        (b"weak,teacher\n0,1\n4,0\n", r"line 3, column 'weak': '4', .* from 0 to 3"),
        (b"weak,teacher\n-1,0\n", r"line 2, .*'-1', .*class names in .*classes.txt"),
        (b"weak,teacher\n0,1.5\n", r"line 2, column 'teacher': '1.5'"),
        (b"weak,teacher\n0,nan\n", r"line 2, column 'teacher': 'nan'"),
        (b"weak,teacher\n0,1\n0,1\n0,\n", r"line 4, column 'teacher': empty"),
        (b"weak,teacher\n0,Baking Cookies\n", "'Baking Cookies'"),
        (b"weak,teacher\n0,1\n0,1,2\n", r"line 3: 3 cells, but the header has 2"),
        (b"weak,teacher\n0,1\n0\n", "line 3: 1 cells"),
        (b"weak,teacher\n0,1\n0,\xff\n", r"line 3: not UTF-8 \(.*\), expected a CSV"),
        (b"weak,teacher,\xff\n", "line 1: not UTF-8"),
        (b'weak,teacher\n0,1\n0,"1\n0,1\n', "after line 2: unexpected end of data"),
        (b'id,weak,teacher\n"a\nb",0,1\n\nc,0,x\n', "line 5, column 'teacher': 'x'"),
        (b"weak,teacher\n0," + b"x" * 9999, r"'x{79}\.\.\., expected"),
        (b"weak\n0\n", "single column 'weak'"),
        (b"0,1\n2,3\n", "has no header: its first row is the labels '0' and '1'"),
        (b"", "is empty"),
        (b"id,weak,guess\n0,1,2\n", "which column is the teacher's.*'id', 'weak', 'gu"),
        (gzip.compress(b"weak,teacher\n0,1\n", mtime=0)[:-9], "cannot be read"),
        (bz2.compress(b"weak,teacher\n0,1\n")[:-9], "cannot be read"),
        (lzma.compress(b"weak,teacher\n0,1\n")[:-9], "cannot be read"),
        (pa.compress(b"weak,teacher\n0,1\n", "zstd", asbytes=True)[:-2], "cannot be"),
        (b"PAR1 and so on", "cannot be read"),
        ("weak,teacher\n0,1\n".encode("utf-16"), "is text in UTF-16, expected a CSV"),
        (pa.compress(b"PAR1\0\0", "gzip", asbytes=True), "holds a Parquet file"),
    ],
)
def test_bad_files_are_refused_and_leave_nothing(tmp_path, classes, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        build(tmp_path, classes, content, labels_csv=True)
    assert "pairs.csv" in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("row", [b"0,1", b'"a\nb",3', b"0,1\r\n"])
def test_a_single_row_needs_no_newline(tmp_path, row):
    path = tmp_path / "pairs.csv"
    path.write_bytes(b"weak,teacher\n" + row)
    assert read(path, ["a\nb", "c", "d", "e"]) in ([(0, 1)], [(0, 3)])


def test_the_row_of_an_error_counts_over_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(pair_files, "_BLOCK_BYTES", 200)
    path = tmp_path / "pairs.csv"
    path.write_bytes(as_csv([(0, 1)] * 777 + [(0, "oops")] + [(0, 1)] * 500))
    with pytest.raises(ValueError, match="line 779, column 'teacher': 'oops'"):
        read(path, NAMES)
    with open(path, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        with pytest.raises(
            ValueError, match="input, row 778, column 'teacher': 'oops'"
        ):
            read("-", NAMES)


def test_an_empty_value_in_parquet_is_refused_with_its_row(tmp_path):
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.table({"weak": [0, 1, None], "teacher": [0, 0, 0]}), path)
    with pytest.raises(ValueError, match="row 3, column 'weak': empty"):
        read(path, NAMES)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array(np.zeros(2, np.float16)), "halffloat"),
        (pa.array([[0], [1]]), r"list<.*int64>"),
        (pa.array([b"0", b"1"]), "binary"),
        (pa.array([False, True]), "bool"),
        (pa.array([{"a": 0}, {"a": 1}]), r"struct<a: int64>"),
    ],
)
def test_a_parquet_column_of_no_labels_is_told_with_its_type(tmp_path, column, kind):
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.table({"weak": [0, 1], "teacher": column}), path)
    message = f"pairs.parquet, column 'teacher': its type is {kind}, expected strings"
    with pytest.raises(ValueError, match=message):
        read(path, NAMES)


def test_files_that_are_no_csv_say_what_they_are(tmp_path):
    path = tmp_path / "pairs.csv"
    table = pa.table({"weak": [0, 1], "teacher": [0, 1]})
    pyarrow.feather.write_feather(table, path)
    with pytest.raises(ValueError, match=r"is a Feather .*expected .*or a Parquet"):
        read(path, NAMES)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("pairs.csv", as_csv(example_pairs()))
    with pytest.raises(ValueError, match=r"pairs.csv is a zip archive, expected a CSV"):
        read(path, NAMES)


def test_a_missing_column_is_answered_with_those_that_exist(tmp_path, classes):
    with pytest.raises(ValueError, match=r"0 columns 'gold'.* 'weak', 'teacher'"):
        build(tmp_path, classes, as_csv(named_pairs()), weak_column="gold")


def test_a_header_without_rows_gives_empty_maps(tmp_path, classes):
    result = build(tmp_path, classes, b"weak,teacher\n", labels_csv=True)
    assert result.confusion.total == 0
    assert (tmp_path / "out" / "labels.csv").read_text() == "row,label\n"


def test_the_table_compares_all_strategies(tmp_path, classes):
    result = build(
        tmp_path, classes, as_csv(named_pairs()), strategy="spl_d", num_labels=6
    )
    lines = result.table.splitlines()
    assert "25 clips, 4 classes, noise ratio 36.00%" in lines[0]
    rows = {line[3:].split()[0]: line for line in lines[3 : 3 + len(STRATEGIES)]}
    # labels, clips kept, kept, cover, largest, smallest; selected: (0, 1), (3, 2).
    assert {name: line[3:].split()[1:] for name, line in rows.items()} == {
        "spl": ["16", "25", "100.00%", "100.00%", "6", "0"],
        "spl_m": ["6", "25", "100.00%", "88.00%", "7", "1"],
        "spl_d": ["6", "22", "88.00%", "88.00%", "6", "1"],
        "spl_b": ["8", "25", "100.00%", "100.00%", "6", "0"],
        "weak": ["4", "25", "100.00%", "64.00%", "8", "4"],
        "teacher": ["4", "25", "100.00%", "64.00%", "9", "2"],
        "agreement": ["4", "16", "64.00%", "64.00%", "6", "1"],
    }
    assert [name for name, line in rows.items() if line[0] == ">"] == ["spl_d"]
    ends = {len(line) for line in lines[2 : 3 + len(STRATEGIES)]}
    assert len(ends) == 1
    assert "\x1b" not in result.table


def test_a_share_of_clips_chooses_the_size(tmp_path, classes):
    content = as_csv(named_pairs())
    result = build(tmp_path, classes, content, strategy="spl_m", sample_cover_ratio=0.8)
    assert result.label_map.num_labels == 6
    assert result.label_map.sample_cover_ratio == 22 / 25


def test_notes_tell_of_labels_that_cannot_be_used(tmp_path, classes):
    result = build(
        tmp_path, classes, as_csv(named_pairs()), strategy="spl_m", num_labels=12
    )
    assert any("only 4 off-diagonal cells" in note for note in result.notes)


def test_a_label_space_beyond_int32_spoils_only_its_own_row():
    confusion = ConfusionMatrix([str(i) for i in range(46_341)])
    confusion.update([0, 1], [0, 2])
    result = command.compare_strategies(confusion, "weak")
    assert "spl" not in result.label_maps
    assert "more ids than int32" in result.table
    with pytest.raises(ValueError, match="more than int32 holds"):
        command.compare_strategies(confusion, "spl")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "spl_x"}, "unknown strategy 'spl_x'"),
        ({"num_labels": 8}, "'spl_b' fixes the number of labels"),
        ({"sample_cover_ratio": 0.5}, "'spl_b' fixes the number of labels"),
        (
            {"strategy": "spl_m", "num_labels": 8, "sample_cover_ratio": 0.5},
            "not both",
        ),
        ({"strategy": "spl_m", "num_labels": 3}, "at least the 4 classes"),
        ({"strategy": "spl_m", "sample_cover_ratio": 1.5}, "sample_cover_ratio is 1.5"),
        ({"dataset": "clips"}, "either pairs"),
        ({"classes": None}, "pairs needs classes"),
        ({"pairs": None}, "either pairs"),
        ({"pairs": None, "dataset": "clips"}, "leave classes out"),
        (
            {"pairs": None, "classes": None, "dataset": "d", "labels_csv": True},
            "labels_csv needs pairs",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(tmp_path, classes, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(tmp_path, classes, as_csv(named_pairs()), **arguments)
    out = tmp_path / "out"
    assert not out.exists() or list(out.iterdir()) == []


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, **options
    )


def test_the_command_reads_standard_input(tmp_path, classes):
    out = tmp_path / "out"
    arguments = ["--pairs=-", f"--classes={classes}", f"--output_dir={out}"]
    module = ["-m", "experiments.build_labels"]
    process = run(
        *module,
        *arguments,
        "--strategy=spl_d",
        "--num_labels=5",
        "--labels_csv",
        input=gzip.compress(as_csv(named_pairs())),
    )
    assert process.returncode == 0, process.stderr.decode()
    output = process.stdout.decode()
    assert "> spl_d 5 19 76.00%" in " ".join(output.split())
    assert "pairs/s" not in process.stderr.decode()  # Progress is for terminals.
    assert LabelMap.load(out / "label_map").num_kept == 19
    assert len((out / "labels.csv").read_text().splitlines()) == 26

    process = run(*module, *arguments, input=b"weak,teacher\n0,oops\n")
    assert process.returncode == 1
    error = process.stderr.decode()
    assert "standard input, row 1, column 'teacher': 'oops'" in error
    assert "Traceback" not in error


def test_pairs_need_no_tensorflow(tmp_path, classes):
    (tmp_path / "pairs.csv").write_bytes(as_csv(named_pairs()))
    code = f"""
import sys
from experiments.build_labels import build_labels
build_labels({str(tmp_path / "out")!r}, "weak", pairs={str(tmp_path / "pairs.csv")!r},
             classes={str(classes)!r})
sys.exit("tensorflow" in sys.modules)
"""
    assert run("-c", code).returncode == 0


def test_memory_does_not_grow_with_the_file(tmp_path, classes):
    rows = as_csv([("baking cookies", "scrambling eggs")] * 200_000)
    path = tmp_path / "pairs.csv.gz"
    body = rows.split(b"\r\n", 1)[1]
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"weak,teacher\r\n")
        for _ in range(30):
            file.write(body)
    code = f"""
import resource, sys
from experiments.build_labels import _count_pairs
from spl_tf.labels import ConfusionMatrix
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
confusion = ConfusionMatrix({NAMES!r})
_count_pairs(confusion, {str(path)!r}, (None, None), "", None)
assert confusion.total == 6_000_000
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(peak * (1 if sys.platform == "darwin" else 1024))
"""
    process = run("-c", code)
    assert process.returncode == 0, process.stderr.decode()
    # The rows are 198 MB of text.
    assert int(process.stdout) < 120e6


def test_a_dataset_needs_no_pass_over_its_clips(tmp_path):
    clips = pytest.importorskip("spl_tf.clips")
    weak, teacher = np.nonzero(COUNTS)
    cells = {
        "weak": weak.tolist(),
        "teacher": teacher.tolist(),
        "count": np.array(COUNTS)[weak, teacher].tolist(),
    }
    for name, prediction in (("with", {"confusion": cells}), ("without", None)):
        os.mkdir(tmp_path / name)
        clips.DatasetInfo(
            class_names=NAMES,
            label_kind="weak",
            shards=[],
            source={},
            skipped=[],
            teacher=prediction,
        ).save(tmp_path / name)
    result = build(tmp_path, None, dataset=tmp_path / "with", strategy="spl_m")
    assert counts_of(result) == COUNTS
    header = json.loads((tmp_path / "out/label_map/label_map.json").read_text())
    assert header["class_names"] == NAMES
    with pytest.raises(ValueError, match=r"without .*experiments\.predict"):
        build(tmp_path, None, dataset=tmp_path / "without")
