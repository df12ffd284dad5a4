import numpy as np
import pytest

from spl_tf.labels.filters import (
    ClassBalance,
    ClipFilter,
    KeptClips,
    counts_per_class,
    read_filter,
)
from spl_tf.media_groups import media_group

LABEL = np.array([0, 0, 0, 0, 1, 1, 2])
COLUMNS = {
    "teacher": np.array([0, 1, 0, 0, 1, 2, 2]),
    "confidence": np.array([0.9, 0.8, 0.3, 0.3, 0.5, 0.6, 0.1], np.float32),
    "label_confidence": np.array([0.9, 0.1, 0.3, 0.3, 0.5, 0.2, 0.1], np.float32),
    "group": np.array([media_group(name) for name in "aabbccd"]),
}


def rows(**rules):
    return np.flatnonzero(ClipFilter(**rules).keeps(LABEL, COLUMNS)).tolist()


def test_without_rules_everything_is_kept_and_nothing_needed():
    assert rows() == list(range(7))
    assert ClipFilter().keeps(LABEL, {}).all()
    assert ClipFilter().needs == ()


def test_each_rule_keeps_what_it_says():
    assert rows(agreement=True) == [0, 2, 3, 4, 6]
    assert rows(min_confidence=0.5) == [0, 1, 4, 5]
    assert rows(min_label_confidence=0.3) == [0, 2, 3, 4]
    assert rows(exclude_ids=frozenset({"b", "d", "unknown"})) == [0, 1, 4, 5]


def test_the_most_confident_share_is_kept_of_each_class_or_of_all():
    assert rows(keep_fraction=0.5) == [0, 1, 5, 6]
    assert rows(keep_fraction=0.5, per_class=False) == [0, 1, 4, 5]
    # Of clips that are as confident, the first; shares are rounded up.
    assert rows(keep_fraction=0.6) == [0, 1, 2, 4, 5, 6]


def test_the_share_is_of_what_other_rules_leave():
    assert rows(agreement=True, keep_fraction=0.5) == [0, 2, 4, 6]


def test_a_share_of_many_is_that_of_a_sort():
    generator = np.random.default_rng(0)
    label = generator.integers(0, 5, 1000)
    confidence = generator.random(1000).astype(np.float32)
    kept = ClipFilter(keep_fraction=0.13).keeps(label, {"confidence": confidence})
    for each in range(5):
        mine = confidence[label == each]
        wanted = np.sort(mine)[::-1][: int(np.ceil(0.13 * len(mine)))]
        assert sorted(confidence[kept & (label == each)]) == sorted(wanted)


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("classes", [5, 70_000])
def test_of_clips_that_are_as_confident_the_first_are_kept(per_class, classes):
    generator = np.random.default_rng(1)
    label = generator.integers(0, 5, 2000) * (classes // 5)
    confidence = generator.integers(0, 4, 2000) / 4
    rule = ClipFilter(min_confidence=0.25, keep_fraction=0.4, per_class=per_class)
    kept = rule.keeps(label, {"confidence": confidence})
    for each in set(label.tolist()) if per_class else [None]:
        those = (confidence >= 0.25) & ((label == each) | (each is None))
        ranked = sorted(np.flatnonzero(those), key=lambda row: (-confidence[row], row))
        wanted = sorted(ranked[: int(np.ceil(0.4 * len(ranked)))])
        assert np.flatnonzero(kept & those).tolist() == wanted


def test_what_the_rules_need_is_named():
    assert ClipFilter(agreement=True).needs == ("teacher",)
    everything = ClipFilter(frozenset("a"), True, 0.5, 0.5, 0.5)
    assert everything.needs == ("group", "teacher", "confidence", "label_confidence")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"min_confidence": 1.5}, "min_confidence is 1.5"),
        ({"keep_fraction": 0.0}, "keeps no clip"),
        ({"keep_fraction": -0.1}, "keep_fraction is -0.1"),
    ],
)
def test_impossible_rules_are_refused(rules, message):
    with pytest.raises(ValueError, match=message):
        ClipFilter(**rules)


def test_clips_are_counted_per_class():
    kept = ClipFilter(agreement=True).keeps(LABEL, COLUMNS)
    assert counts_per_class(LABEL, kept, "abcd") == {
        "a": (4, 3),
        "b": (2, 1),
        "c": (1, 1),
        "d": (0, 0),
    }


def test_rules_of_a_config_may_name_a_list_of_ids(tmp_path):
    path = tmp_path / "ids.csv"
    path.write_text("b\n\nunkn\u00f6wn\n", encoding="utf-8")
    rules = {"agreement": True, "exclude_ids": str(path)}
    assert read_filter(rules) == ClipFilter(frozenset({"b", "unknöwn"}), True)
    assert read_filter({"exclude_ids": ""}) == ClipFilter()


def test_balance_is_told_by_ratios_and_entropy():
    even = ClassBalance.of([5, 5, 5, 5])
    assert (even.largest_to_median, even.largest_to_smallest) == (1, 1)
    assert even.effective_classes == pytest.approx(4)
    assert even.evenness == pytest.approx(1)
    # Shares 1/2, 1/4, 1/4: 1.5 bits, as of 2^1.5 classes; 4 even ones have 2 bits.
    uneven = ClassBalance.of([2, 0, 1, 1])
    assert uneven.classes == 3
    assert (uneven.largest_to_median, uneven.largest_to_smallest) == (2, 2)
    assert uneven.effective_classes == pytest.approx(2**1.5)
    assert uneven.evenness == pytest.approx(0.75)
    assert ClassBalance.of([3]).evenness == 1


def test_emptied_classes_are_those_that_had_clips():
    kept = KeptClips({"a": (4, 3), "b": (6, 0), "c": (0, 0)})
    assert kept.emptied == ["b"]
    assert (kept.before, kept.after, kept.share) == (10, 3, 0.3)
    assert [each.classes for each in kept.balance] == [2, 1]
