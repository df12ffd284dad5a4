import json
import pickle

import numpy as np
import pytest

from spl_tf.labels import (
    DISCARD,
    STRATEGIES,
    ConfusionMatrix,
    LabelMap,
    build_label_map,
    choose_num_labels,
    rule,
)

#           a  b  c   (teacher)
COUNTS = [[10, 4, 0], [4, 0, 7], [1, 4, 20]]
NAMES = ["a", "b", "c"]


def confusion_of(counts, class_names=None):
    counts = np.asarray(counts)
    rows, columns = np.nonzero(counts)
    class_names = class_names or [f"class {i}" for i in range(len(counts))]
    cells = rows, columns, counts[rows, columns]
    return ConfusionMatrix.from_cells(class_names, *cells)


@pytest.fixture
def confusion():
    return confusion_of(COUNTS, NAMES)


@pytest.fixture(params=["table", "rule"])
def way(request, monkeypatch):
    """Looks labels up in both ways: the table of small N and the rule of large N."""
    if request.param == "rule":
        from spl_tf.labels import mapping

        monkeypatch.setattr(mapping, "DENSE_TABLE_CELLS", 0)
    return request.param


def every_id(label_map):
    size = len(label_map.class_names)
    weak, teacher = np.divmod(np.arange(size**2), size)
    return label_map.lookup(weak, teacher).reshape(size, size).tolist()


# By hand from the definitions: the cells by frequency are (1,2) with 7, then (0,1),
# (1,0) and (2,1) with 4 each (lower row first), then (2,0) with 1.
EXPECTED = {
    ("spl", None): [[0, 1, 2], [3, 4, 5], [6, 7, 8]],
    ("spl_m", 5): [[0, 4, 0], [1, 1, 3], [2, 2, 2]],
    ("spl_m", None): [[0, 4, 0], [5, 1, 3], [2, 2, 2]],
    ("spl_d", 5): [[0, 4, -1], [-1, 1, 3], [-1, -1, 2]],
    ("spl_d", 3): [[0, -1, -1], [-1, 1, -1], [-1, -1, 2]],
    ("spl_b", None): [[0, 3, 3], [4, 1, 4], [5, 5, 2]],
    ("weak", None): [[0, 0, 0], [1, 1, 1], [2, 2, 2]],
    ("teacher", None): [[0, 1, 2], [0, 1, 2], [0, 1, 2]],
    ("agreement", None): [[0, -1, -1], [-1, 1, -1], [-1, -1, 2]],
}


@pytest.mark.parametrize(("strategy", "num_labels"), EXPECTED)
def test_each_strategy_gives_the_ids_of_its_definition(
    way, confusion, strategy, num_labels
):
    label_map = build_label_map(confusion, strategy, num_labels)
    expected = EXPECTED[strategy, num_labels]
    assert every_id(label_map) == expected
    assert label_map.dense_table().tolist() == expected
    assert label_map.dense_table().dtype == np.int32
    assert label_map.lookup([0], [0]).dtype == np.int32


@pytest.mark.parametrize(("strategy", "num_labels"), EXPECTED)
def test_statistics_are_those_of_counting_clip_by_clip(confusion, strategy, num_labels):
    label_map = build_label_map(confusion, strategy, num_labels)
    sizes = {"spl": 9, "spl_b": 6}
    size = sizes.get(strategy, num_labels or (6 if strategy[:3] == "spl" else 3))
    counts = [0] * size
    kept = 0
    for row, line in enumerate(EXPECTED[strategy, num_labels]):
        for column, label in enumerate(line):
            if label >= 0:
                counts[label] += COUNTS[row][column]
                kept += COUNTS[row][column]
    assert label_map.num_labels == size == len(label_map.label_names)
    assert label_map.label_counts.tolist() == counts
    assert label_map.label_counts.dtype == np.int64
    assert (label_map.total, label_map.num_kept) == (50, kept)
    assert label_map.kept_ratio == kept / 50
    assert label_map.noise_ratio == 20 / 50
    assert label_map.needs_teacher == (strategy != "weak")
    assert label_map.class_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("strategy", "num_labels", "covered"),
    [
        ("spl", None, 50),
        ("spl_b", None, 50),
        ("spl_m", 4, 37),
        ("spl_d", 4, 37),
        ("spl_m", None, 45),
        ("weak", None, 30),
        ("teacher", None, 30),
        ("agreement", None, 30),
    ],
)
def test_sample_cover_ratio_counts_clips_of_cells_with_their_own_label(
    confusion, strategy, num_labels, covered
):
    label_map = build_label_map(confusion, strategy, num_labels)
    assert label_map.sample_cover_ratio == covered / 50


def test_names_tell_the_diagonal_the_cell_and_the_rest_of_a_row(confusion):
    def names(strategy, num_labels=None):
        return list(build_label_map(confusion, strategy, num_labels).label_names)

    assert names("spl_m", 5) == ["a", "b", "c", "b ~ c", "a ~ b"]
    assert names("spl_b") == ["a", "b", "c", "a ~ other", "b ~ other", "c ~ other"]
    assert names("spl")[:4] == ["a", "a ~ b", "a ~ c", "b ~ a"]
    assert names("spl")[4] == "b"
    assert names("teacher") == NAMES
    sequence = build_label_map(confusion, "spl").label_names
    assert sequence[-1] == "c"
    assert sequence[1:3] == ["a ~ b", "a ~ c"]
    with pytest.raises(IndexError):
        sequence[9]


@pytest.mark.parametrize("num_labels", [8, 9])
def test_empty_cells_are_never_selected_and_a_warning_says_so(confusion, num_labels):
    if num_labels == 8:  # The five non-empty cells are exactly enough.
        assert build_label_map(confusion, "spl_d", 8).num_labels == 8
        return
    with pytest.warns(UserWarning, match="only 5 off-diagonal cells.*8 labels.*of 9"):
        label_map = build_label_map(confusion, "spl_d", num_labels)
    assert (label_map.num_labels, label_map.requested_num_labels) == (8, 9)
    assert label_map.lookup([0], [2]).tolist() == [-1]


def test_more_labels_than_cells_are_clamped_with_a_warning(confusion):
    with pytest.warns(UserWarning, match="100 is more than the 3 x 3 = 9 cells"):
        label_map = build_label_map(confusion, "spl_m", 100)
    assert (label_map.num_labels, label_map.requested_num_labels) == (8, 100)
    full = build_label_map(confusion_of(np.ones((3, 3), int)), "spl_m", 9)
    assert full.num_labels == 9


def test_ties_at_the_cut_go_to_the_lower_row_then_the_lower_column():
    counts = np.full((4, 4), 3)
    label_map = build_label_map(confusion_of(counts), "spl_d", 9)
    expected = np.full((4, 4), -1)
    np.fill_diagonal(expected, range(4))
    expected[0, [1, 2, 3]] = [4, 5, 6]
    expected[1, [0, 2]] = [7, 8]
    np.testing.assert_array_equal(label_map.dense_table(), expected)


def test_selection_is_over_the_whole_matrix_not_per_row():
    counts = np.diag([5, 5, 5]) + [[0, 9, 8], [1, 0, 1], [1, 7, 0]]
    label_map = build_label_map(confusion_of(counts), "spl_d", 6)
    assert label_map.dense_table().tolist() == [[0, 3, 4], [-1, 1, -1], [-1, 5, 2]]


def test_a_class_without_agreeing_clips_keeps_its_id(confusion):
    # Class b has no diagonal clip; with spl_m its row's rare cells go to id 1.
    label_map = build_label_map(confusion, "spl_m", 3)
    assert label_map.lookup([1], [0]).tolist() == [1]
    assert label_map.label_counts.tolist() == [14, 11, 25]
    assert build_label_map(confusion, "agreement").label_counts.tolist() == [10, 0, 20]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_clips_have_no_ratios(strategy):
    confusion = ConfusionMatrix(NAMES)
    if strategy in ("spl_m", "spl_d"):
        with pytest.warns(UserWarning, match="only 0"):
            label_map = build_label_map(confusion, strategy)
        assert label_map.num_labels == 3
    else:
        label_map = build_label_map(confusion, strategy)
    assert label_map.sample_cover_ratio is None
    assert label_map.kept_ratio is None
    assert label_map.noise_ratio is None
    assert label_map.label_counts.tolist() == [0] * label_map.num_labels
    assert label_map.lookup([0], [0]).tolist() == [0]
    assert len(label_map.lookup([], [])) == 0


@pytest.mark.parametrize(
    ("strategy", "size"),
    {"spl": 1, "spl_m": 1, "spl_d": 1, "spl_b": 2, "weak": 1, "teacher": 1}.items(),
)
def test_one_class_is_allowed(strategy, size):
    confusion = ConfusionMatrix(["only"])
    confusion.update([0, 0], [0, 0])
    label_map = build_label_map(confusion, strategy)
    assert label_map.num_labels == size
    assert label_map.lookup([0, 0], [0, 0]).tolist() == [0, 0]
    assert label_map.label_counts.tolist() == [2, 0][:size]


def test_weak_needs_no_teacher_and_ignores_one(confusion):
    label_map = build_label_map(confusion, "weak")
    assert label_map.lookup([2, 0]).tolist() == [2, 0]
    assert label_map.lookup([2, 0], [-1, 99]).tolist() == [2, 0]
    with pytest.raises(ValueError, match="'spl_b' needs the teacher"):
        build_label_map(confusion, "spl_b").lookup([2, 0])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([0, 3], r"weak\[1\] is 3, expected an integer in \[0, 3\)"),
        ([-1, 0], r"weak\[0\] is -1"),
        ([0.5, 0], r"weak\[0\] is 0.5"),
        ([True, False], "bool"),
        ([[0, 1]], "one dimension"),
    ],
)
def test_lookup_refuses_bad_labels(way, confusion, strategy, bad, message):
    label_map = build_label_map(confusion, strategy)
    with pytest.raises(ValueError, match=message):
        label_map.lookup(bad, [0, 0])
    if strategy != "weak":
        with pytest.raises(ValueError, match=message.replace("weak", "teacher")):
            label_map.lookup([0, 0], bad)
        with pytest.raises(ValueError, match="weak has 3 labels and teacher has 2"):
            label_map.lookup([0, 0, 0], [0, 0])


def test_unknown_strategies_and_bad_sizes_are_refused(confusion):
    with pytest.raises(ValueError, match=r"'spl_x'.*spl, spl_m, spl_d.*agreement"):
        build_label_map(confusion, "spl_x")
    for strategy in ("spl", "spl_b", "weak", "teacher", "agreement"):
        with pytest.raises(ValueError, match="fixes the number of labels"):
            build_label_map(confusion, strategy, 6)
    with pytest.raises(ValueError, match="num_labels is 2, expected at least the 3"):
        build_label_map(confusion, "spl_m", 2)
    for bad in (4.0, True, "4"):
        with pytest.raises(ValueError, match="expected an integer"):
            build_label_map(confusion, "spl_d", bad)


def test_full_ids_that_overflow_int32_are_refused_and_the_largest_fit():
    too_many = ConfusionMatrix([str(i) for i in range(46_341)])
    with pytest.raises(ValueError, match="2147488281 label ids, more than int32"):
        build_label_map(too_many, "spl")
    assert build_label_map(too_many, "spl_b").num_labels == 2 * 46_341
    largest = ConfusionMatrix([str(i) for i in range(46_340)])
    largest.update([46_339, 0, 46_339], [46_339, 46_339, 0])
    label_map = build_label_map(largest, "spl")
    last = 46_340**2 - 1
    found = label_map.lookup([46_339, 0, 46_339], [46_339, 46_339, 0]).tolist()
    assert found == [last, 46_339, 46_339 * 46_340]
    assert label_map.label_names[last] == "46339"
    assert label_map.label_names[46_339] == "0 ~ 46339"


def test_a_large_table_is_refused_but_lookup_works(confusion):
    size = 4097
    large = ConfusionMatrix([str(i) for i in range(size)])
    large.update([7, 7, 8], [9, 9, 10])
    label_map = build_label_map(large, "spl_d", size + 1)
    with pytest.raises(ValueError, match="4097 x 4097"):
        label_map.dense_table()
    found = label_map.lookup([7, 8, 4096, 0], [9, 10, 4096, 4096])
    assert found.tolist() == [size, -1, 4096, -1]


def test_the_rule_says_how_to_find_an_id_without_a_table(confusion):
    label_map = build_label_map(confusion, "spl_m", 5)
    found = label_map.rule
    assert found.cells.tolist() == [1, 5]  # 3 * 0 + 1 and 3 * 1 + 2.
    assert found.cell_ids.tolist() == [4, 3]
    assert (found.cells.dtype, found.cell_ids.dtype) == (np.int64, np.int32)
    assert found.offset != DISCARD
    assert build_label_map(confusion, "spl_d", 5).rule.offset == DISCARD
    assert build_label_map(confusion, "agreement").rule.offset == DISCARD
    table = [[0] * 3 for _ in range(3)]
    for weak in range(3):
        for teacher in range(3):
            exception = dict(zip(found.cells, found.cell_ids, strict=True))
            table[weak][teacher] = (
                found.diagonal_factor * weak
                if weak == teacher
                else exception.get(
                    3 * weak + teacher,
                    found.weak_factor * weak
                    + found.teacher_factor * teacher
                    + found.offset,
                )
            )
    assert table == EXPECTED["spl_m", 5]


@pytest.mark.parametrize(("strategy", "num_labels"), EXPECTED)
@pytest.mark.parametrize("place", ["map.npz", "folder"])
def test_a_saved_map_comes_back_whole(tmp_path, confusion, strategy, num_labels, place):
    label_map = build_label_map(confusion, strategy, num_labels)
    label_map.save(tmp_path / place)
    loaded = LabelMap.load(tmp_path / place)
    assert every_id(loaded) == EXPECTED[strategy, num_labels]
    assert list(loaded.label_names) == list(label_map.label_names)
    assert loaded.label_counts.tolist() == label_map.label_counts.tolist()
    for name in (
        "class_names",
        "strategy",
        "num_labels",
        "requested_num_labels",
        "total",
        "num_kept",
        "sample_cover_ratio",
        "kept_ratio",
        "noise_ratio",
        "needs_teacher",
    ):
        assert getattr(loaded, name) == getattr(label_map, name), name
    assert every_id(pickle.loads(pickle.dumps(loaded))) == every_id(label_map)


def test_a_saved_map_that_contradicts_itself_is_refused(tmp_path, confusion):
    build_label_map(confusion, "spl_d", 5).save(tmp_path)
    path = tmp_path / "label_map.json"
    header = json.loads(path.read_text())
    for change in ({"num_labels": 9}, {"num_kept": 1}, {"strategy": "other"}):
        path.write_text(json.dumps({**header, **change}))
        with pytest.raises(ValueError, match="not a valid label map"):
            LabelMap.load(tmp_path)


def test_choose_num_labels_takes_the_smallest_size_that_reaches_the_ratio(confusion):
    # 30 clips on the diagonal of 50, then cells of 7, 4, 4, 4 and 1.
    covered = [30, 37, 41, 45, 49, 50]
    for target in [t / 100 for t in range(1, 101)]:
        expected = next(3 + k for k, c in enumerate(covered) if c / 50 >= target)
        assert choose_num_labels(confusion, target) == expected, target


@pytest.mark.parametrize("bad", [0, -0.5, 1.01, float("nan"), True, "0.5", None])
def test_choose_num_labels_refuses_a_bad_ratio(confusion, bad):
    with pytest.raises(ValueError, match="sample_cover_ratio"):
        choose_num_labels(confusion, bad)


def test_choose_num_labels_refuses_no_clips():
    with pytest.raises(ValueError, match="empty"):
        choose_num_labels(ConfusionMatrix(NAMES), 0.5)


def test_the_limit_of_the_table_is_what_its_error_says():
    assert rule.DENSE_TABLE_CELLS == 4096**2
