import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from spl_tf.metrics import count_pairs, normalized_mutual_information, purity


def test_figures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    for noise in (0, 0.3, 1):
        labels = rng.integers(0, 7, 500)
        drawn = rng.integers(0, 12, 500)
        clusters = np.where(rng.random(500) < noise, drawn, labels)
        counts = count_pairs(clusters, labels, 13, 8)
        expected = contingency_matrix(labels, clusters)
        assert counts.shape == (13, 8)
        assert counts[12].sum() == counts[:, 7].sum() == 0
        np.testing.assert_array_equal(counts[np.unique(clusters), :7], expected.T)
        assert purity(counts) == pytest.approx(expected.max(axis=0).sum() / 500)
        assert normalized_mutual_information(counts) == pytest.approx(
            normalized_mutual_info_score(labels, clusters), abs=1e-9
        )


@pytest.mark.parametrize("counts", [[[5]], [[2, 3]], [[2], [3]], [[1, 1], [1, 1]]])
def test_one_cluster_or_class_is_as_in_scikit_learn(counts):
    counts = np.array(counts)
    clusters, labels = np.repeat(np.argwhere(counts), counts[counts > 0], axis=0).T
    expected = normalized_mutual_info_score(labels, clusters)
    assert normalized_mutual_information(counts) == pytest.approx(expected, abs=1e-12)
