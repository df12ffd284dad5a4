"""The pictures, judged by their pixels and by what is written on them."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from spl_tf.analysis import overlays
from spl_tf.analysis.overlays import Caption, draw_strip, overlay_heat, write_animation

CAPTION = Caption(
    clip_id="video3@0-1000000",
    label="baking cookies",
    teacher="scrambling eggs 87%",
    spl_label="baking cookies ~ scrambling eggs",
    prediction="scrambling eggs 61%",
    explained="baking cookies ~ scrambling eggs (SPL label, 30%)",
)


@pytest.fixture
def written(monkeypatch):
    """Text and color of what is written while a test runs."""
    texts = {}
    write = Figure.text

    def text(self, x, y, s, **style):
        texts[s] = style["color"]
        return write(self, x, y, s, **style)

    monkeypatch.setattr(Figure, "text", text)
    return texts


def grey_frames(levels, height=8, width=10):
    frames = np.empty((len(levels), height, width, 3), np.uint8)
    frames[:] = np.reshape(levels, (-1, 1, 1, 1))
    return frames


def large_grey_areas(picture):
    """The grey levels, other than white, that cover a hundredth of a picture."""
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    grey = pixels[(pixels == pixels[:, :1]).all(axis=1), 0]
    counts = np.bincount(grey, minlength=256)
    return set(np.flatnonzero(counts > len(pixels) / 100).tolist()) - {255}


def test_the_hottest_place_has_the_color_of_heat_and_the_coldest_that_of_the_frame():
    frames = np.array([[[200, 100, 0], [0, 0, 0]], [[200, 100, 0], [0, 0, 0]]])
    heat = np.array([[[0.0, 0.0], [1.0, 1.0]]])
    found = overlay_heat(frames[None].astype(np.uint8), heat)[0].astype(int)
    luma = 0.299 * 200 + 0.587 * 100
    cold, hot = (255 * np.array(colormaps["inferno"](end)[:3]) for end in (0.0, 1.0))
    for column, grey in enumerate((0.8 * luma, 0.0)):
        np.testing.assert_allclose(found[0, column], 0.65 * grey + 0.35 * cold, atol=1)
        np.testing.assert_allclose(found[1, column], 0.15 * grey + 0.85 * hot, atol=1)


def test_more_heat_is_brighter_on_a_dark_frame():
    heat = np.linspace(0, 1, 50)[None, None]
    shown = overlay_heat(np.zeros((1, 1, 50, 3), np.uint8), heat)[0, 0]
    assert (np.diff(shown @ [0.299, 0.587, 0.114]) > 0).all()


def test_frames_and_heat_of_different_sizes_are_refused(tmp_path):
    frames, heat = grey_frames([1, 2]), np.zeros((2, 8, 9))
    for draw in (draw_strip, write_animation):
        with pytest.raises(ValueError, match=r"\(2, 8, 10, 3\) and heat \(2, 8, 9\)"):
            draw(frames, heat, CAPTION, tmp_path / "it.webp")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [0]), (3, [0, 1, 2]), (15, [*range(0, 15, 2)])]
)
def test_a_strip_shows_frames_from_the_first_to_the_last(tmp_path, count, expected):
    frames = grey_frames(range(40, 40 + 10 * count, 10))
    draw_strip(frames, np.zeros((count, 8, 10)), CAPTION, tmp_path / "it.png")
    with Image.open(tmp_path / "it.png") as picture:
        assert picture.format == "PNG"
        levels = {40 + 10 * place for place in expected}
        upper = picture.crop((0, 0, picture.width, picture.height - 145))
        assert large_grey_areas(upper) == levels
    assert [path.name for path in tmp_path.iterdir()] == ["it.png"]


def test_heat_is_drawn_where_it_is(tmp_path):
    frames, heat = grey_frames([100]), np.zeros((1, 8, 10))
    heat[0, :4, :5] = 1
    draw_strip(frames, heat, CAPTION, tmp_path / "it.png")
    pixels = np.asarray(Image.open(tmp_path / "it.png").convert("RGB"), int)
    # The overlay ends at the bottom margin and begins at the left one.
    overlay = pixels[-14 - 128 : -14, 14 : 14 + 160]
    colorful = np.ptp(overlay, axis=-1) > 40
    assert colorful[:50, :65].all()
    assert not colorful[80:].any()
    assert not colorful[:, 100:].any()


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_an_animation_has_every_frame_and_the_heat_beside_it(tmp_path, kind):
    levels = [60, 100, 140, 180, 220]
    heat = np.zeros((5, 8, 10))
    heat[3] = 1
    path = tmp_path / f"it.{kind}"
    write_animation(grey_frames(levels), heat, CAPTION, path, frame_rate=4)
    with Image.open(path) as picture:
        assert picture.format.lower() == kind
        assert picture.info["loop"] == 0
        shown, durations = [], []
        for image in ImageSequence.Iterator(picture):
            shown.append(np.asarray(image.convert("RGB"), int))
            durations.append(image.info["duration"])
    assert durations == [250] * 5
    for number, (image, level) in enumerate(zip(shown, levels, strict=True)):
        plain, heated = image[-134, 164], image[-134, 14 + 300 + 6 + 150]
        np.testing.assert_allclose(plain, level, atol=6)
        assert (np.ptp(heated) > 40) == (number == 3)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("rate", "duration"), [(0, 100), (0.1, 500), (1000, 20)])
def test_an_animation_is_neither_too_slow_nor_too_fast_to_see(tmp_path, rate, duration):
    path = tmp_path / "it.gif"
    write_animation(grey_frames([9, 99]), np.zeros((2, 8, 10)), CAPTION, path, rate)
    with Image.open(path) as picture:
        assert picture.info["duration"] == duration


def test_an_animation_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"it.mp4 ends in '.mp4', expected .webp or"):
        write_animation(
            grey_frames([1]), np.zeros((1, 8, 10)), CAPTION, tmp_path / "it.mp4"
        )


def test_frames_that_are_large_enough_keep_their_size(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (1, 300, 260, 3)).astype("uint8")
    draw_strip(frames, np.zeros((1, 300, 260)), CAPTION, tmp_path / "it.png")
    pixels = np.asarray(Image.open(tmp_path / "it.png").convert("RGB"))
    bottom = -14 - 300 - 6
    np.testing.assert_array_equal(pixels[bottom - 300 : bottom, 14:274], frames[0])


def test_labels_have_the_colors_of_the_paper(tmp_path, written):
    draw_strip(grey_frames([9]), np.zeros((1, 8, 10)), CAPTION, tmp_path / "it.png")

    def channels(text):
        return [int(written[text][i : i + 2], 16) for i in (1, 3, 5)]

    assert np.argmax(channels("baking cookies")) == 2
    assert np.argmax(channels("scrambling eggs 87%")) == 0
    assert {"weak label", "teacher", "SPL label", "prediction"} <= set(written)
    for text in (CAPTION.spl_label, CAPTION.prediction, CAPTION.clip_id):
        assert text in written
    pixels = np.asarray(Image.open(tmp_path / "it.png").convert("RGB"))
    for text in ("baking cookies", "scrambling eggs 87%"):
        assert (pixels == channels(text)).all(axis=-1).sum() > 50


def test_what_a_clip_lacks_is_none(tmp_path, written):
    caption = Caption("id", None, None, None, "a 50%", "a", label_kind="clean")
    draw_strip(grey_frames([9]), np.zeros((1, 8, 10)), caption, tmp_path / "it.png")
    assert "none" in written
    assert "clean label" in written
    assert "None" not in " ".join(written)


def test_names_are_no_formulas_and_have_accents_and_one_line(tmp_path, written):
    caption = Caption("$\\bad{$", "crème\nbrûlée", "$\\frac{$", "żółw", "$", "$ $")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_strip(grey_frames([9]), np.zeros((1, 8, 10)), caption, tmp_path / "it.png")
    assert "crème brûlée" in written


def test_long_names_are_cut_at_the_margin(tmp_path, written):
    name = "a very long name of WIDE LETTERS " * 10
    caption = Caption("id", name, "short", None, "a", "a")
    draw_strip(grey_frames([9]), np.zeros((1, 8, 10)), caption, tmp_path / "it.png")
    (cut,) = (text for text in written if text.endswith("…"))
    assert name.startswith(cut[:-1])
    assert len(cut) > 30
    pixels = np.asarray(Image.open(tmp_path / "it.png").convert("RGB"))
    assert (pixels[:, -overlays._MARGIN + 2 :] == 255).all()
    # But no more than needed: ink comes close to the margin.
    assert (pixels[:, -3 * overlays._MARGIN :] < 200).any()


def test_neither_pyplot_nor_tensorflow_is_needed():
    code = (
        "import sys, spl_tf.analysis.overlays; "
        "sys.exit(any(m in sys.modules for m in ('matplotlib.pyplot', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
