"""The pages of clusters and of retrieval in a real browser, opened from disk."""

import pytest

from spl_tf.analysis.report import (
    ClusterPage,
    FilmLabel,
    RetrievalPage,
    ShownCluster,
    ShownQuery,
    render_clusters,
    render_retrieval,
)
from spl_tf.analysis.report.sprites import make_sprite
from tests.conftest import counting_images

NAME = "<script>alert(1)</script>"
LABELS = [FilmLabel(f"clip {n}", NAME if n != 2 else "b") for n in range(4)]


def sprite():
    return make_sprite([counting_images(8)] * 4)


def clusters():
    shown = ShownCluster("cluster 7", 30, [(NAME, 20), ("b", 3)], 5, sprite(), LABELS)
    return render_clusters(ClusterPage("x/clips", 37, [7, 30], 28, 0.5, 0.25, [shown]))


def retrieval():
    shown = ShownQuery(sprite(), LABELS, [0.9, 0.8, 0.7])
    recall = {1: 0.5, 5: 1.0}
    return render_retrieval(RetrievalPage(("x", "y"), 4, 9, recall, "R@10", [shown]))


@pytest.mark.parametrize("render", [clusters, retrieval])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_fits_and_moves(chromium, tmp_path, render, width):
    path = tmp_path / "index.html"
    path.write_text(render(), encoding="utf-8")
    complaints = []
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    films = page.locator(".film")
    assert films.count() == 4
    name = "film => getComputedStyle(film).animationName"
    assert films.first.evaluate(name) == "film"
    page.emulate_media(reduced_motion="reduce")
    assert films.first.evaluate(name) == "none"
    assert NAME in page.locator("main").inner_text()
    assert complaints == []
    page.close()


def test_right_and_wrong_clips_are_framed(chromium, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(retrieval(), encoding="utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    color = "film => getComputedStyle(film).outline"
    found = [film.evaluate(color) for film in page.locator(".film").all()]
    green, red = "rgb(21, 128, 61) solid 4px", "rgb(185, 28, 28) solid 4px"
    assert found[1:] == [green, red, green]
    assert "solid" not in found[0]
    captions = page.locator("figcaption").all_inner_texts()
    assert captions == [NAME, f"✓ {NAME} 0.90", "✗ b 0.80", f"✓ {NAME} 0.70"]
    page.close()
