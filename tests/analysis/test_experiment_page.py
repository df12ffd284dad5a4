"""The page of rows of any names, of content that is made up."""

import re

import numpy as np
import pytest

from spl_tf.analysis.report import (
    DatasetFacts,
    Duplicates,
    ExperimentContent,
    FilmLabel,
    Films,
    FilteredSource,
    Row,
    RowTable,
    ShownClip,
    ShownPair,
    Stage,
    render_experiment,
)
from spl_tf.analysis.report.sprites import make_sprite
from spl_tf.labels.filters import KeptClips

EVIL = '<script>alert("1")</script>'
TOP_1 = {
    "target": {0: 0.5, 1: 0.6, 2: 0.7},
    "target + images": {0: 0.6, 1: 0.65, 2: 0.72},
    EVIL: {0: 0.55, 2: 0.6},
}


def table(**more):
    rows = [
        Row(name, seed, top_1=value, top_5=value + 0.25, seconds={"train": 60.0})
        for name, by_seed in TOP_1.items()
        for seed, value in by_seed.items()
    ]
    settings = {
        "title": "Sources (Table 2)",
        "text": "One network on all.",
        "reference": "target",
        "main": "target + images",
        "paper": {"target + images": {"top_1": 0.745, "top_5": 0.914}},
        "source": "Table 2, SlowOnly",
    } | more
    return RowTable(rows=[*TOP_1, "not measured"], results=rows, **settings)


def moving(count, frames):
    """Frames whose grey level tells clip and time."""
    return [
        [np.full((32, 40, 3), 40 * clip + 5 * time, np.uint8) for time in range(frames)]
        for clip in range(count)
    ]


def whole():
    side = ShownClip("clip & 1", "a", make_sprite(moving(1, 4), 4), 2)
    pair = ShownPair(0.912, side, side)
    studies = [Row("none", 0, top_1=0.4), Row("perspective", 0, top_1=0.45)]
    return ExperimentContent(
        title=f"A world of {EVIL}",
        kicker="OmniSource",
        method="A paper, arXiv 1",
        tables=[
            table(),
            RowTable("Images (Table 8)", ["none", "perspective"], studies),
        ],
        filtered=[
            FilteredSource("images", KeptClips({"a": (8, 6), EVIL: (4, 0)}), "by rule"),
            FilteredSource("videos", KeptClips({"a": (10, 5), EVIL: (2, 1)})),
        ],
        duplicates=[Duplicates([pair], 1234, 0.875, ("images", "target_val"), 17)],
        films=[
            Films(
                "images",
                make_sprite(moving(3, 6), 6),
                [FilmLabel(f"image{n}@0-0", f"label {n}") for n in range(3)],
                "Each clip is made of one image: perspective.",
            )
        ],
        datasets=[DatasetFacts("images", "clips/images", "weak", 12, 2, 99, {}, ())],
        stages=[Stage("seed_0/train", 60.0, "done")],
        built="now",
    )


def cells(page, number=0):
    """The text of the cells of a table of rows, line by line; dashes are short."""
    page = page.replace("\N{EN DASH}", "-").replace("\N{MINUS SIGN}", "-")
    found = page.split('<table class="comparison rows">')[1 + number]
    lines = found.partition("</table>")[0].split("<tr")[1:]
    return [
        [
            " ".join(re.sub(r"<[^>]*>", " ", cell).split())
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)
        ]
        for line in lines
    ]


def test_rows_have_means_errors_and_differences_to_the_reference():
    head, target, images, evil, absent = cells(render_experiment(whole()))
    assert head[3:] == ["paper: top-1 / top-5", "against target", "seeds", "cost"]
    # Deviations of 0.1, by the root of 3.
    assert target[1:] == ["60.0 ± 5.8", "85.0 ± 5.8", "-", "", "3", "1 min"]
    # 0.1, 0.05 and 0.02 more.
    gap = f"+5.7 ± {100 * np.std([0.1, 0.05, 0.02], ddof=1) / 3**0.5:.1f} 3 of 3"
    assert images[3:5] == ["74.5 / 91.4", gap]
    # 0.05 more and 0.1 less, by the seeds that both have.
    assert evil[0] == "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;"
    assert evil[4:6] == ["-2.5 ± 7.5 1 of 2", "2"]
    assert absent[1:6] == ["-", "-", "-", "-", "0"]


def test_the_page_begins_with_the_main_row():
    page = render_experiment(whole())
    (lede,) = re.findall(r'<p class="lede">(.*?)</p>', page, re.DOTALL)
    # Of 0.6, 0.65, 0.72, and of the differences 0.1, 0.05, 0.02.
    assert " ".join(lede.split()) == (
        "“target + images” classifies 65.7 ± 3.5 % of the validation clips correctly, "
        "+5.7 ± 2.3 points against “target”."
    )


def test_what_was_filtered_is_told_by_source_and_class():
    page = render_experiment(whole())
    part = page.partition('<section id="filtered">')[2].partition("</section>")[0]
    text = " ".join(re.sub(r"<[^>]*>", " ", part).split())
    assert "images 12 6 50.0 % 2 → 1" in text.replace("\u202f", " ")
    assert "No class" not in text
    assert text.count("No clip is left of: &lt;script&gt;") == 1
    assert "by rule" in text
    # Of 8 and 4 clips, and of 10 and 2: e to the entropy.
    for shares in ((2 / 3, 1 / 3), (5 / 6, 1 / 6)):
        effective = np.exp(-np.dot(shares, np.log(shares)))
        assert f"{effective:.1f} → " in text
    assert '"filtered-0":[[' in page
    assert "a: 6 of 8 clips kept" in page


def test_duplicates_and_films_are_on_the_page():
    page = render_experiment(whole())
    assert "above 0.875" in page
    assert "1,234 pairs; 17 media" in page
    assert "Shown are the 1 most similar" in page
    assert page.count("data:image/webp;base64,") == 3
    assert page.count('class="film small"') == 3
    assert "--frames: 6; --clips: 3; --row: 2" in page
    assert "label 2" in page


def test_the_page_needs_nothing_else_and_names_are_text():
    page = render_experiment(whole())
    assert EVIL not in page
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.findall(r"url\((?!data:|#)", page)


def test_what_is_missing_is_told_in_its_section():
    parts = ("results", "filtered", "duplicates", "films", "datasets")
    missing = {name: [f"no {name} of seed 1"] for name in parts}
    page = render_experiment(ExperimentContent("t", "k", missing=missing))
    for name in parts:
        section = "data" if name == "datasets" else name
        body = page.partition(f'<section id="{section}">')[2].partition("</section>")[0]
        assert f"no {name} of seed 1" in body
    assert "No model has been evaluated yet." in page
    bare = render_experiment(ExperimentContent("t", "k"))
    assert re.findall(r'<section id="(\w+)">', bare) == ["results"]
    assert "No result of: not measured" in render_experiment(whole())
    waiting = ExperimentContent(
        "t", "k", tables=[table()], stages=[Stage("seed_1/train", None, "not run")]
    )
    assert "No result yet of: not measured" in render_experiment(waiting)


@pytest.mark.parametrize("where", ["reference", "main", "paper"])
def test_a_table_knows_its_rows(where):
    other = {"all": {}} if where == "paper" else "all"
    with pytest.raises(ValueError, match=r"table 'Sources .* has no row 'all'"):
        table(**{where: other})
