"""The confusion matrix that a reader explores, as data for the page's script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm

from spl_tf.analysis.report.content import CellPictures, WebClips
from spl_tf.analysis.report.looks import look
from spl_tf.analysis.report.svg import Canvas, Chart, name_classes
from spl_tf.labels import DISCARD, ConfusionMatrix, LabelMap

# What a strategy makes of the clips of a cell.
ROLES = ("diagonal", "own", "query", "teacher", "discarded")
_DIAGONAL, _OWN, _QUERY, _TEACHER, _DISCARDED = range(len(ROLES))

# Cells in the page; of more, the most frequent ones.
MAX_CELLS = 120_000

_TOP_CELLS = 8


def explorer_data(web: WebClips) -> dict[str, Any]:
    """What the script needs to draw the matrix and to answer the pointer.

    Arrays are base64 of little-endian integers, `{"type": "Int16", "data": ...}`. Cells
    are in order of their clips, most first.
    """
    weak, teacher, counts = _sorted_cells(web.confusion)
    shown = slice(0, MAX_CELLS)
    return {
        "classes": list(web.confusion.class_names),
        "total": web.confusion.total,
        "cells": len(counts),
        "weak": pack(weak[shown]),
        "teacher": pack(teacher[shown]),
        "count": pack(counts[shown]),
        "roles": ROLES,
        "strategies": [
            {
                "name": name,
                "title": look(name).title,
                "says": look(name).says,
                **_strategy_data(label_map, weak[shown], teacher[shown]),
            }
            for name, label_map in web.label_maps.items()
        ],
        "top": _top_cells(weak, teacher),
    }


def pictures_data(pictures: Sequence[CellPictures]) -> list[dict[str, Any]]:
    """The moving thumbnails of each cell, as JSON for the page's script."""
    return [
        {
            "weak": cell.weak,
            "teacher": cell.teacher,
            "frames": cell.sprite.frames,
            "width": cell.sprite.width,
            "height": cell.sprite.height,
            "clips": [
                [clip.clip_id, _rounded(clip.confidence, 3)] for clip in cell.clips
            ],
            "webp": base64.b64encode(cell.sprite.webp).decode(),
        }
        for cell in pictures
    ]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def pack(values: np.ndarray) -> Mapping[str, str]:
    """Integers in the smallest type that holds them, for the script's typed arrays."""
    values = np.asarray(values)
    low, high = values.min(initial=0), values.max(initial=0)
    for bits in (8, 16, 32):
        limits = np.iinfo(f"int{bits}")
        if limits.min <= low and high <= limits.max:
            data = base64.b64encode(values.astype(f"<i{bits // 8}").tobytes())
            return {"type": f"Int{bits}", "data": data.decode()}
    raise ValueError(f"{high} does not fit in 32 bits")


def roles_of_cells(
    label_map: LabelMap, weak: np.ndarray, teacher: np.ndarray
) -> np.ndarray:
    """What becomes of the clips of each cell, an index of `ROLES`, int64 [n]."""
    ids = label_map.lookup(weak, teacher)
    classes = np.arange(len(label_map.class_names))
    diagonal = label_map.lookup(classes, classes)
    roles = np.full(len(ids), _OWN)
    roles[ids == diagonal[teacher]] = _TEACHER
    roles[ids == diagonal[weak]] = _QUERY
    roles[weak == teacher] = _DIAGONAL
    roles[ids == DISCARD] = _DISCARDED
    return roles


def _sorted_cells(
    confusion: ConfusionMatrix,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weak, teacher, counts = confusion.cells()
    order = np.argsort(-counts, kind="stable")
    return weak[order], teacher[order], counts[order]


def _strategy_data(
    label_map: LabelMap, weak: np.ndarray, teacher: np.ndarray
) -> dict[str, Any]:
    ids = label_map.lookup(weak, teacher)
    used, place = np.unique(ids, return_inverse=True)
    discarded = int(used.size and used[0] == DISCARD)
    labels = used[discarded:]
    counts = dict(
        zip(
            label_map.used_labels.tolist(),
            label_map.used_label_counts.tolist(),
            strict=True,
        )
    )
    # Every cell is a label of `spl`: its name says nothing that the cell does not.
    names = None
    if label_map.strategy != "spl":
        names = [label_map.label_names[label] for label in labels.tolist()]
    return {
        "labels": label_map.num_labels,
        "kept": label_map.num_kept,
        "names": names,
        "clips": pack(np.array([counts[label] for label in labels.tolist()], int)),
        "label": pack(place.reshape(-1) - discarded),
        "role": pack(roles_of_cells(label_map, weak, teacher)),
    }


def _top_cells(weak: np.ndarray, teacher: np.ndarray) -> list[int]:
    """Positions of the most frequent cells off the diagonal."""
    return np.flatnonzero(weak != teacher)[:_TOP_CELLS].tolist()


def matrix_picture(confusion: ConfusionMatrix) -> Chart:
    """The matrix as a picture, for print and for browsers without scripts."""
    size = confusion.num_classes
    canvas = Canvas("matrix", 560, 560)
    axes = canvas.axes()
    axes.grid(visible=False)
    block = -(-size // 600)
    weak, teacher, counts = confusion.cells()
    bins = -(-size // block)
    for name, chosen in (("Blues", weak == teacher), ("Oranges", weak != teacher)):
        grid = np.zeros((bins, bins))
        np.add.at(
            grid, (weak[chosen] // block, teacher[chosen] // block), counts[chosen]
        )
        axes.imshow(
            np.ma.masked_equal(grid, 0),
            cmap=name,
            norm=LogNorm(0.5, max(float(counts.max(initial=1)), 1.0)),
            interpolation="nearest",
            extent=(-0.5, size - 0.5, size - 0.5, -0.5),
        )
    axes.set_xlabel("what the teacher sees")
    axes.set_ylabel("what the query was")
    name_classes(axes.xaxis, confusion.class_names)
    name_classes(axes.yaxis, confusion.class_names)
    return canvas.finish("", "Confusion matrix of weak label and teacher's prediction")
