"""The pictures, judged by their pixels and by what is drawn into the axes."""

import itertools
import subprocess
import sys
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from spl_tf.analysis import label_plots
from spl_tf.labels import STRATEGIES, ConfusionMatrix, build_label_map


def long_tailed(size, clips=5000, names=None):
    generator = np.random.default_rng(size)
    weak = generator.integers(0, size, clips)
    other = (weak + generator.geometric(0.3, clips)) % size
    teacher = np.where(generator.random(clips) < 0.4, weak, other)
    confusion = ConfusionMatrix(names or [f"class {i}" for i in range(size)])
    confusion.update(weak, teacher)
    return confusion


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved while a test runs."""
    saved = []
    save = Figure.savefig

    def savefig(self, *args, **kwargs):
        saved.append(self)
        return save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return saved


def texts(labels):
    return [label.get_text() for label in labels]


@pytest.mark.parametrize("size", [1, 4, 14, 200, 1000])
def test_confusion_is_drawn_for_any_number_of_classes(tmp_path, size, figures):
    confusion = long_tailed(size)
    path = tmp_path / "confusion.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        label_plots.plot_confusion(confusion, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 500
        assert len(image.convert("L").getcolors()) > 3
    assert list(tmp_path.iterdir()) == [path]
    axes = figures[0].axes[0]
    drawn = np.ma.filled(axes.images[0].get_array(), 0)
    assert drawn.sum() == confusion.total
    assert f"noise ratio {confusion.noise_ratio:.1%}" in axes.get_title()
    assert axes.get_ylabel().startswith("weak label")
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # Row 0 is at the top.


def test_rows_and_columns_are_not_swapped(tmp_path, figures):
    confusion = ConfusionMatrix(["a", "b", "c"])
    confusion.update([0] * 7 + [2], [1] * 7 + [2])
    label_plots.plot_confusion(confusion, tmp_path / "it.png")
    drawn = np.ma.filled(figures[0].axes[0].images[0].get_array(), 0)
    assert drawn.tolist() == [[0, 7, 0], [0, 0, 0], [0, 0, 1]]


def test_names_stand_on_the_axes_only_where_they_fit(tmp_path, figures):
    for size in (label_plots.MAX_NAMED_CLASSES, label_plots.MAX_NAMED_CLASSES + 1):
        label_plots.plot_confusion(long_tailed(size), tmp_path / "it.png")
    few, many = (texts(figure.axes[0].get_yticklabels()) for figure in figures)
    assert few == [f"class {i}" for i in range(label_plots.MAX_NAMED_CLASSES)]
    assert not any("class" in text for text in many)
    assert len(many) < 20


def test_labels_of_the_axes_do_not_overlap(tmp_path, figures):
    for size in (4, 14, 15, 16, 25, 40, 200, 400):
        names = [f"a class whose long name is {i}" for i in range(size)]
        label_plots.plot_confusion(long_tailed(size, names=names), tmp_path / "it.png")
        figure = figures[-1]
        renderer = figure.canvas.get_renderer()
        labels = figure.axes[0].get_yticklabels()
        boxes = [label.get_window_extent(renderer) for label in labels]
        boxes.sort(key=lambda box: box.y0)
        for lower, upper in itertools.pairwise(boxes):
            assert lower.y1 <= upper.y0 + 1, size
        outside = figure.bbox
        assert all(box.x0 >= 0 and box.x1 <= outside.x1 for box in boxes), size


def test_long_names_and_dollar_signs_are_written_plainly(tmp_path, figures):
    names = ["costs $1 or $2", "x" * 100, "two\nlines"]
    label_plots.plot_confusion(long_tailed(3, names=names), tmp_path / "it.png")
    labels = figures[0].axes[0].get_xticklabels()
    assert texts(labels) == ["costs $1 or $2", "x" * 23 + "\u2026", "two lines"]
    assert not any(label.get_parse_math() for label in labels)


def test_many_classes_are_added_up_in_blocks(tmp_path, figures):
    confusion = ConfusionMatrix([str(i) for i in range(1700)])
    confusion.update([0, 2, 1699, 1699], [1, 5, 1699, 1698])
    label_plots.plot_confusion(confusion, tmp_path / "it.png")
    axes = figures[0].axes
    drawn = np.ma.filled(axes[0].images[0].get_array(), 0)
    assert drawn.shape == (567, 567)  # Blocks of 3 x 3 cells.
    assert (drawn[0, 0], drawn[0, 1], drawn[566, 566]) == (1, 1, 2)
    assert "3 x 3 cells" in axes[1].get_ylabel()


def test_the_color_scale_is_logarithmic_only_for_a_long_tail(tmp_path, figures):
    flat, steep = ConfusionMatrix(["a", "b"]), ConfusionMatrix(["a", "b"])
    flat.update([0, 0, 1], [0, 1, 1])
    steep.update([0] * 500 + [1], [0] * 500 + [1])
    for confusion in (flat, steep):
        label_plots.plot_confusion(confusion, tmp_path / "it.png")
    norms = [type(f.axes[0].images[0].norm).__name__ for f in figures]
    assert norms == ["Normalize", "LogNorm"]


def test_pictures_without_any_clip(tmp_path):
    empty = ConfusionMatrix(["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        label_plots.plot_confusion(empty, tmp_path / "one.png")
        label_plots.plot_class_distribution(
            build_label_map(empty, "agreement"), tmp_path / "two.png"
        )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_groups_of_a_distribution(strategy):
    confusion = ConfusionMatrix(["a", "b", "c"])
    confusion.update([0, 0, 0, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 0, 2])
    label_map = build_label_map(
        confusion, strategy, 4 if strategy[-2:] in ("_m", "_d") else None
    )
    diagonal, off_diagonal = label_plots.split_counts(label_map)
    assert (diagonal.tolist(), off_diagonal.tolist()) == {
        "spl": ([3, 1], [2, 1, 1]),
        "spl_m": ([5, 1], [2]),
        "spl_d": ([3, 1], [2]),
        "spl_b": ([3, 1], [2, 2]),
        "weak": ([5, 3], []),
        "teacher": ([5, 2, 1], []),
        "agreement": ([3, 1], []),
    }[strategy]


def test_a_distribution_is_sorted_on_a_log_axis_in_two_colors(tmp_path, figures):
    confusion = long_tailed(20)
    maps = [build_label_map(confusion, name) for name in ("spl_b", "spl_d", "weak")]
    label_plots.plot_class_distribution(maps, tmp_path / "it.png")
    panels = figures[0].axes
    assert [axes.get_title().split(":")[0] for axes in panels] == [
        "spl_b",
        "spl_d",
        "weak",
    ]
    for axes, label_map in zip(panels, maps, strict=True):
        assert axes.get_yscale() == "log"
        heights = [patch.get_data().values for patch in axes.patches]
        drawn = np.concatenate(heights)
        assert sorted(drawn) == sorted(label_map.used_label_counts)
        for values in heights:
            assert (np.diff(values) <= 0).all()
    colors = [patch.get_facecolor() for patch in panels[0].patches]
    assert len(set(colors)) == 2
    assert panels[0].patches[1].get_data().edges[0] == 20


def test_a_distribution_of_very_many_labels_is_thinned(tmp_path, figures):
    confusion = long_tailed(300, clips=40_000)
    confusion.update(np.repeat(np.arange(300), 300), np.tile(np.arange(300), 300))
    label_plots.plot_class_distribution(
        build_label_map(confusion, "spl"), tmp_path / "it.png"
    )
    heights, edges, _ = figures[0].axes[0].patches[1].get_data()
    assert len(heights) == 4096
    assert (edges[0], edges[-1]) == (300, 90_000)
    assert (np.diff(heights) <= 0).all()


def test_a_distribution_needs_a_map(tmp_path):
    with pytest.raises(ValueError, match="label_maps is empty"):
        label_plots.plot_class_distribution([], tmp_path / "it.png")


def test_no_global_state_of_pyplot_is_touched():
    code = (
        "import sys, spl_tf.analysis.label_plots; "
        "sys.exit(any(m in sys.modules for m in ('matplotlib.pyplot', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
