"""Clusters the features of a dataset's clips; the clusters are labels.

python -m experiments.cluster_features --features=runs/motion/web.npz \
    --num_clusters=400 --output_dir=runs/clusters

Features are those of `experiments.extract_features`, brought to length 1; k-means as in
`spl_tf.inference.clustering`. Writes `assignment.npz`, from which a training takes its
labels (`config.data.sources.NAME.labels`: kind `assignment` and this `path`);
`clusters.json`: the clusters' sizes, the inertia, and, where classes are known, purity
and normalised mutual information; and `index.html`, a page of the clusters.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.reporting.films import stored_clips
from spl_tf import binary, clips, data
from spl_tf.analysis.report import ClusterPage, Films, ShownCluster, render_clusters
from spl_tf.analysis.report.sprites import make_sprite
from spl_tf.inference.clustering import Clusters, cluster
from spl_tf.inference.feature_file import FeatureFile
from spl_tf.labels.assignment import Assignment
from spl_tf.labels.filters import read_filter
from spl_tf.labels.rule import DISCARD
from spl_tf.metrics import (
    count_pairs,
    normalized_mutual_information,
    purity,
)
from spl_tf.runs import run_folder

_ASSIGNMENT, _RESULTS, _PAGE = "assignment.npz", "clusters.json", "index.html"
_SHOWN_CLUSTERS, _SHOWN_CLIPS = 100, 8
_NAMED_CLASSES = 3
_FRAMES, _SIDE = 8, 80  # of a thumbnail; pixels


def cluster_features(
    features: str,
    num_clusters: int,
    output_dir: str,
    seed: int = 0,
    iterations: int = 25,
    dataset: str = "",
    exclude_ids: str = "",
    shown_clusters: int = _SHOWN_CLUSTERS,
    shown_clips: int = _SHOWN_CLIPS,
) -> dict[str, Any]:
    """Clusters features, and writes labels, figures and a page.

    Args:
        features: What `extract_features` wrote.
        num_clusters: How many clusters to find.
        output_dir: Folder for the results; former ones are replaced.
        seed: Decides where centroids start.
        iterations: How often they are moved at most.
        dataset: Where the features' dataset is now; empty for where it was.
        exclude_ids: File of media ids, one a line, whose clips are in no cluster; empty
            for none.
        shown_clusters: How many clusters the page shows, the largest ones.
        shown_clips: How many clips it shows of each, nearest to the centroid.

    Returns:
        The content of `clusters.json`.

    Raises:
        FileNotFoundError: The features, or their dataset, are not there.
        ValueError: There are more clusters than clips, a feature is not finite, or the
            dataset is another one by now.
    """
    file = FeatureFile.load(features)
    source = file.open_dataset(dataset)
    if exclude_ids:
        rule = read_filter({"exclude_ids": exclude_ids})
        file = file.where(data.apply_filter(source, rule, exclude_ids))
    found = cluster(file.features, num_clusters, seed, iterations)
    counts = _class_counts(source, file, found)
    results = {
        "clips": len(found.labels),
        "left_out": len(source) - len(found.labels),
        "inertia": found.inertia,
        "iterations": found.iterations,
        "converged": found.converged,
        "labelled_clips": int(counts.sum()),
        "purity": purity(counts) if counts.any() else None,
        "normalized_mutual_information": normalized_mutual_information(counts)
        if counts.any()
        else None,
        "sizes": found.sizes.tolist(),
        "nearest": _nearest(file, found, shown_clusters, shown_clips),
        "settings": {
            "features": features,
            "dataset": source.directory,
            "num_clusters": num_clusters,
            "seed": seed,
            "iterations": iterations,
        },
    }
    os.makedirs(output_dir, exist_ok=True)
    labels = np.full(len(source), DISCARD, np.int32)
    labels[file.rows] = found.labels
    names = tuple(map(_name, range(num_clusters)))
    assignment = Assignment(labels, names, file.inputs["dataset"])
    assignment.save(os.path.join(output_dir, _ASSIGNMENT))
    page = ClusterPage(
        dataset=source.directory,
        clips=len(found.labels),
        sizes=results["sizes"],
        labelled=results["labelled_clips"],
        purity=results["purity"],
        mutual_information=results["normalized_mutual_information"],
        shown=_shown(source, results, counts),
    )
    path = os.path.join(output_dir, _PAGE)
    run_folder.write_json(os.path.join(output_dir, _RESULTS), results)
    clips.write_atomically(path, render_clusters(page).encode())
    return results


def _name(number: int | str) -> str:
    return f"cluster {number}"


def _class_counts(
    source: clips.ClipDataset, file: FeatureFile, found: Clusters
) -> np.ndarray:
    """How many clips each cluster has of each class, of those that have one."""
    labels, classes = file.labels(source), len(source.info.class_names)
    known = labels >= 0
    clusters = found.labels[known]
    return count_pairs(clusters, labels[known], len(found.centroids), classes)


def _nearest(
    file: FeatureFile, found: Clusters, shown_clusters: int, shown_clips: int
) -> dict[str, list[int]]:
    """Rows of the clips nearest to the centroids of the largest clusters."""
    largest = np.argsort(-found.sizes, kind="stable")[:shown_clusters]
    # Of each cluster in turn, the nearest clips first.
    order = np.lexsort((found.distances, found.labels))
    ends = found.sizes.cumsum()
    return {
        str(each): file.rows[order[ends[each] - found.sizes[each] : ends[each]]][
            :shown_clips
        ].tolist()
        for each in largest.tolist()
    }


def nearest_films(
    source: clips.ClipDataset, nearest: Mapping[str, Sequence[int]], most: int = 0
) -> dict[str, Films]:
    """Clips of clusters as moving thumbnails, by the cluster's number.

    Args:
        source: The dataset that was clustered.
        nearest: Of `clusters.json`.
        most: Clusters to show, the largest ones; 0 for all.
    """
    films = {}
    with source.reader() as reader:
        for number, rows in list(nearest.items())[: most or None]:
            frames, labels = zip(*stored_clips(source, reader, rows), strict=True)
            sprite = make_sprite(frames, _FRAMES, _SIDE)
            films[number] = Films(_name(number), sprite, labels)
    return films


def _shown(source, results, counts) -> list[ShownCluster]:
    """The largest clusters, with the clips that are nearest to their centroids."""
    shown = []
    for number, films in nearest_films(source, results["nearest"]).items():
        of_class = counts[int(number)]
        frequent = np.argsort(-of_class, kind="stable")[:_NAMED_CLASSES]
        classes = [
            (source.info.class_names[label], int(of_class[label]))
            for label in frequent.tolist()
            if of_class[label]
        ]
        shown.append(
            ShownCluster(
                name=films.title,
                size=results["sizes"][int(number)],
                classes=classes,
                other_classes=int((of_class > 0).sum()) - len(classes),
                sprite=films.sprite,
                clips=films.clips,
            )
        )
    return shown


def summary(results: dict[str, Any]) -> str:
    """What was found, in one line."""
    sizes = results["sizes"]
    text = (
        f"{results['clips']:,} clips in {len(sizes):,} clusters of {min(sizes):,} to "
        f"{max(sizes):,}, inertia {results['inertia']:.6g} after "
        f"{results['iterations']} iterations"
    )
    if results["purity"] is not None:
        text += (
            f"; purity {results['purity']:.1%}, normalised mutual information "
            f"{results['normalized_mutual_information']:.3f}"
        )
    return text


def main(argv: list[str]) -> None:
    """Reads the flags, clusters, prints what was found."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    names = inspect.signature(cluster_features).parameters
    results = cluster_features(**{name: values[name].value for name in names})
    print(f"{summary(results)}\nwrote {values.output_dir}")


if __name__ == "__main__":
    flags.DEFINE_string("features", None, "File of extract_features.", required=True)
    flags.DEFINE_integer("num_clusters", None, "Clusters to find.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    flags.DEFINE_integer("seed", 0, "Decides where centroids start.", lower_bound=0)
    flags.DEFINE_integer("iterations", 25, "How often centroids move at most.")
    flags.DEFINE_string("dataset", "", "Where the features' dataset is now.")
    flags.DEFINE_string(
        "exclude_ids", "", "File of media ids to leave out, one a line."
    )
    flags.DEFINE_integer(
        "shown_clusters", _SHOWN_CLUSTERS, "On the page, largest first.", lower_bound=0
    )
    flags.DEFINE_integer(
        "shown_clips", _SHOWN_CLIPS, "Of each, nearest first.", lower_bound=1
    )
    binary.run(main)
