import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

from spl_tf.inference import near_duplicates
from spl_tf.inference.near_duplicates import Whitening, similar_pairs

NAMES = ["a", "b", "c"]


def correlated(rng, count, views=3, width=12):
    mixing = np.linspace(0.1, 3, width)[:, None] * rng.normal(size=(width, width))
    return (rng.normal(size=(count, views, width)) @ mixing + 4).astype(np.float32)


def unit(rng, count, views, width=8):
    features = rng.normal(size=(count, views, width)).astype(np.float32)
    return features / np.linalg.norm(features, axis=-1, keepdims=True)


def test_cosines_are_those_of_scikit_learn_s_whitening():
    rng = np.random.default_rng(0)
    target, web = correlated(rng, 400), correlated(rng, 50)
    whitening = Whitening.fit(target, epsilon=0)
    found = whitening.apply(web).reshape(150, -1)
    pca = PCA(whiten=True).fit(target.reshape(1200, -1).astype(np.float64))
    expected = cosine_similarity(pca.transform(web.reshape(150, -1)))
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-4)


def test_directions_in_which_nothing_differs_do_not_count():
    rng = np.random.default_rng(1)
    target, web = correlated(rng, 400), correlated(rng, 50)
    plain = Whitening.fit(target)
    # The same numbers in more dimensions, with a constant and a copy among them.
    wide = [
        np.concatenate([each, np.full_like(each[..., :1], 5), each[..., :1]], axis=-1)
        for each in (target, web)
    ]
    wider = Whitening.fit(wide[0])
    assert wider.apply(wide[1]).shape == (50, 3, 12)
    # What is new in the web clips is not divided by next to nothing.
    strange = wide[1].copy()
    strange[..., 12] += 1
    np.testing.assert_allclose(wider.apply(strange), wider.apply(wide[1]), atol=1e-4)
    lengths = np.linalg.norm(plain.apply(web), axis=-1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_features_that_cannot_be_compared_are_refused():
    rng = np.random.default_rng(2)
    same = np.tile(rng.normal(size=7).astype(np.float32) * 1000, (20, 3, 1))
    with pytest.raises(ValueError, match="all 60 features are the same"):
        Whitening.fit(same)
    whitening = Whitening.fit(correlated(rng, 20))
    with pytest.raises(ValueError, match=r"of 7 numbers cannot be compared with .* 12"):
        whitening.apply(same)
    with pytest.raises(ValueError, match="of 8 and of 9 numbers"):
        similar_pairs(unit(rng, 2, 1, 8), unit(rng, 2, 1, 9), 0.5)
    with pytest.raises(ValueError, match=r"threshold is 1\.5, expected a cosine"):
        similar_pairs(unit(rng, 2, 1), unit(rng, 2, 1), 1.5)
    with pytest.raises(ValueError, match=r"more than 10 pairs .* higher threshold"):
        similar_pairs(unit(rng, 20, 1), unit(rng, 20, 1), -1, max_pairs=10)


def test_the_threshold_is_the_mean_over_pairs_of_crops():
    crops = unit(np.random.default_rng(3), 30, 4)
    places = np.triu_indices(4, 1)
    expected = np.mean([cosine_similarity(frame)[places].mean() for frame in crops])
    assert near_duplicates.crop_similarity(crops) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("block", [4096, 7])
def test_pairs_are_all_above_the_threshold_and_no_others(monkeypatch, block):
    monkeypatch.setattr(near_duplicates, "_BLOCK", block)
    rng = np.random.default_rng(4)
    web, target = unit(rng, 40, 3), unit(rng, 30, 2)
    found = similar_pairs(web, target, 0.8)
    cosines = np.einsum("avk,bwk->abvw", web, target)
    best = cosines.max(axis=(2, 3))
    expected = set(zip(*np.nonzero(best > 0.8), strict=True))
    assert len(expected) > 10
    assert set(zip(found.first, found.second, strict=True)) == expected
    assert len(found.first) == len(expected)
    assert (np.diff(found.similarity) <= 0).all()
    for similarity, a, b, v, w in zip(*found, strict=True):
        assert similarity == pytest.approx(best[a, b], abs=1e-6)
        assert cosines[a, b, v, w] == pytest.approx(best[a, b], abs=1e-6)


def test_within_one_dataset_a_pair_comes_once_and_never_of_one_medium(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_BLOCK", 8)
    features = unit(np.random.default_rng(5), 30, 2)
    features[1, 1], features[8, 0] = features[0, 0], features[7, 1]
    groups = np.arange(30) // 3
    groups[:6] = -1  # no known medium in common
    found = similar_pairs(features, features, 0.7, groups)
    best = np.einsum("avk,bwk->abvw", features, features).max(axis=(2, 3))
    expected = {
        (a, b)
        for a in range(30)
        for b in range(a)
        if best[a, b] > 0.7 and (groups[a] != groups[b] or groups[a] == -1)
    }
    assert (1, 0) in expected
    assert (8, 7) not in expected
    assert len(expected) > 10
    assert set(zip(found.first, found.second, strict=True)) == expected


def test_nothing_alike_gives_no_pairs():
    rng = np.random.default_rng(6)
    found = similar_pairs(unit(rng, 5, 1), unit(rng, 5, 1), 1.0)
    assert [len(column) for column in found] == [0] * 5


def test_of_media_that_are_alike_the_first_stays():
    media = {0: "x", 1: "y", 2: "z", 3: "", 4: "x", 5: "w"}
    # y is like x; z is like y alone, which goes, so z stays; w is like z.
    pairs = [(1, 0), (2, 1), (5, 2)]
    assert near_duplicates.copies(pairs, media) == {"y", "w"}
    # A clip without a medium stays, and stands for what is like it.
    assert near_duplicates.copies([(4, 1), (3, 1), (5, 3)], media) == {"x", "w"}
    assert near_duplicates.copies([], media) == set()
