import dataclasses

import numpy as np
import pytest

from spl_tf.inference.fusion import fuse
from spl_tf.inference.scores import Scores

NAMES = ("a.npz", "b.npz")


def random_scores(seed, count=9, classes=("x", "y", "z"), **changes):
    rng = np.random.default_rng(seed)
    scores = Scores(
        rows=np.arange(count),
        ids=np.array([f"clip {n}" for n in range(count)]),
        labels=np.arange(count, dtype=np.int32) % 3,
        probabilities=rng.dirichlet(np.ones(len(classes)), count).astype(np.float32),
        class_names=classes,
        settings={"seed": seed},
    )
    return dataclasses.replace(scores, **changes)


def shuffled(scores, seed=0):
    order = np.random.default_rng(seed).permutation(len(scores.ids))
    columns = ("rows", "ids", "labels", "probabilities")
    return dataclasses.replace(
        scores, **{c: getattr(scores, c)[order] for c in columns}
    )


def test_probabilities_are_the_weighted_mean_of_the_same_clips():
    first, second = random_scores(1), random_scores(2)
    fused = fuse([first, shuffled(second)], [1, 0.5], NAMES)
    expected = np.average(
        [first.probabilities, second.probabilities], axis=0, weights=[2, 1]
    )
    np.testing.assert_allclose(fused.probabilities, expected, rtol=1e-6)
    assert fused.probabilities.dtype == np.float32
    for column in ("rows", "ids", "labels"):
        np.testing.assert_array_equal(getattr(fused, column), getattr(first, column))
    assert fused.settings == {
        "fusion": [
            {"predictions": "a.npz", "weight": 1, "settings": {"seed": 1}},
            {"predictions": "b.npz", "weight": 0.5, "settings": {"seed": 2}},
        ]
    }


LABELS = np.arange(9, dtype=np.int32) % 3
CHANGES = {
    r"clip 'clip 9' of b.npz is not in a.npz \(1 such": random_scores(2, count=10),
    r"clip 'clip 7' of a.npz is not in b.npz \(2 such": random_scores(2, count=7),
    "class 2 is 'z' in a.npz and 'w' in b.npz": random_scores(2, classes=tuple("xyw")),
    "class 3 is None in a.npz and 'w' in": random_scores(2, classes=tuple("xyzw")),
    "clip 'clip 4' has other labels in b.npz than in a.npz": random_scores(
        2, labels=np.where(np.arange(9) == 4, 0, LABELS).astype(np.int32)
    ),
    "one label in one of a.npz and b.npz": random_scores(2, labels=np.eye(9, 3) > 0),
    "b.npz has clip 'clip 0' 2 times": random_scores(
        2, ids=np.array([f"clip {n % 8}" for n in range(9)])
    ),
}


@pytest.mark.parametrize("message", CHANGES)
def test_what_differs_is_named(message):
    with pytest.raises(ValueError, match=message):
        fuse([random_scores(1), shuffled(CHANGES[message])], [1, 1], NAMES)


def test_impossible_weights_are_refused():
    both = [random_scores(1), random_scores(2)]
    with pytest.raises(ValueError, match="3 weights for 2 predictions"):
        fuse(both, [1, 1, 1], NAMES)
    for weight in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"the weight of b\.npz is"):
            fuse(both, [1, weight], NAMES)
