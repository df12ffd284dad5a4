"""Label maps, judged by the definitions of the paper's section 3.3 in plain Python."""

import warnings

import numpy as np
import pytest

from spl_tf.labels import (
    DISCARD,
    STRATEGIES,
    ConfusionMatrix,
    build_label_map,
    choose_num_labels,
)

# Rows are weak labels. The order of the off-diagonal cells by frequency, ties first by
# row, then by column: (0, 2) 9, (1, 0) 9, (3, 2) 9, (0, 1) 4, (2, 3) 4, (3, 0) 1.
COUNTS = [
    [10, 4, 9, 0],
    [9, 20, 0, 0],
    [0, 0, 0, 4],
    [1, 0, 9, 30],
]
ORDER = [(0, 2), (1, 0), (3, 2), (0, 1), (2, 3), (3, 0)]
TOTAL = 96
DIAGONAL = 60
NAMES = ["baking cookies", "scrambling eggs", "making pizza", "cutting apple"]
SIZED = ("spl_m", "spl_d")


def confusion_of(counts, class_names=None):
    counts = np.array(counts)
    class_names = class_names or [f"class {i}" for i in range(len(counts))]
    weak, teacher = np.nonzero(counts)
    return ConfusionMatrix.from_cells(class_names, weak, teacher, counts[weak, teacher])


def example(strategy, num_labels=None):
    return build_label_map(confusion_of(COUNTS, NAMES), strategy, num_labels)


def all_pairs(size):
    weak, teacher = np.divmod(np.arange(size**2), size)
    return weak, teacher


def label_by_definition(strategy, weak, teacher, size, selected):
    if strategy == "spl":
        return size * weak + teacher
    if strategy == "weak":
        return weak
    if strategy == "teacher":
        return teacher
    if weak == teacher:
        return weak
    if strategy == "spl_b":
        return size + weak
    if strategy == "agreement":
        return -1
    if (weak, teacher) in selected:
        return size + selected.index((weak, teacher))
    return weak if strategy == "spl_m" else -1


def selected_by_definition(counts, quota):
    size = len(counts)
    cells = [(w, t) for w in range(size) for t in range(size) if w != t]
    filled = [cell for cell in cells if counts[cell[0]][cell[1]] > 0]
    return sorted(filled, key=lambda cell: (-counts[cell[0]][cell[1]], cell))[:quota]


def assert_follows_definition(counts, strategy, num_labels=None):
    size = len(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        label_map = build_label_map(confusion_of(counts), strategy, num_labels)
    requested = 2 * size if num_labels is None else num_labels
    selected = selected_by_definition(counts, requested - size)
    weak, teacher = all_pairs(size)
    expected = [
        label_by_definition(strategy, int(w), int(t), size, selected)
        for w, t in zip(weak, teacher, strict=True)
    ]
    looked_up = label_map.lookup(weak, teacher)
    assert looked_up.dtype == np.int32
    assert looked_up.tolist() == expected
    assert label_map.rule.apply(weak, teacher).tolist() == expected
    assert label_map.dense_table().reshape(-1).tolist() == expected
    assert label_map.cells.tolist() == sorted(label_map.cells.tolist())

    clips = [0] * label_map.num_labels
    for label, w, t in zip(expected, weak, teacher, strict=True):
        if label >= 0:
            clips[label] += counts[w][t]
    assert label_map.label_counts.dtype == np.int64
    assert label_map.label_counts.tolist() == clips
    assert label_map.num_kept == sum(clips)
    return label_map


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_cell_gets_the_label_of_the_definition(strategy):
    assert_follows_definition(COUNTS, strategy)


@pytest.mark.parametrize("strategy", SIZED)
@pytest.mark.parametrize("num_labels", range(4, 17))
def test_every_size_of_the_label_space(strategy, num_labels):
    label_map = assert_follows_definition(COUNTS, strategy, num_labels)
    assert label_map.num_labels == min(num_labels, 10)
    assert label_map.requested_num_labels == num_labels


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("size", [1, 2, 30])
def test_random_matrices_with_many_ties(strategy, size):
    counts = np.random.default_rng(size).integers(0, 4, (size, size)).tolist()
    assert_follows_definition(counts, strategy)


def test_selected_cells_are_ranked_by_frequency_row_and_column():
    label_map = example("spl_m", 10)
    weak, teacher = np.transpose(ORDER)
    assert label_map.lookup(weak, teacher).tolist() == [4, 5, 6, 7, 8, 9]


def test_selection_is_global_and_may_leave_a_row_without():
    label_map = example("spl_d", 7)
    assert label_map.cells.tolist() == [0 * 4 + 2, 1 * 4 + 0, 3 * 4 + 2]
    assert label_map.lookup([2, 0], [3, 1]).tolist() == [DISCARD, DISCARD]


def test_the_size_need_not_be_a_multiple_of_the_classes():
    assert example("spl_m", 6).num_labels == 6
    assert example("spl_m", np.int64(7)).num_labels == 7


@pytest.mark.parametrize("strategy", SIZED)
def test_the_default_size_is_two_per_class(strategy):
    assert example(strategy).requested_num_labels == 8


@pytest.mark.parametrize(
    ("strategy", "num_labels", "covered", "kept"),
    [
        ("spl", None, TOTAL, TOTAL),
        ("spl_b", None, TOTAL, TOTAL),
        ("spl_m", 6, DIAGONAL + 18, TOTAL),
        ("spl_d", 6, DIAGONAL + 18, DIAGONAL + 18),
        ("spl_m", 4, DIAGONAL, TOTAL),
        ("spl_d", 4, DIAGONAL, DIAGONAL),
        ("weak", None, DIAGONAL, TOTAL),
        ("teacher", None, DIAGONAL, TOTAL),
        ("agreement", None, DIAGONAL, DIAGONAL),
    ],
)
def test_statistics_are_shares_of_clips(strategy, num_labels, covered, kept):
    label_map = example(strategy, num_labels)
    assert label_map.sample_cover_ratio == covered / TOTAL
    assert label_map.kept_ratio == kept / TOTAL
    assert label_map.num_kept == kept
    assert label_map.total == TOTAL
    assert label_map.noise_ratio == (TOTAL - DIAGONAL) / TOTAL


def test_names_can_be_read():
    assert list(example("weak").label_names) == NAMES
    assert list(example("spl_m", 6).label_names) == [
        *NAMES,
        "baking cookies ~ making pizza",
        "scrambling eggs ~ baking cookies",
    ]
    names = example("spl_b").label_names
    assert list(names) == NAMES + [f"{name} ~ other" for name in NAMES]
    assert names[-1] == "cutting apple ~ other"
    assert names[3:5] == ["cutting apple", "baking cookies ~ other"]
    assert len(names) == 8
    with pytest.raises(IndexError):
        names[8]
    full = example("spl").label_names
    assert full[5] == "scrambling eggs"
    assert full[4] == "scrambling eggs ~ baking cookies"


def test_names_and_map_of_a_huge_label_space_are_made_lazily():
    size = 10_653
    confusion = ConfusionMatrix([f"c{i}" for i in range(size)])
    confusion.update([0, size - 1, 7, 7], [1, size - 1, 9, 9])
    label_map = build_label_map(confusion, "spl")
    assert label_map.num_labels == len(label_map.label_names) == size**2
    assert label_map.label_names[size**2 - 1] == f"c{size - 1}"
    assert label_map.label_names[1] == "c0 ~ c1"
    assert label_map.lookup([7, size - 1], [9, 0]).tolist() == [
        7 * size + 9,
        (size - 1) * size,
    ]
    assert label_map.used_labels.tolist() == [1, 7 * size + 9, size**2 - 1]
    assert label_map.used_label_counts.tolist() == [1, 2, 1]
    with pytest.raises(ValueError, match="larger than the limit"):
        label_map.dense_table()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lookup_without_a_table_equals_the_definition(strategy):
    size = 5000
    generator = np.random.default_rng(3)
    weak = generator.integers(0, size, 150_000)
    teacher = np.where(generator.random(150_000) < 0.5, weak, (weak + 1) % size)
    confusion = ConfusionMatrix([f"c{i}" for i in range(size)])
    confusion.update(weak[:50_000], teacher[:50_000])
    num_labels = 6000 if strategy in SIZED else None
    label_map = build_label_map(confusion, strategy, num_labels)
    selected = {}
    if strategy in SIZED:
        w, t, n = (column.tolist() for column in confusion.cells())
        cells = [c for c in zip(w, t, n, strict=True) if c[0] != c[1]]
        cells.sort(key=lambda cell: (-cell[2], cell[0], cell[1]))
        selected = {cell[:2]: size + i for i, cell in enumerate(cells[:1000])}
    found = label_map.lookup(weak, teacher)
    for w, t, label in zip(weak.tolist(), teacher.tolist(), found, strict=True):
        own = selected.get((w, t))
        expected = own or label_by_definition(strategy, w, t, size, [])
        assert label == expected, (w, t)


@pytest.mark.parametrize("strategy", SIZED)
def test_empty_cells_are_never_selected(strategy):
    with pytest.warns(UserWarning, match="only 6 off-diagonal cells hold clips"):
        label_map = example(strategy, 12)
    assert label_map.num_labels == 10
    assert label_map.requested_num_labels == 12
    assert len(label_map.label_names) == 10


def test_more_labels_than_cells_are_clamped_with_a_warning():
    with pytest.warns(UserWarning, match="num_labels 99 is more than the 4 x 4 = 16"):
        assert example("spl_m", 99).num_labels == 10


def test_warnings_point_at_the_caller():
    with pytest.warns(UserWarning, match="num_labels 99") as caught:
        build_label_map(confusion_of(COUNTS), "spl_m", 99)
    assert caught[0].filename == __file__


def test_enough_labels_for_all_cells_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert example("spl_m", 10).num_labels == 10
        assert build_label_map(confusion_of([[3]]), "spl_m").num_labels == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_without_clips_ratios_are_undefined(strategy):
    label_map = assert_follows_definition([[0] * 3] * 3, strategy)
    assert label_map.num_labels == {"spl": 9, "spl_b": 6}.get(strategy, 3)
    assert label_map.sample_cover_ratio is None
    assert label_map.kept_ratio is None
    assert label_map.noise_ratio is None


def test_one_class():
    sizes = {s: build_label_map(confusion_of([[5]]), s).num_labels for s in STRATEGIES}
    assert sizes == {**dict.fromkeys(STRATEGIES, 1), "spl_b": 2}


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - set(SIZED)))
def test_a_fixed_size_refuses_num_labels(strategy):
    with pytest.raises(ValueError, match=f"{strategy}' fixes the number of labels"):
        example(strategy, 8)


@pytest.mark.parametrize("strategy", SIZED)
@pytest.mark.parametrize(
    ("num_labels", "message"),
    [
        (3, "num_labels is 3, expected at least the 4 classes"),
        (6.5, "num_labels is 6.5, expected an integer"),
        (True, "num_labels is True"),
        ("8", "num_labels is '8'"),
    ],
)
def test_bad_sizes_are_refused(strategy, num_labels, message):
    with pytest.raises(ValueError, match=message):
        example(strategy, num_labels)


def test_an_unknown_strategy_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'spl_x'.*spl, spl_m, spl_d, .*agreement"):
        example("spl_x")


def test_ids_that_overflow_int32_are_refused():
    size = 46_341  # The smallest one whose square is above 2^31 - 1.
    confusion = ConfusionMatrix([str(i) for i in range(size)])
    with pytest.raises(ValueError, match="more than int32 holds"):
        build_label_map(confusion, "spl")
    assert build_label_map(confusion, "spl_b").num_labels == 2 * size


def test_the_largest_ids_fit_in_int32():
    size = 46_340
    confusion = ConfusionMatrix([str(i) for i in range(size)])
    label_map = build_label_map(confusion, "spl")
    assert label_map.lookup([size - 1], [size - 1]).tolist() == [size**2 - 1]


def test_only_weak_works_without_a_teacher():
    weak = example("weak")
    assert not weak.needs_teacher
    assert weak.lookup([3, 0]).tolist() == [3, 0]
    assert weak.lookup([3, 0], [-1, -1]).tolist() == [3, 0]
    for strategy in set(STRATEGIES) - {"weak"}:
        assert example(strategy).needs_teacher
        with pytest.raises(ValueError, match="needs the teacher's predictions"):
            example(strategy).lookup([3, 0])


@pytest.mark.parametrize("size", [4, 5000])
@pytest.mark.parametrize(
    ("weak", "teacher", "message"),
    [
        ([0, -1], [0, 0], r"weak\[1\] is -1"),
        ([0], [5000], r"teacher\[0\] is 5000"),
        ([0.5], [0], r"weak\[0\] is 0.5"),
        ([0, 1], [0], "weak has 2 labels and teacher has 1"),
    ],
)
def test_bad_labels_are_refused_at_lookup(size, weak, teacher, message):
    confusion = ConfusionMatrix([str(i) for i in range(size)])
    with pytest.raises(ValueError, match=message):
        build_label_map(confusion, "spl_b").lookup(weak, teacher)


def test_a_map_is_fixed_when_it_is_built():
    confusion = confusion_of(COUNTS)
    label_map = build_label_map(confusion, "spl_d", 5)
    confusion.update([3] * 500, [0] * 500)
    assert label_map.lookup([3, 0], [0, 2]).tolist() == [DISCARD, 4]
    assert label_map.total == TOTAL


@pytest.mark.parametrize(
    ("cover", "num_labels"),
    [
        (0.01, 4),
        (60 / 96, 4),
        (60 / 96 + 1e-9, 5),
        (69 / 96, 5),
        (0.72, 6),
        (78 / 96, 6),
        (87 / 96, 7),
        (0.95, 9),
        (95 / 96, 9),
        (0.999, 10),
        (1, 10),
        (1.0, 10),
    ],
)
def test_the_smallest_size_that_covers_a_share(cover, num_labels):
    confusion = confusion_of(COUNTS)
    assert choose_num_labels(confusion, cover) == num_labels
    label_map = build_label_map(confusion, "spl_d", num_labels)
    assert label_map.sample_cover_ratio >= cover


@pytest.mark.parametrize("cover", [0, -0.5, 1.01, float("nan"), "0.5", None, True])
def test_a_share_outside_0_to_1_is_refused(cover):
    with pytest.raises(ValueError, match="sample_cover_ratio is"):
        choose_num_labels(confusion_of(COUNTS), cover)


def test_without_clips_no_size_can_be_chosen():
    with pytest.raises(ValueError, match="empty"):
        choose_num_labels(ConfusionMatrix(NAMES), 0.5)
