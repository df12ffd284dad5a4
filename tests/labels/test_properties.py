"""What must hold for every confusion matrix."""

import warnings

import hypothesis
import numpy as np
from hypothesis import strategies as st

from spl_tf.labels import (
    STRATEGIES,
    ConfusionMatrix,
    build_label_map,
    choose_num_labels,
)

repeatable = hypothesis.settings(max_examples=60, deadline=None, derandomize=True)


def class_names(size):
    return [f"class {i}" for i in range(size)]


@st.composite
def matrices(draw, low=0, high=6):
    """Small square matrices of counts, with many ties and empty cells."""
    size = draw(st.integers(1, 6))
    cells = st.lists(st.integers(low, high), min_size=size**2, max_size=size**2)
    return np.array(draw(cells)).reshape(size, size)


@st.composite
def matrices_with_size(draw):
    counts = draw(matrices())
    return counts, draw(st.integers(len(counts), len(counts) ** 2 + 3))


def confusion_of(counts):
    weak, teacher = np.nonzero(counts)
    names = class_names(len(counts))
    return ConfusionMatrix.from_cells(names, weak, teacher, counts[weak, teacher])


def clips_of(counts):
    flat = np.repeat(np.arange(counts.size), counts.reshape(-1))
    return np.divmod(flat, len(counts))


def build(confusion, strategy, num_labels=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build_label_map(confusion, strategy, num_labels)


def table(label_map):
    return label_map.dense_table()


@repeatable
@hypothesis.given(matrices())
def test_one_label_per_class_is_the_weak_label_or_agreement(counts):
    confusion = confusion_of(counts)
    size = len(counts)
    for sized, fixed in (("spl_m", "weak"), ("spl_d", "agreement")):
        ours, theirs = build(confusion, sized, size), build(confusion, fixed)
        np.testing.assert_array_equal(table(ours), table(theirs))
        assert ours.num_labels == theirs.num_labels == size
        assert ours.sample_cover_ratio == theirs.sample_cover_ratio
        assert ours.label_counts.tolist() == theirs.label_counts.tolist()


@repeatable
@hypothesis.given(matrices(low=1))
def test_all_cells_selected_is_the_full_label_space_renumbered(counts):
    confusion = confusion_of(counts)
    full = build(confusion, "spl")
    maps = [build(confusion, name, counts.size) for name in ("spl_m", "spl_d")]
    np.testing.assert_array_equal(table(maps[0]), table(maps[1]))
    for label_map in maps:
        assert label_map.num_labels == full.num_labels
        renumbering = dict(zip(table(label_map).flat, table(full).flat, strict=True))
        assert sorted(renumbering) == list(range(counts.size))
        assert sorted(renumbering.values()) == list(range(counts.size))
        for ours, theirs in renumbering.items():
            assert label_map.label_counts[ours] == full.label_counts[theirs]
            assert label_map.label_names[ours] == full.label_names[theirs]


@repeatable
@hypothesis.given(matrices_with_size())
def test_spl_d_keeps_exactly_what_is_covered(example):
    counts, num_labels = example
    label_map = build(confusion_of(counts), "spl_d", num_labels)
    kept = np.count_nonzero(label_map.lookup(*clips_of(counts)) >= 0)
    assert kept == label_map.num_kept == label_map.num_covered
    if counts.sum():
        assert label_map.sample_cover_ratio == kept / counts.sum()
        assert label_map.kept_ratio == label_map.sample_cover_ratio
    merged = build(confusion_of(counts), "spl_m", num_labels)
    assert merged.sample_cover_ratio == label_map.sample_cover_ratio


@repeatable
@hypothesis.given(matrices_with_size(), st.data())
def test_merging_any_split_in_any_order_gives_the_same_maps(example, data):
    counts, num_labels = example
    weak, teacher = clips_of(counts)
    order = np.array(data.draw(st.permutations(range(len(weak)))), int)
    num_parts = data.draw(st.integers(1, 4))
    parts = [ConfusionMatrix(class_names(len(counts))) for _ in range(num_parts)]
    for part, chosen in zip(parts, np.array_split(order, num_parts), strict=True):
        part.update(weak[chosen], teacher[chosen])
    merged = ConfusionMatrix(class_names(len(counts)))
    for index in data.draw(st.permutations(range(num_parts))):
        merged.merge(parts[index])
    np.testing.assert_array_equal(merged.counts.toarray(), counts)
    for strategy in STRATEGIES:
        size = num_labels if strategy in ("spl_m", "spl_d") else None
        ours = build(merged, strategy, size)
        whole = build(confusion_of(counts), strategy, size)
        np.testing.assert_array_equal(table(ours), table(whole))
        assert ours.label_counts.tolist() == whole.label_counts.tolist()


@repeatable
@hypothesis.given(st.integers(1, 6), st.data())
def test_permuting_the_classes_permutes_the_maps(size, data):
    values = data.draw(st.permutations(range(size**2)))  # No two counts tie.
    counts = np.array(values).reshape(size, size)
    order = np.array(data.draw(st.permutations(range(size))))
    permuted = counts[np.ix_(order, order)]
    names = np.array(class_names(size))
    weak, teacher = np.nonzero(permuted)
    shuffled = ConfusionMatrix.from_cells(
        names[order].tolist(), weak, teacher, permuted[weak, teacher]
    )
    num_labels = data.draw(st.integers(size, size**2))
    for strategy in STRATEGIES:
        asked = num_labels if strategy in ("spl_m", "spl_d") else None
        ours = build(confusion_of(counts), strategy, asked)
        theirs = build(shuffled, strategy, asked)
        assert theirs.num_labels == ours.num_labels
        assert theirs.sample_cover_ratio == ours.sample_cover_ratio
        for (row, column), label in np.ndenumerate(table(theirs)):
            same = table(ours)[order[row], order[column]]
            # Names say the same in any order of the classes.
            assert (label < 0) == (same < 0)
            if label >= 0:
                assert theirs.label_names[label] == ours.label_names[same]


@repeatable
@hypothesis.given(matrices_with_size(), st.sampled_from(STRATEGIES))
def test_labels_are_in_range_and_the_counts_are_those_of_the_clips(example, strategy):
    counts, num_labels = example
    size = num_labels if strategy in ("spl_m", "spl_d") else None
    label_map = build(confusion_of(counts), strategy, size)
    labels = label_map.lookup(*clips_of(counts))
    assert labels.min(initial=0) >= -1
    assert labels.max(initial=0) < label_map.num_labels
    tally = np.bincount(labels[labels >= 0], minlength=label_map.num_labels)
    assert tally.tolist() == label_map.label_counts.tolist()


@repeatable
@hypothesis.given(matrices(), st.floats(0, 1, exclude_min=True))
def test_the_chosen_size_is_the_smallest_that_covers(counts, share):
    hypothesis.assume(counts.sum())
    confusion = confusion_of(counts)
    chosen = choose_num_labels(confusion, share)
    covers = [
        size
        for size in range(len(counts), counts.size + 1)
        if build(confusion, "spl_d", size).sample_cover_ratio >= share
    ]
    assert chosen == min(covers)


@repeatable
@hypothesis.given(matrices_with_size())
def test_the_ratio_of_a_map_leads_back_to_its_size(example):
    counts, num_labels = example
    hypothesis.assume(counts.sum())
    confusion = confusion_of(counts)
    label_map = build(confusion, "spl_m", num_labels)
    assert (
        choose_num_labels(confusion, label_map.sample_cover_ratio)
        == label_map.num_labels
    )
