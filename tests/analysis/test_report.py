"""Numbers, pictures and texts of the report, against values found by other means."""

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from spl_tf.analysis.report import (
    Counts,
    ReportContent,
    Row,
    WebClips,
    render_page,
    wording,
)
from spl_tf.analysis.report.charts import (
    cover_chart,
    distribution_charts,
    labels_chart,
)
from spl_tf.analysis.report.classes import class_table
from spl_tf.analysis.report.comparison import compare
from spl_tf.analysis.report.explorer import ROLES, explorer_data, pack, roles_of_cells
from spl_tf.analysis.report.looks import look, main_strategy
from spl_tf.analysis.report.sprites import make_sprite
from spl_tf.analysis.report.svg import Canvas, color
from spl_tf.labels import ConfusionMatrix, build_label_map
from spl_tf.metrics import Estimate, EvaluationConfusion
from tests.conftest import jpeg

NAMES = ["a", "b", "c"]


def content(rows, strategies=("none", "weak", "spl_b"), **more):
    return ReportContent("title", "", list(strategies), rows, **more)


def rows_of(**values):
    return [
        Row(strategy, seed, top_1=top_1)
        for strategy, by_seed in values.items()
        for seed, top_1 in by_seed.items()
    ]


@pytest.fixture
def confusion():
    counts = np.array([[50, 20, 1], [6, 30, 0], [8, 2, 10]])
    weak, teacher = np.nonzero(counts)
    return ConfusionMatrix.from_cells(NAMES, weak, teacher, counts[weak, teacher])


def test_differences_are_paired_by_seed():
    rows = rows_of(
        none={0: 0.5, 1: 0.7},
        weak={0: 0.81, 1: 0.9, 2: 0.1},
        spl_b={2: 0.3, 1: 0.9, 0: 0.8},
    )
    lines = {line.strategy: line for line in compare(content(rows)).lines}
    none = lines["none"].behind
    # 0.8 - 0.5 and 0.9 - 0.7; seed 2 has no "none".
    assert none.estimate.mean == pytest.approx(0.25)
    assert none.estimate.error == pytest.approx(0.05)
    assert (none.estimate.count, none.wins) == (2, 2)
    weak = lines["weak"].behind  # -0.01, 0, 0.2
    assert weak.estimate.mean == pytest.approx(0.19 / 3)
    assert weak.wins == 1
    assert lines["spl_b"].behind is None


def test_the_curve_over_labels_ends_in_the_strategies_that_it_is_equal_to():
    table = [
        Row("weak", 0, labels=3, top_1=0.5),
        Row("agreement", 0, labels=3, top_1=0.6),
        Row("spl", 0, labels=9, top_1=0.9),
        Row("spl_b", 0, labels=6, top_1=0.95),
    ]
    curve = [
        Row("spl_m", 0, labels=6, top_1=0.7),
        Row("spl_d", 0, labels=6, top_1=0.8),
    ]
    strategies = [row.strategy for row in table]
    comparison = compare(content(table, strategies))
    points = labels_chart(curve, table, comparison).points
    texts = [text for _, _, text in points]
    assert texts == [
        "SPL-M, 3 labels: 50.0 %",
        "SPL-M, 6 labels: 70.0 %",
        "SPL-M, 9 labels: 90.0 %",
        "SPL-D, 3 labels: 60.0 %",
        "SPL-D, 6 labels: 80.0 %",
        "SPL-D, 9 labels: 90.0 %",
    ]
    assert labels_chart([], table, comparison) is None


def test_what_was_not_measured_is_not_compared():
    rows = [Row("none", 0, top_1=0.5), Row("weak", 0), Row("spl_b", 0, labels=6)]
    comparison = compare(content(rows))
    lines = {line.strategy: line for line in comparison.lines}
    assert comparison.main == "none"
    assert lines["weak"].behind is None
    assert lines["spl_b"].values["labels"].mean == 6
    assert comparison.line("spl_b") is None


@pytest.mark.parametrize(
    ("strategies", "expected"),
    [
        (["none", "spl_b", "spl_m"], "spl_b"),
        (["none", "spl_m", "weak"], "spl_m"),
        (["none", "weak"], "weak"),
        ([], None),
    ],
)
def test_the_page_is_about_spl_b_or_the_next_best(strategies, expected):
    assert main_strategy(strategies) == expected


def test_a_strategy_that_is_not_known_keeps_its_name():
    assert look("spl_x<").title == "spl_x<"
    assert look("spl_x<") == look("spl_x<")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3599.9, "1 h"),
        (7500, "2 h 5 min"),
        (None, "\u2013"),
    ],
)
def test_times_are_written_for_people(seconds, text):
    assert wording.duration(seconds).replace("\u202f", " ") == text


def test_sizes_and_accuracies_are_written_for_people():
    assert wording.size(999).replace("\u202f", " ") == "999 bytes"
    assert wording.size(12_345).replace("\u202f", " ") == "12.3 kB"
    assert wording.size(5.5e12).replace("\u202f", " ") == "5,500 GB"
    assert wording.points(Estimate(0.8112, 0.0222, 5)).split() == ["81.1", "±", "2.2"]
    assert wording.points(Estimate(0.8112, None, 1)) == "81.1"


def test_the_lede_names_only_what_was_run():
    rows = rows_of(weak={0: 0.6}, spl_b={0: 0.7})
    comparison = compare(content(rows, ("weak", "spl_b")))
    (sentence,) = wording.lede(content(rows), comparison)
    assert "70.0" in sentence
    assert sentence.endswith("; 60.0 with the query as the label.")
    assert wording.lede(content([]), compare(content([]))) == []


@pytest.mark.parametrize(
    ("strategy", "num_labels", "roles"),
    [
        # Cells (0, 0) agrees, (0, 1) is the most frequent off the diagonal, (1, 0).
        ("weak", None, "diagonal query query"),
        ("teacher", None, "diagonal teacher teacher"),
        ("agreement", None, "diagonal discarded discarded"),
        ("spl", None, "diagonal own own"),
        ("spl_b", None, "diagonal own own"),
        ("spl_m", 4, "diagonal own query"),
        ("spl_d", 4, "diagonal own discarded"),
    ],
)
def test_a_cell_is_shown_by_what_becomes_of_its_clips(
    confusion, strategy, num_labels, roles
):
    label_map = build_label_map(confusion, strategy, num_labels)
    found = roles_of_cells(label_map, np.array([0, 0, 1]), np.array([0, 1, 0]))
    assert " ".join(ROLES[role] for role in found) == roles


def test_the_explorer_names_labels_as_the_label_map_does(confusion):
    label_map = build_label_map(confusion, "spl_d", 4)
    data = explorer_data(WebClips(0, confusion, {"spl_d": label_map}))
    (strategy,) = data["strategies"]
    # Cells by their clips: 50 (0, 0), 30 (1, 1), 20 (0, 1), 10 (2, 2), then discarded.
    assert strategy["names"] == ["a", "b", "c", "a ~ b"]
    assert strategy["label"] == pack(np.array([0, 1, 3, 2, -1, -1, -1, -1]))
    assert strategy["clips"] == pack(np.array([50, 30, 10, 20]))
    assert data["top"] == [2, 4, 5, 6, 7]


def test_the_cover_curve_passes_through_the_ratio_of_label_maps(confusion):
    chart = cover_chart(confusion, {})
    texts = [text for _, _, text in chart.points]
    for num_labels in (3, 4, 6, 8):
        ratio = build_label_map(confusion, "spl_m", num_labels).sample_cover_ratio
        assert f"{num_labels} labels cover {ratio:.1%} of the clips" in texts
    assert cover_chart(ConfusionMatrix(NAMES), {}) is None


def test_the_distribution_shows_every_label_with_its_clips(confusion):
    maps = {"spl_b": build_label_map(confusion, "spl_b")}
    (chart,) = distribution_charts(WebClips(0, confusion, maps))
    texts = [text for _, _, text in chart.points]
    assert texts == [
        "50 clips, diagonal label 1",
        "30 clips, diagonal label 2",
        "10 clips, diagonal label 3",
        "21 clips, off-diagonal label 1",
        "10 clips, off-diagonal label 2",
        "6 clips, off-diagonal label 3",
    ]


def test_pictures_of_charts_take_their_colors_from_the_page():
    canvas = Canvas("one", 200, 100)
    axes = canvas.axes()
    axes.plot([0, 1], [0, 1], color=color("--off"))
    axes.set_xticks([0, 1], ["<b>#0a0b00", "$x$"], parse_math=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    canvas.add_points(axes, [0, 1], [0, 1], ["low", "high"])
    chart = canvas.finish("Title", "what it shows")
    root = ElementTree.fromstring(chart.svg)
    assert root.get("viewBox") == "0 0 200 100"
    assert "stroke: var(--off)" in chart.svg
    texts = {
        "".join(text.itertext()).strip() for text in root.iter() if "text" in text.tag
    }
    assert {"<b>#0a0b00", "$x$"} <= texts
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert ids
    assert all(name.startswith("one-") for name in ids)
    (left, bottom, _), (right, top, _) = chart.points
    assert left < right
    assert bottom > top  # in a picture y grows downwards


def test_a_sprite_holds_frames_of_every_clip_in_order():
    levels = [[10, 60, 110, 160], [200, 220]]
    clips = [
        [jpeg(np.full((40, 60, 3), level, np.uint8)) for level in clip]
        for clip in levels
    ]
    sprite = make_sprite(clips, frames=4, side=20, quality=90)
    assert (sprite.width, sprite.height, sprite.clips, sprite.frames) == (30, 20, 2, 4)
    with Image.open(io.BytesIO(sprite.webp)) as picture:
        assert picture.size == (4 * 30, 2 * 20)
        pixels = np.asarray(picture.convert("L"))
    np.testing.assert_allclose(pixels[10, 15::30], levels[0], atol=3)
    # The shorter clip is shown as slowly as the other.
    np.testing.assert_allclose(pixels[30, 15::30], [200, 200, 220, 220], atol=3)


def test_a_sprite_keeps_small_frames_and_cuts_others_to_fit():
    small = jpeg(np.full((16, 16, 3), 90, np.uint8))
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 255
    sprite = make_sprite([[small], [jpeg(wide)]], frames=1)
    assert (sprite.width, sprite.height) == (16, 16)
    with Image.open(io.BytesIO(sprite.webp)) as picture:
        middle = np.asarray(picture.convert("L"))[16:]
    assert middle[:, 3:-3].min() > 230


def test_frames_that_cannot_be_decoded_are_an_error():
    with pytest.raises(ValueError, match="a frame cannot be decoded"):
        make_sprite([[b"no picture"]])
    whole = jpeg(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="a frame cannot be decoded"):
        make_sprite([[whole[: len(whole) // 2]]])


def counts_of(strategy, matrix):
    confusion = EvaluationConfusion(NAMES)
    labels, best = (
        np.repeat(side, np.ravel(matrix)) for side in np.indices((3, 3)).reshape(2, -1)
    )
    confusion.update(labels, np.eye(3)[best])
    return Counts(strategy, confusion, 1)


def test_the_class_table_compares_with_no_web_clips():
    before = counts_of("none", [[6, 4, 0], [2, 8, 0], [0, 0, 10]])
    after = counts_of("spl_b", [[9, 1, 0], [0, 10, 0], [3, 0, 7]])
    table = class_table([before, after])
    first = table.lines[0]
    assert first.accuracy == {"none": 0.6, "spl_b": 0.9}
    # (3 + 0) / (3 + 9 + 7) is more than 1 / (1 + 9 + 10).
    assert (first.partner, first.before) == ("c", 0.0)
    assert first.after == pytest.approx(3 / 19)
    (drop,), (rise,) = table.drops, table.rises
    assert (drop.first, drop.second) == ("a", "b")
    assert drop.before == pytest.approx(6 / 20)
    assert drop.after == pytest.approx(1 / 20)
    assert (rise.first, rise.second) == ("a", "c")
    assert table.largest_score == drop.before


def test_without_the_baseline_there_is_no_change_to_show():
    table = class_table([counts_of("weak", np.diag([3, 3, 3]))])
    assert (table.before, table.after) == (None, "weak")
    assert table.lines[0].partner is None
    assert class_table([]) is None


def table_of(page):
    """The text of the cells of the comparison, line by line."""
    table = page.partition('<table class="comparison">')[2].partition("</table>")[0]
    lines = table.split("<tr")[1:]
    cells = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL) for line in lines
    ]
    return [[re.sub(r"<[^>]*>", " ", c).split() for c in line] for line in cells]


def test_mean_average_precision_is_shown_where_the_paper_has_it():
    row = Row("spl_b", 0, top_1=0.5, top_5=0.9, mAP=0.625)
    paper = {"source": "Table 5", "rows": {"spl_b": {"mAP": 0.768}}}
    page = render_page(content([row], ["spl_b"], paper=paper))
    head, line = table_of(page)
    assert line[head.index(["mAP", "%"])] == ["62.5"]
    assert line[head.index(["paper:", "mAP"])] == ["76.8"]
    paper["rows"]["spl_b"] = {"top_1": 0.843}
    head, line = table_of(render_page(content([row], ["spl_b"], paper=paper)))
    assert ["mAP", "%"] not in head
    assert line[head.index(["paper:", "top-1", "/", "top-5"])] == ["84.3"]
