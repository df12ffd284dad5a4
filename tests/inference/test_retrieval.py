import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from spl_tf.inference import retrieval
from spl_tf.inference.retrieval import nearest_clips, recall_at


def features(seed, count):
    return np.random.default_rng(seed).gamma(1, size=(count, 12)).astype(np.float32)


@pytest.mark.parametrize("block", [4096, 7])
def test_nearest_clips_are_those_of_brute_force(monkeypatch, block):
    monkeypatch.setattr(retrieval, "_BLOCK", block)
    queries, gallery = features(0, 40), features(1, 60)
    cosines = cosine_similarity(queries, gallery)
    found = nearest_clips(queries, gallery, 9)
    expected = np.argsort(-cosines, axis=1)[:, :9]
    np.testing.assert_array_equal(found.places, expected)
    similarity = np.take_along_axis(cosines, expected, axis=1)
    np.testing.assert_allclose(found.similarity, similarity, atol=1e-6)


def test_a_query_does_not_find_itself(monkeypatch):
    monkeypatch.setattr(retrieval, "_BLOCK", 7)
    gallery = features(2, 30)
    gallery[20:] = gallery[0]  # eleven that are the same
    own = np.arange(30)
    own[5] = -1  # not in the gallery, though like one
    found = nearest_clips(gallery, gallery, 3, own)
    assert found.places.shape == (30, 3)
    assert found.places[5, 0] == 5
    others = np.delete(np.arange(30), 5)
    assert (found.places[others] != own[others, None]).all()
    np.testing.assert_allclose(found.similarity[20:], 1, atol=1e-6)
    cosines = cosine_similarity(gallery)
    cosines[others, others] = -2
    expected = -np.sort(-cosines, axis=1)[:, :3]
    np.testing.assert_allclose(found.similarity, expected, atol=1e-6)


def test_recall_counts_queries_with_one_right_clip():
    right = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 1]], bool)
    assert recall_at(right, (1, 2, 3)) == {1: 0.25, 2: 0.5, 3: 0.75}


def test_zeros_are_like_nothing():
    gallery = np.zeros((3, 4), np.float32)
    assert (nearest_clips(gallery, gallery, 2).similarity == 0).all()
