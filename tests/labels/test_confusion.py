"""Counting pairs, judged by a plain loop over them."""

import collections
import fractions
import gzip
import subprocess
import sys
import unicodedata

import numpy as np
import pytest

from spl_tf.labels import ConfusionMatrix, read_class_names, tally

NAMES = ["cook", "ride", "sing", "swim"]


def names(size):
    return [f"class {index}" for index in range(size)]


def random_pairs(size, count, seed=0):
    generator = np.random.default_rng(seed)
    weak = generator.integers(0, size, count)
    other = (weak + generator.geometric(0.4, count)) % size
    return weak, np.where(generator.random(count) < 0.4, weak, other)


def loop_counts(weak, teacher):
    return collections.Counter(zip(weak.tolist(), teacher.tolist(), strict=True))


def cell_dict(confusion):
    weak, teacher, counts = confusion.cells()
    keys = zip(weak.tolist(), teacher.tolist(), strict=True)
    return dict(zip(keys, counts.tolist(), strict=True))


@pytest.mark.parametrize("size", [1, 2, 4, 200, 2048, 2049, 10_653])
def test_counts_are_those_of_a_loop(size):
    weak, teacher = random_pairs(size, 20_000)
    confusion = ConfusionMatrix(names(size))
    confusion.update(weak[:7], teacher[:7])
    confusion.update(weak[7:], teacher[7:])
    assert cell_dict(confusion) == loop_counts(weak, teacher)
    assert confusion.total == 20_000
    assert confusion.num_classes == size
    counts = confusion.counts
    assert counts.shape == (size, size)
    assert counts.dtype == np.int64
    assert (
        counts[int(weak[0]), int(teacher[0])]
        == cell_dict(confusion)[int(weak[0]), int(teacher[0])]
    )


def test_rows_are_weak_labels_and_columns_the_teacher():
    confusion = ConfusionMatrix(NAMES)
    confusion.update([0, 0, 3], [1, 1, 2])
    expected = np.zeros((4, 4), int)
    expected[0, 1] = 2
    expected[3, 2] = 1
    np.testing.assert_array_equal(confusion.counts.toarray(), expected)


def test_cells_are_sorted_by_row_and_then_column():
    confusion = ConfusionMatrix(names(3000))
    confusion.update([2999, 0, 5, 5, 0], [0, 2999, 7, 3, 1])
    weak, teacher, counts = confusion.cells()
    assert list(zip(weak, teacher, strict=True)) == [
        (0, 1),
        (0, 2999),
        (5, 3),
        (5, 7),
        (2999, 0),
    ]
    assert weak.dtype == teacher.dtype == np.int32
    assert counts.dtype == np.int64


def test_the_sparse_counter_sorts_and_merges_many_parts(monkeypatch):
    monkeypatch.setattr(tally, "PENDING_KEYS", 1)
    size = 2100
    confusion = ConfusionMatrix(names(size))
    expected = collections.Counter()
    for seed in range(40):
        weak, teacher = random_pairs(size, 1 + 37 * (seed % 5), seed)
        confusion.update(weak, teacher)
        expected += loop_counts(weak, teacher)
        if seed % 9 == 0:
            assert cell_dict(confusion) == expected
    assert cell_dict(confusion) == expected


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", "i4", ">i4", "u8", "i8", "f4", "f8"]
)
def test_any_dtype_that_holds_whole_numbers_counts(dtype):
    weak, teacher = random_pairs(100, 5000)
    confusion = ConfusionMatrix(names(100))
    confusion.update(weak.astype(dtype), teacher.astype("i8"))
    assert cell_dict(confusion) == loop_counts(weak, teacher)


def test_small_dtypes_do_not_overflow_in_the_keys():
    confusion = ConfusionMatrix(names(200))
    confusion.update(np.array([199, 1], np.uint8), np.array([198, 0], np.uint8))
    assert cell_dict(confusion) == {(199, 198): 1, (1, 0): 1}


def test_the_counts_are_a_copy():
    confusion = ConfusionMatrix(names(3000))
    confusion.update([1], [2])
    confusion.counts.data[:] = 77
    confusion.cells()[2][:] = 77
    assert cell_dict(confusion) == {(1, 2): 1}


def test_noise_ratio_counts_clips_not_cells():
    weak, teacher = random_pairs(4, 1000)
    confusion = ConfusionMatrix(NAMES)
    confusion.update(weak, teacher)
    differ = sum(w != t for w, t in zip(weak, teacher, strict=True))
    assert confusion.noise_ratio == float(fractions.Fraction(differ, 1000))


def test_without_clips_there_is_no_noise_ratio():
    confusion = ConfusionMatrix(NAMES)
    confusion.update([], [])
    assert confusion.noise_ratio is None
    assert confusion.total == 0
    assert cell_dict(confusion) == {}


@pytest.mark.parametrize(
    ("weak", "teacher", "message"),
    [
        ([0, 4], [0, 0], r"weak\[1\] is 4, expected an integer in \[0, 4\)"),
        ([0, 0, 1], [0, 1, -1], r"teacher\[2\] is -1"),
        ([0, 0.5], [0, 0], r"weak\[1\] is 0.5"),
        ([0, float("nan")], [0, 0], r"weak\[1\] is nan"),
        ([0, float("inf")], [0, 0], r"weak\[1\] is inf"),
        ([0, 1], [0], "weak has 2 labels and teacher has 1"),
        ([[0], [1]], [0, 1], r"weak has shape \(2, 1\)"),
        (["cook"], [0], "weak has dtype"),
        ([True], [0], "weak has dtype bool"),
        ([None], [0], "weak has dtype object"),
        (np.array([2**63], np.uint64), [0], r"weak\[0\] is 9223372036854775808"),
        (np.array([-128], np.int8), [0], r"weak\[0\] is -128"),
        (np.ma.masked_array([0], [True]), [0], "masked"),
    ],
)
def test_bad_pairs_are_named_and_change_nothing(weak, teacher, message):
    confusion = ConfusionMatrix(NAMES)
    confusion.update([1], [2])
    with pytest.raises(ValueError, match=message):
        confusion.update(weak, teacher)
    assert cell_dict(confusion) == {(1, 2): 1}
    assert confusion.total == 1


def test_a_bad_pair_after_many_good_ones_changes_nothing():
    weak = np.zeros(300_000, np.int32)
    weak[-1] = 3000
    confusion = ConfusionMatrix(names(3000))
    with pytest.raises(ValueError, match=r"weak\[299999\] is 3000"):
        confusion.update(weak, np.zeros(300_000, np.int32))
    assert confusion.total == 0
    assert cell_dict(confusion) == {}


@pytest.mark.parametrize(
    ("class_names", "error", "message"),
    [
        (["a", "b", "a"], ValueError, r"class_names\[2\] is 'a', which is already"),
        ([], ValueError, "empty"),
        (["a", " "], ValueError, r"class_names\[1\] is empty"),
        ("abc", TypeError, "single string"),
        (["a", 3], TypeError, r"class_names\[1\] is 3"),
    ],
)
def test_bad_class_names_are_refused(class_names, error, message):
    with pytest.raises(error, match=message):
        ConfusionMatrix(class_names)


@pytest.mark.parametrize("size", [4, 3000])
def test_merge_adds_and_leaves_the_other_alone(size):
    weak, teacher = random_pairs(size, 5000)
    one, two = ConfusionMatrix(names(size)), ConfusionMatrix(names(size))
    one.update(weak[:1000], teacher[:1000])
    two.update(weak[1000:], teacher[1000:])
    one.merge(two)
    assert cell_dict(one) == loop_counts(weak, teacher)
    assert cell_dict(two) == loop_counts(weak[1000:], teacher[1000:])
    one.merge(one)
    doubled = {cell: 2 * n for cell, n in loop_counts(weak, teacher).items()}
    assert cell_dict(one) == doubled
    assert one.total == 10_000


def test_merge_refuses_other_classes():
    confusion = ConfusionMatrix(NAMES)
    with pytest.raises(ValueError, match="3 classes into one of 4"):
        confusion.merge(ConfusionMatrix(NAMES[:3]))
    with pytest.raises(ValueError, match="class 0 is 'ride' in the other matrix"):
        confusion.merge(ConfusionMatrix(["ride", "cook", "sing", "swim"]))


def test_from_cells_adds_up_and_drops_empty_cells():
    confusion = ConfusionMatrix.from_cells(
        NAMES, [3, 0, 3, 1], [1, 0, 1, 1], [2, 5, 3, 0]
    )
    assert cell_dict(confusion) == {(0, 0): 5, (3, 1): 5}
    assert confusion.total == 10


def test_from_cells_holds_counts_beyond_32_bits():
    confusion = ConfusionMatrix.from_cells(names(3000), [0, 1], [0, 2], [2**40, 1])
    confusion.update([1], [2])
    assert cell_dict(confusion) == {(0, 0): 2**40, (1, 2): 2}
    assert confusion.noise_ratio == 2 / (2**40 + 2)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1], "shape"),
        ([1, -1], r"counts\[1\] is -1"),
        ([1, 0.5], "dtype"),
    ],
)
def test_from_cells_refuses_bad_counts(counts, message):
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix.from_cells(NAMES, [0, 1], [1, 1], counts)


def test_import_needs_no_tensorflow():
    code = (
        "import sys, spl_tf, spl_tf.labels; "
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_class_names_are_read_in_order(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes("\ufeffbaking cookies\r\nmaking cr\u00eapes \n3\n\n\n".encode())
    assert read_class_names(path) == ["baking cookies", "making cr\u00eapes", "3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n\nb\n", "line 2: empty"),
        (b"a\nb\nc\nb\n", "line 4: 'b' is already on line 2"),
        (b"\n\n", "holds no class name"),
        (b"", "holds no class name"),
        (b"a\n\xff\n", "line 2: not UTF-8"),
        ("e\u0301\nb\n\xe9\n".encode(), "line 3: '\xe9' is already on line 1"),
        ("a\nb\n".encode("utf-16"), "is text in UTF-16, expected a class name a line"),
    ],
)
def test_a_bad_classes_file_is_refused_with_its_line(tmp_path, content, message):
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_class_names(path)
    assert str(path) in str(caught.value)


def test_names_are_composed_wherever_they_come_from(tmp_path):
    nfc, nfd = (unicodedata.normalize(form, "crêpes ガ") for form in ("NFC", "NFD"))
    path = tmp_path / "classes.txt.gz"
    path.write_bytes(gzip.compress(f"a\u2028b\n{nfd}\n".encode()))
    assert read_class_names(path) == ["a\u2028b", nfc]
    decomposed = ConfusionMatrix(["a", nfd])
    assert decomposed.class_names == ("a", nfc)
    decomposed.merge(ConfusionMatrix(["a", nfc]))
    with pytest.raises(ValueError, match=r"class_names\[1\] .* already class_names\[0"):
        ConfusionMatrix([nfc, nfd])
