"""Clusters of features: files, a page, and a training that takes them as labels."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from experiments.cluster_features import cluster_features
from spl_tf import training
from spl_tf.clips import ClipDataset
from spl_tf.inference.feature_extraction import extract_features
from spl_tf.inference.feature_file import FeatureFile
from spl_tf.labels.assignment import Assignment
from spl_tf.training.assembly import open_sources
from spl_tf.training.config import default_source
from tests import warm_python
from tests.conftest import make_clip, write_dataset
from tests.training.finished_run import textured_clip, write_run

NAMES = ["walk <b>", "run", "jump"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Features of 40 clips, of which every eighth has no label."""
    folder = tmp_path_factory.mktemp("clusters")
    run = write_run(folder / "run", NAMES)
    all_clips = [textured_clip(n, n % 3, NAMES) for n in range(40)]
    for n in range(0, 40, 8):
        all_clips[n] = dataclasses.replace(all_clips[n], label_index=-1, label_name="")
    dataset = write_dataset(folder / "clips", all_clips, NAMES, 2)
    extract_features(run, dataset.directory, str(folder / "features.npz"))
    return folder


def test_the_command_writes_labels_that_a_training_takes(folder, tmp_path):
    done = warm_python.run(
        "-m",
        "experiments.cluster_features",
        f"--features={folder / 'features.npz'}",
        "--num_clusters=5",
        f"--output_dir={tmp_path / 'out'}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "40 clips in 5 clusters" in done.stdout
    found = json.loads((tmp_path / "out" / "clusters.json").read_text())
    path = str(tmp_path / "out" / "assignment.npz")
    labels = Assignment.load(path).labels
    assert np.bincount(labels, minlength=5).tolist() == found["sizes"]
    assert min(found["sizes"]) > 0

    config = training.default_config()
    config.data.update(train="", num_frames=2, stride=1, crop_size=16, batch_size=4)
    source = default_source()
    source.update(dataset=str(folder / "clips"))
    source.labels.update(kind="assignment", path=path)
    with config.data.unlocked():
        config.data.sources["web"] = source
    sources = open_sources(config, 4)
    assert list(sources.label_names) == [f"cluster {n}" for n in range(5)]
    assert sources.clips == [40]

    # Of the same number of clips, but another dataset.
    write_dataset(tmp_path / "other", [make_clip(n, 0) for n in range(40)], "abc")
    source.dataset = str(tmp_path / "other")
    with config.data.unlocked():
        config.data.sources["web"] = source
    with pytest.raises(ValueError, match=r"sources\.web: .*assignment\.npz assigns"):
        open_sources(config, 4)


def test_agreement_is_that_of_the_clips_whose_class_is_known(folder, tmp_path):
    where = str(folder / "features.npz"), 4, str(tmp_path / "out")
    results = cluster_features(*where, seed=3)
    clusters = Assignment.load(tmp_path / "out" / "assignment.npz").labels
    labels = ClipDataset(folder / "clips").index.label
    known = labels >= 0
    expected = normalized_mutual_info_score(labels[known], clusters[known])
    assert results["normalized_mutual_information"] == pytest.approx(expected)
    right = sum(
        max(np.bincount(labels[known & (clusters == each)], minlength=1))
        for each in range(4)
    )
    assert results["purity"] == pytest.approx(right / known.sum())
    assert results["labelled_clips"] == known.sum() == 35
    former = (tmp_path / "out" / "assignment.npz").read_bytes()
    assert cluster_features(*where, seed=3) == results
    assert (tmp_path / "out" / "assignment.npz").read_bytes() == former


def test_a_page_shows_clusters_whose_names_are_text(folder, tmp_path):
    cluster_features(
        str(folder / "features.npz"),
        4,
        str(tmp_path),
        shown_clusters=3,
        shown_clips=2,
    )
    page = (tmp_path / "index.html").read_text()
    assert page.count('class="film') == 6
    assert "the 3 largest clusters" in " ".join(page.split())
    assert "walk &lt;b&gt;" in page
    assert "walk <b>" not in page


def test_clips_that_are_excluded_or_have_no_features_have_no_label(folder, tmp_path):
    file = FeatureFile.load(folder / "features.npz")
    kept = np.arange(40) % 7 != 0
    file.where(kept).save(tmp_path / "some.npz")
    excluded = {"video5", "video30"}
    (tmp_path / "ids.csv").write_text("\n".join(excluded))
    results = cluster_features(
        str(tmp_path / "some.npz"),
        3,
        str(tmp_path / "out"),
        exclude_ids=str(tmp_path / "ids.csv"),
    )
    labels = Assignment.load(tmp_path / "out" / "assignment.npz").labels
    media = np.array([each.partition("@")[0] for each in file.ids])
    expected = kept & ~np.isin(media, list(excluded))
    np.testing.assert_array_equal(labels >= 0, expected)
    assert (results["clips"], results["left_out"]) == (32, 8)


def test_what_cannot_be_clustered_is_named(folder, tmp_path):
    features, output = str(folder / "features.npz"), str(tmp_path / "out")
    with pytest.raises(ValueError, match="num_clusters is 41, more than the 40 clips"):
        cluster_features(features, 41, output)
    # Of a dataset that moved, and one that changed.
    moved = str(tmp_path / "moved")
    shutil.copytree(folder / "clips", moved)
    cluster_features(features, 40, output, dataset=moved)
    write_dataset(tmp_path / "moved", [make_clip(0, 0)], NAMES)
    with pytest.raises(ValueError, match="another dataset, or was made anew"):
        cluster_features(features, 4, output, dataset=moved)
    (tmp_path / "features.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"not a complete \.npz file"):
        cluster_features(str(tmp_path / "features.npz"), 4, output)
