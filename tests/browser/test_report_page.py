"""The report in a real browser, opened from disk."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from experiments.report import build_report
from tests.experiments.report_workdir import NAMES, QUOTES, SCRIPT, write_workdir

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("browser")
    write_workdir(workdir)
    build_report(str(workdir))
    return (workdir / "report" / "index.html").as_uri()


@pytest.fixture
def opened(chromium, address):
    """Opens the page; fails if it complains or asks for anything else than itself."""
    complaints = []

    @contextlib.contextmanager
    def open_page(**options):
        context = chromium.new_context(**{"viewport": DESKTOP, **options})
        context.set_default_timeout(5000)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto(address)
        yield page
        context.close()

    yield open_page
    # Pictures inside the page are not loaded from anywhere.
    asked = [text[:200] for text in complaints if not text.startswith("data:")]
    assert set(asked) == {address}


def centre_of(page, weak, teacher):
    """Where a cell is on the screen; names take the space on the left and below."""
    return page.evaluate(
        """([w, t]) => {
            const box = document.getElementById("cells").getBoundingClientRect();
            const cell = matrix.cellSide();
            const left = box.right - 1 - 3 * cell;
            return [left + (t + 0.5) * cell, box.top + (w + 0.5) * cell];
        }""",
        [weak, teacher],
    )


def detail(page):
    return " ".join(page.locator("#cell").inner_text().split())


def test_pointing_at_a_cell_tells_its_labels(opened):
    with opened() as page:
        page.locator("#cells").scroll_into_view_if_needed()
        page.mouse.move(*centre_of(page, 0, 1))
        tip = page.locator("#tip")
        assert tip.is_visible()
        assert tip.inner_text().splitlines() == [
            "query: tying a knot",
            f"teacher: {SCRIPT}",
            "4 clips",
            "SPL-B label: tying a knot ~ other",
        ]
        page.get_by_role("radio", name="weak label").click()
        page.mouse.move(*centre_of(page, 0, 1))
        assert tip.inner_text().endswith("\nlabel: tying a knot")


def test_choosing_a_cell_shows_its_clips_moving(opened):
    with opened() as page:
        page.locator("#cells").scroll_into_view_if_needed()
        page.mouse.click(*centre_of(page, 1, 1))
        assert detail(page).startswith(f"{SCRIPT} clips 3 (20.0 %)")
        films = page.locator("#cell .film")
        assert films.count() == 3
        places = {
            place_of(films.first) for _ in range(30) if not page.wait_for_timeout(40)
        }
        assert len(places) > 3
        page.get_by_role("button", name="Pause clips").click()
        assert len({place_of(films.first) for _ in range(10)}) == 1


def place_of(film):
    return film.evaluate("film => getComputedStyle(film).backgroundPositionX")


def test_a_reader_who_wants_no_motion_gets_none(opened):
    with opened(reduced_motion="reduce") as page:
        film = page.locator(".film").first
        assert film.evaluate("film => getComputedStyle(film).animationName") == "none"
        page.get_by_role("button", name="Play clips").click()
        assert film.evaluate("film => getComputedStyle(film).animationName") == "film"


def test_the_keyboard_reaches_every_cell(opened):
    with opened() as page:
        page.locator("#cells").focus()
        for key in ("ArrowUp", "ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowDown"):
            page.keyboard.press(key)
        assert page.locator("#spoken").text_content().startswith(f"query: {SCRIPT}, ")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        assert detail(page).startswith(f"{SCRIPT} ~ {QUOTES} clips 1 ")
        page.locator("#pick-weak").select_option(label="tying a knot")
        assert detail(page).startswith(f"tying a knot ~ {QUOTES} clips 0 ")


def test_a_tap_shows_a_cell_on_a_phone_and_nothing_is_wider_than_it(opened):
    with opened(viewport=PHONE, has_touch=True, is_mobile=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.locator("#cells").scroll_into_view_if_needed()
        page.touchscreen.tap(*centre_of(page, 0, 1))
        assert detail(page).startswith(f"tying a knot ~ {SCRIPT} clips 4 ")


def test_a_table_that_goes_on_to_the_right_fades_out_there_until_its_end(opened):
    with opened(viewport=PHONE, has_touch=True, is_mobile=True) as page:
        region = page.locator("#results .scroll.more")
        assert "gradient" in region.evaluate("r => getComputedStyle(r).maskImage")
        page.locator("#results .scroll").evaluate("r => r.scrollTo(r.scrollWidth, 0)")
        region.wait_for(state="detached")
    with opened() as page:
        assert page.locator("#results .scroll").count() == 1
        assert page.locator("#results .scroll.more").count() == 0


def test_long_names_of_the_matrix_keep_their_ends(opened):
    with opened(viewport=PHONE) as page:
        written = page.evaluate(
            """() => {
                const found = [];
                const draw = CanvasRenderingContext2D.prototype.fillText;
                CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
                    found.push(text);
                    draw.call(this, text, ...rest);
                };
                matrix.mark();
                const later = requestAnimationFrame;
                return new Promise((done) => later(() => later(() => done(found))));
            }"""
        )
        short = [text for text in written if "…" in text]
        assert short
        for text in short:
            start, end = text.split("…")
            assert any(n.startswith(start) and n.endswith(end) for n in NAMES)
            assert abs(len(start) - len(end)) <= 1


def test_the_theme_follows_the_system_and_the_button(opened):
    def brightness(page):
        picture = Image.open(io.BytesIO(page.screenshot())).convert("L")
        return np.median(np.asarray(picture))

    with opened(color_scheme="light") as page:
        assert brightness(page) > 200
    with opened(color_scheme="dark") as page:
        assert brightness(page) < 60
        page.get_by_role("button", name="Light").click()
        assert brightness(page) > 200


def test_charts_show_values_and_tables_sort(opened):
    with opened() as page:
        chart = page.locator("[data-chart=accuracy] svg")
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        points = page.evaluate("page.read('points').accuracy")
        x, y, text = next(p for p in points if p[2].startswith("SPL-B, seed 4"))
        scale = box["width"] / chart.evaluate("svg => svg.viewBox.baseVal.width")
        page.mouse.move(box["x"] + x * scale, box["y"] + y * scale)
        assert page.locator("#tip").inner_text() == text == "SPL-B, seed 4: 83.0%"
        table = page.locator("#classes table")
        column = table.locator("tbody tr > :nth-child(2)")
        clips = table.get_by_role("button", name="clips", exact=True)
        clips.click()
        assert column.all_inner_texts() == ["0", "0", "40"]
        clips.click()
        assert column.all_inner_texts() == ["40", "0", "0"]


def test_print_shows_pictures_instead_of_what_moves(opened):
    with opened(color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert not page.locator("#explore").is_visible()
        assert page.locator(".still svg").is_visible()
        assert page.pdf().startswith(b"%PDF")
        ink = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ink == "rgb(255, 255, 255)"


def test_names_stay_text_in_what_scripts_write(opened):
    with opened() as page:
        options = page.locator("#pick-weak option").all_inner_texts()
        assert options == NAMES
        assert SCRIPT in page.locator(".top-cells").inner_text()
        assert page.locator("script").count() == 4
