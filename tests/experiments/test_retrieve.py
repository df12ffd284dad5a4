"""Retrieval from files of features: figures, a page, and what is refused."""

import dataclasses
import json
import re

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from experiments.retrieve import retrieve
from spl_tf.clips import ClipDataset
from spl_tf.inference.feature_extraction import extract_features
from spl_tf.inference.feature_file import FeatureFile
from tests import warm_python
from tests.conftest import write_dataset
from tests.training.finished_run import textured_clip, write_run

NAMES = ["walk", "run", "jump"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Features of 12 queries, of which one has no label, and of 30 clips."""
    folder = tmp_path_factory.mktemp("retrieval")
    write_run(folder / "run", NAMES)
    for name, first, count in (("test", 100, 12), ("train", 0, 30)):
        clips = [textured_clip(first + n, n % 3, NAMES) for n in range(count)]
        if name == "test":
            clips[5] = dataclasses.replace(clips[5], label_index=-1, label_name="")
        write_dataset(folder / name, clips, NAMES, 2)
        extract(folder, name)
    return folder


def extract(folder, name, output="", **settings):
    where = (folder / "run", folder / name, output or folder / f"{name}.npz")
    return extract_features(*map(str, where), **settings)


def expected_recall(folder, queries, gallery, ranks):
    """By brute force, in NumPy."""
    ours, theirs = (
        FeatureFile.load(folder / f"{name}.npz") for name in (queries, gallery)
    )
    labels = [ClipDataset(folder / name).index.label for name in (queries, gallery)]
    cosines = cosine_similarity(ours.features, theirs.features)
    if queries == gallery:
        np.fill_diagonal(cosines, -2)
    hits = {rank: [] for rank in ranks}
    for row, label in enumerate(labels[0]):
        order = np.argsort(-cosines[row])
        for rank in ranks:
            if label >= 0:
                hits[rank].append(label in labels[1][order[:rank]])
    return {str(rank): np.mean(found) for rank, found in hits.items()}


def test_the_command_measures_and_shows(folder, tmp_path):
    done = warm_python.run(
        "-m",
        "experiments.retrieve",
        f"--queries={folder / 'test.npz'}",
        f"--gallery={folder / 'train.npz'}",
        f"--output_dir={tmp_path}",
        "--show=7",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "11 queries, 30 clips: R@1" in done.stdout
    assert "R@50: not measured, as a query is compared with 30 clips" in done.stdout
    assert "without a label, left out: 1" in done.stdout
    found = json.loads((tmp_path / "recall.json").read_text())
    expected = expected_recall(folder, "test", "train", (1, 5, 10, 20))
    assert found["recall"] == pytest.approx(expected)
    assert 0 < found["recall"]["1"] < 1
    page = (tmp_path / "index.html").read_text()
    assert page.count('class="film') == 7 * 6
    assert page.count('class="right"') == page.count("<b>\N{CHECK MARK}</b>") > 0
    assert page.count('class="wrong"') + page.count('class="right"') == 7 * 5


def test_within_one_dataset_a_clip_does_not_find_itself(folder, tmp_path):
    file = str(folder / "train.npz")
    found = retrieve(file, file, str(tmp_path))
    assert found["recall"] == pytest.approx(
        expected_recall(folder, "train", "train", (1, 5, 10, 20))
    )
    assert found["same_dataset"]
    assert "compared with 29 clips" in found["note"]


def test_the_page_shows_the_queries_of_some_ids(folder, tmp_path):
    queries, gallery = str(folder / "test.npz"), str(folder / "train.npz")
    ids = FeatureFile.load(queries).ids.astype(str)
    labels = ClipDataset(folder / "test").index.label
    chosen = np.flatnonzero(labels >= 0)[[7, 2]]
    done = warm_python.run(
        "-m",
        "experiments.retrieve",
        f"--queries={queries}",
        f"--gallery={gallery}",
        f"--output_dir={tmp_path}",
        f"--show={','.join(ids[chosen])}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    page = (tmp_path / "index.html").read_text()
    assert page.count('class="film') == 2 * 6
    shown = re.findall("(?s)<figure>.*?<figcaption>(.*?)</figcaption>", page)
    assert shown == [NAMES[label] for label in labels[chosen]]
    (unlabelled,) = ids[labels < 0]
    with pytest.raises(ValueError, match=rf"has the id '{unlabelled}'; ids are like"):
        retrieve(queries, gallery, str(tmp_path), show=[unlabelled])


def test_what_cannot_be_compared_is_refused_by_name(folder, tmp_path):
    queries, output = str(folder / "test.npz"), str(tmp_path / "out")
    other = str(tmp_path / "other.npz")
    extract(folder, "train", other, num_clips=2)
    with pytest.raises(ValueError, match=r"differ in num_clips \(1 and 2\)"):
        retrieve(queries, other, output)
    run = write_run(tmp_path / "run", NAMES, seed=1)
    extract_features(run, str(folder / "train"), other, overwrite=True)
    with pytest.raises(ValueError, match=r"differ in network \('"):
        retrieve(queries, other, output)
    clips = [textured_clip(n, 0, "xyz") for n in range(2)]
    write_dataset(tmp_path / "xyz", clips, "xyz")
    extract_features(str(folder / "run"), str(tmp_path / "xyz"), other, overwrite=True)
    with pytest.raises(ValueError, match=r"3 classes \(walk.*xyz 3 \(x, y, z"):
        retrieve(queries, other, output)
    unlabelled = [dataclasses.replace(c, label_index=-1) for c in clips]
    write_dataset(tmp_path / "none", unlabelled, NAMES)
    extract_features(str(folder / "run"), str(tmp_path / "none"), other, overwrite=True)
    with pytest.raises(ValueError, match="none has no labels"):
        retrieve(queries, other, output)
