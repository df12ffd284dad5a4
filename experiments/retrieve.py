"""Finds the clips of a gallery that are most like each of some queries.

python -m experiments.retrieve --queries=runs/rgb/test.npz \
    --gallery=runs/rgb/train.npz --output_dir=runs/rgb/retrieval

Both are files of `experiments.extract_features`, of one network and the same views.
R@n is the share of queries with at least one clip of their class among the n nearest
by cosine (MotionFit's supplement, section 1). If both are of one dataset, a clip does
not find itself. Clips without a label are left out.

Writes `recall.json` and `index.html`, which shows some queries and what is nearest to
them, right ones framed.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.reporting.films import stored_clips
from spl_tf import binary, clips
from spl_tf.analysis.report import RetrievalPage, ShownQuery, render_retrieval
from spl_tf.analysis.report.sprites import make_sprite
from spl_tf.inference.feature_file import FeatureFile
from spl_tf.inference.retrieval import RANKS, Nearest, nearest_clips, recall_at
from spl_tf.runs import run_folder

_RESULTS, _PAGE = "recall.json", "index.html"
_SHOWN, _SHOWN_NEAREST = 20, 5
_FRAMES, _SIDE = 8, 80  # of a thumbnail; pixels


def retrieve(
    queries: str,
    gallery: str,
    output_dir: str,
    show: int | Sequence[str] = _SHOWN,
    query_dataset: str = "",
    gallery_dataset: str = "",
) -> dict[str, Any]:
    """Searches for what is most like each query, measures, and writes a page.

    Args:
        queries: What `extract_features` wrote, of the queries.
        gallery: The same, of the clips to search in.
        output_dir: Folder for the results; former ones are replaced.
        show: How many queries the page shows, of as many classes as there are; or their
            ids.
        query_dataset: Where the queries' dataset is now; empty for where it was.
        gallery_dataset: Where the gallery's dataset is now; empty for where it was.

    Returns:
        The content of `recall.json`.

    Raises:
        FileNotFoundError: Features, or their dataset, are not there.
        ValueError: The two cannot be compared: they are of different networks, views or
            classes; no clip has a label; a dataset is another one by now; or an id to
            show is not that of a labelled query.
    """
    ours, theirs = FeatureFile.load(queries), FeatureFile.load(gallery)
    if differences := ours.differences(theirs):
        raise ValueError(
            f"{queries} and {gallery} differ in {', '.join(differences)}; extract both "
            "with the same network and views"
        )
    left = _Side(ours, query_dataset)
    right = _Side(theirs, gallery_dataset)
    names, others = left.class_names, right.class_names
    if names != others:
        raise ValueError(
            f"{left.dataset.directory} has {len(names)} classes "
            f"({', '.join(names[:3])}, ...), {right.dataset.directory} {len(others)} "
            f"({', '.join(others[:3])}, ...); names and order must be the same"
        )
    chosen = _choose(left, show)
    is_one = ours.inputs["dataset"] == theirs.inputs["dataset"]
    size = len(right.rows) - is_one
    ranks = [rank for rank in RANKS if rank <= size]
    if not ranks:
        raise ValueError(f"{gallery} has no clips beside the query")
    own = _places(left.rows, right.rows) if is_one else None
    nearest = nearest_clips(left.features, right.features, ranks[-1], own)
    is_right = right.labels[nearest.places] == left.labels[:, None]
    recall = recall_at(is_right, ranks)
    missing = [f"R@{rank}" for rank in RANKS if rank not in recall]
    results = {
        "recall": {str(rank): share for rank, share in recall.items()},
        "queries": len(left.rows),
        "gallery": len(right.rows),
        "same_dataset": is_one,
        "unlabelled": [left.unlabelled, right.unlabelled],
        "note": f"{', '.join(missing)}: not measured, as a query is compared with "
        f"{size} clips"
        if missing
        else "",
        "settings": {"queries": queries, "gallery": gallery},
    }
    os.makedirs(output_dir, exist_ok=True)
    page = RetrievalPage(
        names=(left.dataset.directory, right.dataset.directory),
        queries=len(left.rows),
        gallery=len(right.rows),
        recall=recall,
        note=results["note"],
        shown=_shown(left, right, nearest, chosen),
    )
    path = os.path.join(output_dir, _PAGE)
    clips.write_atomically(path, render_retrieval(page).encode())
    run_folder.write_json(os.path.join(output_dir, _RESULTS), results)
    return results


class _Side:
    """The clips of one file that have a label, and their dataset."""

    def __init__(self, file: FeatureFile, directory: str):
        self.dataset = file.open_dataset(directory)
        self.class_names = self.dataset.info.class_names
        labels = file.labels(self.dataset)
        known = labels >= 0
        if not known.any():
            raise ValueError(
                f"{self.dataset.directory} has no labels; whether a clip is of a "
                "query's class cannot be told"
            )
        self.unlabelled = int((~known).sum())
        self.rows, self.labels = file.rows[known], labels[known]
        self.ids, self.features = file.ids[known].astype(str), file.features[known]


def _places(rows: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where some rows are among others, both ascending; -1 for nowhere."""
    places = np.minimum(np.searchsorted(among, rows), len(among) - 1)
    return np.where(among[places] == rows, places, -1)


def _choose(queries: _Side, show: int | Sequence[str]) -> list[int]:
    """Places of queries to show: those of some ids, or evenly spread over classes."""
    if isinstance(show, int):
        by_class = np.argsort(queries.labels, kind="stable")
        count = min(show, len(by_class))
        return by_class[np.arange(count) * len(by_class) // max(count, 1)].tolist()
    places = {clip_id: place for place, clip_id in enumerate(queries.ids.tolist())}
    if missing := [str(clip_id) for clip_id in show if clip_id not in places]:
        raise ValueError(
            f"no labelled query of {queries.dataset.directory} has the id "
            f"{', '.join(map(repr, missing))}; ids are like {next(iter(places))!r}"
        )
    return [places[clip_id] for clip_id in show]


def _shown(
    left: _Side, right: _Side, nearest: Nearest, chosen: list[int]
) -> list[ShownQuery]:
    """The chosen queries with the clips nearest to each."""
    shown = []
    with left.dataset.reader() as ours, right.dataset.reader() as theirs:
        for query in chosen:
            places = nearest.places[query, :_SHOWN_NEAREST]
            found = stored_clips(left.dataset, ours, [left.rows[query]])
            found += stored_clips(right.dataset, theirs, right.rows[places])
            frames, labels = zip(*found, strict=True)
            similarity = nearest.similarity[query, :_SHOWN_NEAREST].tolist()
            sprite = make_sprite(frames, _FRAMES, _SIDE)
            shown.append(ShownQuery(sprite, labels, similarity))
    return shown


def summary(results: dict[str, Any]) -> str:
    """R@n in one line, and what is to be said of it."""
    recall = ", ".join(f"R@{n} {share:.1%}" for n, share in results["recall"].items())
    text = f"{results['queries']:,} queries, {results['gallery']:,} clips: {recall}"
    left_out = sum(results["unlabelled"])
    if left_out:
        text += f"\nclips without a label, left out: {left_out:,}"
    return text + (f"\n{results['note']}" if results["note"] else "")


def main(argv: list[str]) -> None:
    """Reads the flags, searches, prints what was found."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    names = inspect.signature(retrieve).parameters
    arguments = {name: values[name].value for name in names}
    if len(values.show) == 1 and re.fullmatch("[0-9]+", values.show[0]):
        arguments["show"] = int(values.show[0])
    results = retrieve(**arguments)
    print(f"{summary(results)}\nwrote {values.output_dir}")


if __name__ == "__main__":
    flags.DEFINE_string("queries", None, "Features of the queries.", required=True)
    flags.DEFINE_string("gallery", None, "Features to search in.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    flags.DEFINE_list("show", [str(_SHOWN)], "How many queries to show, or their ids.")
    flags.DEFINE_string("query_dataset", "", "Where the queries' dataset is now.")
    flags.DEFINE_string("gallery_dataset", "", "Where the gallery's dataset is now.")
    binary.run(main)
