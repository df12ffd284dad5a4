import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spl_tf.labels import ConfusionMatrix, build_label_map, choose_num_labels


@st.composite
def pairs(draw, max_classes=7, max_clips=60):
    """A number of classes and clips of (weak, teacher)."""
    size = draw(st.integers(1, max_classes))
    label = st.integers(0, size - 1)
    clips = draw(st.lists(st.tuples(label, label), max_size=max_clips))
    return size, clips


def confusion_of(size, clips, class_names=None):
    confusion = ConfusionMatrix(class_names or [f"c{i}" for i in range(size)])
    confusion.update([w for w, _ in clips], [t for _, t in clips])
    return confusion


def build(confusion, strategy, num_labels=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build_label_map(confusion, strategy, num_labels)


def table(label_map):
    return label_map.dense_table().tolist()


@settings(deadline=None)
@given(pairs())
def test_k_of_one_gives_the_baselines(world):
    confusion = confusion_of(*world)
    size = confusion.num_classes
    for sized, baseline in (("spl_m", "weak"), ("spl_d", "agreement")):
        ours, theirs = build(confusion, sized, size), build(confusion, baseline)
        assert table(ours) == table(theirs)
        assert ours.label_counts.tolist() == theirs.label_counts.tolist()
        assert ours.sample_cover_ratio == theirs.sample_cover_ratio


@settings(deadline=None)
@given(pairs())
def test_all_cells_selected_is_the_full_map_renumbered(world):
    size, clips = world
    confusion = confusion_of(size, clips)
    full = build(confusion, "spl")
    weak, teacher = [w for w, _ in clips], [t for _, t in clips]
    for strategy in ("spl_m", "spl_d"):
        label_map = build(confusion, strategy, size**2)
        ours = label_map.lookup(weak, teacher).tolist()
        theirs = full.lookup(weak, teacher).tolist()
        assert -1 not in ours
        # One to one: neither side joins what the other one keeps apart.
        assert len(set(zip(ours, theirs, strict=True))) == len(set(ours))
        assert len(set(ours)) == len(set(theirs))


@settings(deadline=None)
@given(pairs(), st.integers(0, 50))
def test_spl_d_keeps_exactly_the_sample_cover_ratio(world, more):
    size, clips = world
    label_map = build(confusion_of(size, clips), "spl_d", size + more)
    labels = label_map.lookup([w for w, _ in clips], [t for _, t in clips])
    kept = sum(label >= 0 for label in labels.tolist())
    assert kept == label_map.num_kept == label_map.num_covered
    expected = kept / len(clips) if clips else None
    assert label_map.sample_cover_ratio == label_map.kept_ratio == expected
    merged = build(confusion_of(size, clips), "spl_m", size + more)
    assert merged.sample_cover_ratio == expected


@settings(deadline=None)
@given(pairs(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_merging_in_any_order_and_split_gives_the_same_maps(world, random, parts):
    size, clips = world
    whole = confusion_of(size, clips)
    shuffled = random.sample(clips, len(clips))
    pieces = [confusion_of(size, shuffled[i::parts]) for i in range(parts)]
    random.shuffle(pieces)
    merged = ConfusionMatrix(whole.class_names)
    for piece in pieces:
        merged.merge(piece)
    assert merged.counts.toarray().tolist() == whole.counts.toarray().tolist()
    for strategy in ("spl_m", "spl_d", "spl_b", "spl"):
        assert table(build(merged, strategy)) == table(build(whole, strategy))


@settings(deadline=None)
@given(
    st.integers(2, 6).flatmap(lambda n: st.tuples(*[st.permutations(range(n))] * 2)),
    st.randoms(use_true_random=False),
    st.integers(0, 12),
)
def test_permuting_the_classes_permutes_the_maps(orders, random, more):
    # The counts are a permutation of 0, 1, 2, ...: none tie.
    size = len(orders[0])
    counts = np.array(random.sample(range(size**2), size**2)).reshape(size, size)
    order = np.array(orders[0])
    names = [f"c{i}" for i in range(size)]
    rows, columns = np.divmod(np.arange(size**2), size)
    place = np.argsort(order)  # Class i of the one is class place[i] of the other.
    one = ConfusionMatrix.from_cells(names, rows, columns, counts.reshape(-1))
    two = ConfusionMatrix.from_cells(
        [names[i] for i in order], place[rows], place[columns], counts.reshape(-1)
    )
    sized = {"spl_m": size + more, "spl_d": size + more}
    for strategy in ("spl", "spl_m", "spl_d", "spl_b", "weak", "teacher", "agreement"):
        maps = [build(c, strategy, sized.get(strategy)) for c in (one, two)]
        first = maps[0].lookup(rows, columns).tolist()
        second = maps[1].lookup(place[rows], place[columns]).tolist()
        for label, permuted in zip(first, second, strict=True):
            if min(label, permuted) < 0:
                assert label == permuted
            else:
                # The same label by name and by its number of clips.
                assert maps[0].label_names[label] == maps[1].label_names[permuted]
                counts_of = [m.label_counts for m in maps]
                assert counts_of[0][label] == counts_of[1][permuted]
        assert maps[0].sample_cover_ratio == maps[1].sample_cover_ratio


@settings(deadline=None)
@given(pairs(), st.integers(0, 50))
def test_selected_cells_are_those_of_a_plain_sort(world, more):
    size, clips = world
    counts = [[clips.count((w, t)) for t in range(size)] for w in range(size)]
    ranked = sorted(
        (-counts[w][t], w, t)
        for w in range(size)
        for t in range(size)
        if w != t and counts[w][t]
    )[: min(size + more, size**2) - size]
    expected = [[w if w == t else -1 for t in range(size)] for w in range(size)]
    for rank, (_, w, t) in enumerate(ranked):
        expected[w][t] = size + rank
    label_map = build(confusion_of(size, clips), "spl_d", size + more)
    assert table(label_map) == expected
    assert label_map.num_labels == size + len(ranked)


@settings(deadline=None)
@given(pairs(), st.sampled_from(["spl", "spl_m", "spl_d", "spl_b", "teacher"]))
def test_the_rule_and_the_table_agree(world, strategy):
    size, clips = world
    label_map = build(confusion_of(size, clips), strategy)
    weak, teacher = np.divmod(np.arange(size**2), size)
    assert (
        label_map.rule.apply(weak, teacher).tolist()
        == label_map.dense_table().reshape(-1).tolist()
    )


@settings(deadline=None)
@given(pairs(), st.integers(0, 50))
def test_the_ratio_of_a_map_leads_back_to_its_size(world, more):
    size, clips = world
    if not clips:
        return
    confusion = confusion_of(size, clips)
    label_map = build(confusion, "spl_d", size + more)
    if not label_map.sample_cover_ratio:
        return
    chosen = choose_num_labels(confusion, label_map.sample_cover_ratio)
    again = build(confusion, "spl_d", chosen)
    assert chosen <= label_map.num_labels
    assert again.sample_cover_ratio == label_map.sample_cover_ratio
