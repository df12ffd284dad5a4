"""The confusion matrix of the web clips, their label maps, and clips to look at."""

from __future__ import annotations

import dataclasses

import numpy as np

from experiments.build_labels import confusion_of_dataset
from experiments.reporting.workdir import Workdir
from spl_tf import clips
from spl_tf.analysis.report import CellPictures, ClipLabels, WebClips
from spl_tf.analysis.report.sprites import make_sprite
from spl_tf.labels import ConfusionMatrix, LabelMap
from spl_tf.progress import Progress

# In the page these are 4/3 as many bytes of text.
PICTURE_BYTES = 8_500_000

_SEED = 0  # of the draw of clips


@dataclasses.dataclass(frozen=True)
class _Thumbnails:
    """How cells are shown: clips of each at most, and `make_sprite`'s settings."""

    clips: int
    frames: int
    side: int
    quality: int


# Of many cells rather fewer and smaller clips of more cells.
_MANY_CELLS = 256
_OF_FEW_CELLS = _Thumbnails(clips=12, frames=8, side=56, quality=60)
_OF_MANY_CELLS = _Thumbnails(clips=4, frames=6, side=48, quality=45)


def read_web_clips(source: Workdir) -> WebClips | None:
    """The web clips of the first seed whose teacher has labelled them."""
    for entry in source.results["seeds"]:
        name = f"web clips with teacher, seed {entry['seed']}"
        path = source.find_dataset("web", name, entry, "web_teacher")
        if path is None:
            continue
        source.missing.pop("web", None)  # of seeds before this one
        confusion = confusion_of_dataset(path)
        return WebClips(
            seed=entry["seed"],
            confusion=confusion,
            label_maps=_label_maps(source, entry["seed"]),
            pictures=_pictures(clips.ClipDataset(path), confusion),
        )
    return None


def _label_maps(source: Workdir, seed: int) -> dict[str, LabelMap]:
    places = {
        row["strategy"]: row["label_map"]
        for row in source.results["rows"]
        if row["seed"] == seed and row.get("label_map")
    }
    maps = {}
    for strategy in source.results["strategies"]:
        if strategy in places:
            path = source.find("web", f"label map of {strategy}", places[strategy])
            if path is not None:
                maps[strategy] = LabelMap.load(path)
    return maps


def _pictures(
    dataset: clips.ClipDataset, confusion: ConfusionMatrix
) -> list[CellPictures]:
    """Thumbnails of the most frequent cells, as many as the page has room for."""
    cells = _in_turn(confusion)
    style = _OF_MANY_CELLS if len(cells) > _MANY_CELLS else _OF_FEW_CELLS
    rows_of = _RowsOfCells(dataset.index, confusion.num_classes)
    rng = np.random.default_rng(_SEED)
    pictures, num_bytes = [], 0
    with dataset.reader() as reader, Progress(len(cells), "cell", "thumbnails") as bar:
        for weak, teacher in cells:
            rows = rows_of(weak, teacher)
            rows = np.sort(rng.choice(rows, min(style.clips, len(rows)), replace=False))
            cell = _draw_cell(dataset, reader, (weak, teacher), rows, style)
            num_bytes += len(cell.sprite.webp)
            if num_bytes > PICTURE_BYTES:
                break
            pictures.append(cell)
            bar.update()
    return pictures


def _in_turn(confusion: ConfusionMatrix) -> list[tuple[int, int]]:
    """Cells by their clips, one of the diagonal and one off it in turn."""
    weak, teacher, counts = confusion.cells()
    order = np.argsort(-counts, kind="stable")
    on_diagonal = (weak == teacher)[order]
    rank = np.empty(len(order), np.int64)
    for group in (on_diagonal, ~on_diagonal):
        rank[group] = np.arange(group.sum())
    # Of equal rank the diagonal first.
    order = order[np.lexsort((~on_diagonal, rank))]
    return list(zip(weak[order].tolist(), teacher[order].tolist(), strict=True))


class _RowsOfCells:
    """Index rows by the cell that their clip is in."""

    def __init__(self, index: clips.ClipIndex, num_classes: int):
        self._size = num_classes
        keys = index.label.astype(np.int64) * num_classes + index.teacher
        # Clips without one of the labels are in no cell.
        keys[(index.label < 0) | (index.teacher < 0)] = -1
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def __call__(self, weak: int, teacher: int) -> np.ndarray:
        """The rows of a cell, int64 [n], ascending."""
        key = weak * self._size + teacher
        start, end = np.searchsorted(self._keys, [key, key + 1])
        return self._order[start:end]


def _draw_cell(
    dataset: clips.ClipDataset,
    reader: clips.RecordReader,
    cell: tuple[int, int],
    rows: np.ndarray,
    style: _Thumbnails,
) -> CellPictures:
    chosen = [clips.parse_clip(reader.read(int(row))) for row in rows]
    try:
        sprite = make_sprite(
            [clip.frames for clip in chosen],
            frames=style.frames,
            side=style.side,
            quality=style.quality,
        )
    except ValueError as error:
        names = ", ".join(clip.id for clip in chosen)
        raise ValueError(f"{dataset.directory}, clips {names}: {error}") from error
    labels = [
        ClipLabels(clip.id, next(iter(clip.teacher_confidence), None))
        for clip in chosen
    ]
    return CellPictures(*cell, sprite, labels)
