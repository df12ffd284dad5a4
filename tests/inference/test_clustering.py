import faiss
import numpy as np
import pytest
from sklearn.cluster import KMeans

from spl_tf.inference import clustering
from spl_tf.inference.clustering import cluster, refine, start_centroids
from spl_tf.inference.features import of_length_1


def blobs(seed, count=2000, centres=20, width=16, noise=0.3):
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(centres, width))[rng.integers(0, centres, count)]
    found = places + rng.normal(0, noise, (count, width))
    return (found * rng.uniform(0.5, 4, (count, 1))).astype(np.float32)


@pytest.mark.parametrize("block", [65_536, 300])
def test_clusters_are_those_of_scikit_learn_from_the_same_start(monkeypatch, block):
    monkeypatch.setattr(clustering, "_BLOCK", block)
    features = of_length_1(blobs(0))
    start = start_centroids(features, 30, 0)
    for iterations in (1, 3, 300):
        found = refine(features, start, iterations)
        expected = KMeans(
            30, init=start.copy(), n_init=1, max_iter=iterations, tol=0
        ).fit(features)
        assert (found.labels == expected.labels_).mean() > 0.998
        assert found.inertia == pytest.approx(expected.inertia_, rel=1e-4)
    assert found.converged
    distances = np.square(features - found.centroids[found.labels]).sum(axis=1)
    np.testing.assert_allclose(found.distances, distances, atol=1e-5)


def test_the_lengths_of_features_do_not_count():
    features = blobs(1)
    lengths = np.random.default_rng(0).choice([0.25, 1, 8], (2000, 1))
    found = cluster(features, 10)
    longer = cluster((features * lengths).astype(np.float32), 10)
    np.testing.assert_array_equal(found.labels, longer.labels)
    with np.errstate(all="raise"):
        assert (of_length_1(np.zeros((3, 4))) == 0).all()


def test_a_start_is_far_from_those_before_it():
    # Ten clips far from all others: k-means++ finds each, an even draw hardly one.
    features = np.zeros((700, 12), np.float32)
    features[:, 11] = 1
    features[::70] = np.eye(12)[:10]
    for seed in range(5):
        start = start_centroids(features, 11, seed)
        assert len(np.unique(start, axis=0)) == 11
    many = blobs(2, count=3000)
    a, b, c = (start_centroids(many, 8, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_an_empty_cluster_gets_the_clip_that_is_farthest():
    features = np.array([[0, 0], [0, 1], [0, 2], [0, 9], [8, 0]], np.float32)
    start = np.array([[0, 1], [50, 50], [60, 60]], np.float32)
    found = refine(features, start, 1)
    # (0, 9) and (8, 0) are 64 and 65 from (0, 1).
    assert found.labels.tolist() == [0, 0, 0, 2, 1]
    np.testing.assert_array_equal(found.centroids, [[0, 1], [8, 0], [0, 9]])


@pytest.mark.parametrize("clusters", [3, 12, 30])
def test_no_cluster_is_empty_also_where_clips_are_the_same(clusters):
    features = np.tile(np.random.default_rng(0).normal(size=(3, 5)), (10, 1))
    found = cluster(features.astype(np.float32), clusters)
    assert found.sizes.min() >= 1
    assert len(found.sizes) == clusters
    assert found.inertia == pytest.approx(0, abs=1e-5)


def test_every_call_gives_the_same_with_any_number_of_threads():
    features = blobs(3, count=20_000, centres=100, noise=1)
    before = faiss.omp_get_max_threads()
    found = []
    try:
        for threads in (1, 2, 2, 3):
            faiss.omp_set_num_threads(threads)
            found.append(cluster(features, 50, seed=4, iterations=10))
    finally:
        faiss.omp_set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].labels, other.labels)
        np.testing.assert_array_equal(found[0].centroids, other.centroids)


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="num_clusters is 6, more than the 5 clips"):
        cluster(blobs(0, 5), 6)
    with pytest.raises(ValueError, match="num_clusters is 0, expected 1 or more"):
        cluster(blobs(0, 5), 0)
    with pytest.raises(ValueError, match="iterations is 0"):
        cluster(blobs(0, 5), 2, iterations=0)
