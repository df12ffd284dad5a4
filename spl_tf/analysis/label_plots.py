"""Pictures of confusion matrices and label maps (the paper's Figures 7 and 8).

Figures are drawn without pyplot, so that no global state is touched and any thread or
process without a display can draw.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from spl_tf.files import replacing
from spl_tf.labels import ConfusionMatrix, LabelMap

# Above this many classes their names would be too small to read.
MAX_NAMED_CLASSES = 40

# Above this many classes the counts no longer fit into the cells.
_MAX_WRITTEN_COUNTS = 14

# Longest side of the picture of a matrix; of more classes, neighbours are added up.
_MAX_CELLS = 800

# Most steps of a distribution that a picture can show.
_MAX_STEPS = 4096

# Where bars on a log axis begin: below the smallest count.
_BASELINE = 0.1

_LONGEST_NAME = 24
_DIAGONAL_COLOR = "#1f5a96"
_OFF_DIAGONAL_COLOR = "#e08a2b"


def plot_confusion(
    confusion: ConfusionMatrix,
    path: str | os.PathLike,
    rows: str = "weak label",
    columns: str = "teacher's prediction",
    off_diagonal: str = "noise ratio",
) -> None:
    """Draws a confusion matrix as a heat map.

    Args:
        confusion: Any matrix. Class names stand on the axes up to 40 classes, class
            indices above; above 800 classes each pixel is a sum of neighbouring cells.
        path: A PNG file, replaced in one step. Its folder must exist.
        rows: What the rows stand for, written beside the axis.
        columns: What the columns stand for, written below the axis.
        off_diagonal: What the share of clips off the diagonal is called.
    """
    size = confusion.num_classes
    counts, block = _binned_counts(confusion)
    side = float(np.clip(4.2 + 0.18 * size, 5, 9.5))
    figure = _new_figure(side + 1.6, side + 0.6)
    axes = figure.add_subplot()
    # Light is rare and dark is frequent, so that empty cells can stay white.
    colors = colormaps["YlGnBu"].with_extremes(bad="white")
    norm = _color_scale(counts)
    image = axes.imshow(
        np.ma.masked_equal(counts, 0),
        cmap=colors,
        norm=norm,
        interpolation="nearest",
        extent=(
            -0.5,
            counts.shape[1] * block - 0.5,
            counts.shape[0] * block - 0.5,
            -0.5,
        ),
    )
    _add_color_bar(
        image, axes, "clips" if block == 1 else f"clips in {block} x {block} cells"
    )
    named = size <= MAX_NAMED_CLASSES
    axes.set_xlabel(f"{columns}{'' if named else ' (class index)'}")
    axes.set_ylabel(f"{rows}{'' if named else ' (class index)'}")
    axes.set_title(_confusion_title(confusion, off_diagonal), fontsize=11)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    if named:
        _name_classes(axes, confusion.class_names)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if size <= _MAX_WRITTEN_COUNTS:
        _write_counts(axes, counts, norm)
    _save(figure, path)


def plot_class_distribution(
    label_maps: LabelMap | Sequence[LabelMap], path: str | os.PathLike
) -> None:
    """Draws the clips per label, most frequent first, on a log axis (Figure 7).

    As in the paper, the diagonal labels come first, then the off-diagonal ones; each
    group is sorted by itself.

    Args:
        label_maps: One or more maps, each of which gets a panel.
        path: A PNG file, replaced in one step. Its folder must exist.

    Raises:
        ValueError: No map is given.
    """
    maps = [label_maps] if isinstance(label_maps, LabelMap) else list(label_maps)
    if not maps:
        raise ValueError("label_maps is empty, expected at least one label map")
    columns = min(len(maps), 2)
    rows = -(-len(maps) // columns)
    figure = _new_figure(5.2 * columns + 0.4, 3.3 * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(maps) :]:
        axes.remove()
    for label_map, axes in zip(maps, grid.flat, strict=False):
        _draw_distribution(axes, label_map)
    _set_range(grid.flat[0], np.concatenate([m.used_label_counts for m in maps]))
    _save(figure, path)


def split_counts(label_map: LabelMap) -> tuple[np.ndarray, np.ndarray]:
    """Returns the clips per used label, int64, sorted from the largest down.

    Returns:
        Counts of the diagonal labels and of the off-diagonal ones, [n] each; labels
        without a clip are in neither.
    """
    factor = label_map.rule.diagonal_factor
    used, counts = label_map.used_labels, label_map.used_label_counts
    diagonal = (used % factor == 0) & (used // factor < len(label_map.class_names))
    return np.sort(counts[diagonal])[::-1], np.sort(counts[~diagonal])[::-1]


def _draw_distribution(axes: Axes, label_map: LabelMap) -> None:
    diagonal, off_diagonal = split_counts(label_map)
    start = len(label_map.class_names)
    diagonal_name = {
        "weak": "weak labels",
        "teacher": "teacher's labels",
    }.get(label_map.strategy, "diagonal")
    groups = (
        (0, diagonal, _DIAGONAL_COLOR, diagonal_name),
        (start, off_diagonal, _OFF_DIAGONAL_COLOR, "off-diagonal"),
    )
    for first, counts, color, name in groups:
        if len(counts):
            heights, edges = _thinned(counts)
            axes.stairs(
                heights,
                edges + first,
                fill=True,
                baseline=_BASELINE,
                color=color,
                label=name,
            )
    axes.set_yscale("log")
    used = len(diagonal) + len(off_diagonal)
    axes.set_xlim(0, max(start + len(off_diagonal), 1))
    empty = label_map.num_labels - used
    note = f", {empty:,} of them empty" if empty else ""
    axes.set_title(
        f"{label_map.strategy}: {label_map.num_labels:,} labels{note}\n"
        f"{label_map.num_kept:,} clips kept",
        fontsize=10,
    )
    axes.set_xlabel("label, sorted by clips")
    axes.set_ylabel("clips")
    axes.yaxis.set_tick_params(labelleft=True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    if used:
        axes.legend(loc="upper right", fontsize=9)


def _set_range(axes: Axes, counts: np.ndarray) -> None:
    smallest, largest = (1, 1) if not counts.size else (counts.min(), counts.max())
    # A label with one clip still gets a bar, and the legend a place above the bars.
    low = max(0.5, smallest / 4)
    axes.set_ylim(low, largest * 2 * (largest / low) ** 0.25)


def _thinned(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edges = np.arange(len(counts) + 1)
    if len(counts) > _MAX_STEPS:
        edges = np.linspace(0, len(counts), _MAX_STEPS + 1).astype(np.int64)
    return counts[edges[:-1]], edges


def _binned_counts(confusion: ConfusionMatrix) -> tuple[np.ndarray, int]:
    size = confusion.num_classes
    block = -(-size // _MAX_CELLS)
    bins = -(-size // block)
    weak, teacher, counts = confusion.cells()
    binned = np.zeros((bins, bins), np.int64)
    np.add.at(binned, (weak // block, teacher // block), counts)
    return binned, block


def _color_scale(counts: np.ndarray) -> Normalize:
    filled = counts[counts > 0]
    if not filled.size:
        return Normalize(0, 1)
    low, high = int(filled.min()), int(filled.max())
    # On a linear scale all but the most frequent cells would look empty.
    return LogNorm(low, high) if high > 20 * low else Normalize(0, high)


def _add_color_bar(image: AxesImage, axes: Axes, label: str) -> None:
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02)
    bar.set_label(label)
    if isinstance(image.norm, LogNorm):
        few_decades = image.norm.vmax < 1000 * image.norm.vmin
        bar.locator = LogLocator(subs=(1, 2, 5) if few_decades else (1,))
        bar.formatter = FuncFormatter(lambda value, _: _compact(round(value)))
        bar.minorformatter = NullFormatter()


def _confusion_title(confusion: ConfusionMatrix, off_diagonal: str) -> str:
    noise = confusion.noise_ratio
    ratio = "no clips" if noise is None else f"{off_diagonal} {noise:.1%}"
    return f"{confusion.total:,} clips, {confusion.num_classes:,} classes, {ratio}"


def _name_classes(axes: Axes, class_names: Sequence[str]) -> None:
    size = len(class_names)
    names = [_shortened(name) for name in class_names]
    font = 10 if size <= 15 else 8 if size <= 25 else 6.5
    # A dollar sign in a class name is no formula.
    style = {"fontsize": font, "parse_math": False}
    rotated = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(size), names, **style, **(rotated if size <= 15 else {}))
    axes.set_yticks(range(size), names, **style)
    if size > 15:
        axes.tick_params(axis="x", labelrotation=90)


def _shortened(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _write_counts(axes: Axes, counts: np.ndarray, norm: Normalize) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(
                column,
                row,
                _compact(int(count)),
                ha="center",
                va="center",
                fontsize=11 if len(counts) <= 8 else 7,
                color="white" if norm(count) > 0.55 else "black",
            )


def _compact(count: int) -> str:
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if count >= limit:
            scale = {"G": 1e9, "M": 1e6, "k": 1e3}[unit]
            return f"{count / scale:.3g}{unit}"
    return f"{count:,}"


def _new_figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: str | os.PathLike) -> None:
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, format="png")
