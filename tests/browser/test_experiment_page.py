"""The page of rows of any names in a real browser, opened from disk."""

from spl_tf.analysis.report import render_experiment
from tests.analysis.test_experiment_page import whole


def test_the_page_opens_moves_and_tells_what_the_pointer_is_at(chromium, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(render_experiment(whole()), encoding="utf-8")
    complaints = []
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: complaints.append(request.url[:99]))
    page.goto(path.as_uri())
    film = page.locator(".film").first
    name = "getComputedStyle(film).animationName"
    assert film.evaluate(f"film => {name}") == "film"
    page.click("#motion")
    assert film.evaluate(f"film => {name}") == "none"
    plot = page.locator('[data-chart="filtered-0"] .plot')
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    found = set()
    for step in range(1, 20):
        for height in (0.2, 0.4, 0.6):
            page.mouse.move(
                box["x"] + box["width"] * step / 20, box["y"] + height * box["height"]
            )
            found.add(page.locator("#tip").text_content())
    assert "a: 6 of 8 clips kept" in found
    asked = [text for text in complaints if not text.startswith("data:")]
    assert set(asked) == {path.as_uri()}
    page.close()
