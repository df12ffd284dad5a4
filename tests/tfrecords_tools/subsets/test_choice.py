import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spl_tf.labels.several import SeveralLabels
from tfrecords_tools.subsets.choice import (
    Media,
    choose_fraction,
    choose_number,
    number_in_proportion,
    share_out,
)

# How many videos each class has, of one row each.
COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def media_of(counts, seed=0):
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    rows = np.random.default_rng(5).permutation(len(labels))
    several = SeveralLabels(labels[rows], np.arange(len(labels) + 1))
    return Media(np.arange(len(labels)), several, len(counts), seed)


def taken_of_label(media, taken):
    return np.bincount(media.label[taken], minlength=media.num_labels)


@given(COUNTS, st.floats(0.001, 0.999), st.floats(0.001, 0.999))
@settings(max_examples=100, deadline=None)
def test_a_fraction_is_exact_per_class_and_nested(counts, first, second):
    media = media_of(counts)
    small, large = (choose_fraction(media, f) for f in sorted((first, second)))
    assert not (small & ~large).any()
    wanted = [max(1, np.floor(min(first, second) * n + 0.5)) for n in counts]
    assert taken_of_label(media, small).tolist() == wanted


@given(COUNTS, st.integers(0, 10**6), st.sampled_from(["sqrt", "tail_preserving"]))
@settings(max_examples=150, deadline=None)
def test_a_number_is_exact_nested_and_takes_of_every_class(counts, number, sampling):
    media = media_of(counts)
    number = len(counts) + number % (sum(counts) - len(counts) + 1)
    taken = choose_number(media, number, sampling)
    assert np.count_nonzero(taken) == number
    assert not (choose_number(media, max(1, number - 1), sampling) & ~taken).any()
    of_label = taken_of_label(media, taken)
    assert of_label.min() >= 1
    cut = of_label < counts
    if not cut.any():
        return
    if sampling == "tail_preserving":
        # Every class is whole, or has the cap or one more.
        assert np.ptp(of_label[cut]) <= 1
        assert of_label.max() <= of_label[cut].min() + 1
    else:
        # One factor of the roots explains all: each is within one of it, or whole.
        roots = np.sqrt(counts)
        several = cut & (of_label > 1)
        if several.any():
            least = ((of_label - 1) / roots)[of_label > 1].max()
            most = ((of_label + 1) / roots)[cut].min()
            assert least <= most


def test_seeds_take_different_videos_uniformly():
    times = np.zeros(60)
    for seed in range(400):
        times += choose_number(media_of([50, 10], seed), 12, "random")
    assert times.sum() == 400 * 12
    # Binomial(400, 0.2): mean 80, deviation 8.
    assert 80 - 4.5 * 8 < times.min() < times.max() < 80 + 4.5 * 8


def test_a_video_of_several_labels_counts_for_its_rarest():
    labels = SeveralLabels(
        np.array([0, 1, 0, 0, 2, 0, 1], np.int32), np.array([0, 2, 3, 5, 7])
    )
    media = Media(np.arange(4), labels, 3)
    assert media.label.tolist() == [1, 0, 2, 1]
    # One video may be all that two labels have.
    assert labels.rows(np.flatnonzero(choose_fraction(media, 0.01)), 3).any(0).all()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any), st.data())
@settings(max_examples=100, deadline=None)
def test_shares_sum_up_and_a_number_is_found_that_can_be_met(counts, data):
    counts = np.array(counts)
    number = data.draw(st.integers(0, 200))
    shares = share_out(number, counts)
    assert shares.sum() == number
    assert np.abs(shares - number * counts / counts.sum()).max() < 1
    available = np.array(
        data.draw(
            st.lists(st.integers(0, 40), min_size=len(counts), max_size=len(counts))
        )
    )
    found = number_in_proportion(counts, available)
    assert (share_out(found, counts) <= available).all()
    # One more would be more than its exact share of some class.
    assert ((found + 1) * counts > available * counts.sum()).any()


@pytest.mark.parametrize("sampling", ["random", "sqrt", "tail_preserving"])
def test_all_are_taken_where_all_are_asked_for(sampling):
    assert choose_number(media_of([3, 1, 9]), 13, sampling).all()
