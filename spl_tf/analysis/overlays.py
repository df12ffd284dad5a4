"""Pictures of where a network looks in a clip, with its labels (Figure 6).

Captions are drawn without pyplot, so that no display is needed and no global state
touched.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from PIL import Image

from spl_tf.files import replacing

ANIMATION_FORMATS = ("webp", "gif")
MAX_STRIP_FRAMES = 8

_COLORS = colormaps["inferno"]  # perceptually uniform
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_BRIGHTNESS = 0.8  # of the frame below the heat; white must not pass for heat
_OPACITIES = (0.35, 0.85)  # of the heat, where it is 0 and where it is 1

# Pixels. Frames whose shorter side is smaller are enlarged to it.
_ANIMATION_SIDE = 240
_STRIP_SIDE = 128
_GAP = 6
_MARGIN = 14
_NARROWEST = 2 * _ANIMATION_SIDE + _GAP
_LINE = 22
_TEXT_LEFT = 96
_FONT_SIZE = 14

_SLOWEST, _FASTEST = 500, 20  # milliseconds per frame
_UNKNOWN_RATE = 10.0  # frames per second

# As in the paper: the weak label is blue, the teacher's red.
_WEAK, _TEACHER, _LABEL, _QUIET = "#1d4ed8", "#c81e1e", "#111827", "#6b7280"


@dataclasses.dataclass(frozen=True)
class Caption:
    """What is written over a clip; None is shown as "none".

    Attributes:
        clip_id: The clip's `example/id`.
        label: Name of the source's label.
        teacher: Name of the teacher's first choice.
        spl_label: The label that a label map gives the clip.
        prediction: The model's first choice, with its probability.
        explained: The class for which the heat is evidence.
        label_kind: "weak" or "clean", what `label` is.
    """

    clip_id: str
    label: str | None
    teacher: str | None
    spl_label: str | None
    prediction: str
    explained: str
    label_kind: str = "weak"

    @property
    def lines(self) -> tuple[tuple[str, str, str], ...]:
        """Title, text and color of each line, from the top."""
        return tuple(
            (title, "none" if text is None else text, color)
            for title, text, color in (
                (f"{self.label_kind} label", self.label, _WEAK),
                ("teacher", self.teacher, _TEACHER),
                ("SPL label", self.spl_label, _LABEL),
                ("prediction", self.prediction, _LABEL),
                ("heat for", self.explained, _LABEL),
                ("clip", self.clip_id, _QUIET),
            )
        )


def overlay_heat(frames: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lays heat over frames, which lose their color so that all color is heat.

    Cold places are darkened; the hotter, the less of the frame shows through.

    Args:
        frames: uint8 `[T, H, W, 3]`, RGB.
        heat: float `[T, H, W]` in [0, 1].

    Returns:
        uint8 `[T, H, W, 3]`, RGB.

    Raises:
        ValueError: The two do not belong together.
    """
    _check(frames, heat)
    colors = 255 * _COLORS(heat)[..., :3]
    opacity = np.interp(heat, (0, 1), _OPACITIES)[..., None]
    grey = _BRIGHTNESS * (frames @ np.array(_LUMA))[..., None]
    return np.rint(grey * (1 - opacity) + colors * opacity).astype(np.uint8)


def draw_strip(
    frames: np.ndarray, heat: np.ndarray, caption: Caption, path: str | os.PathLike
) -> None:
    """Draws frames side by side, 8 at most and evenly spread, and the heat on them.

    Args:
        frames: uint8 `[T, H, W, 3]`, RGB.
        heat: float `[T, H, W]` in [0, 1].
        caption: Text above the frames.
        path: A PNG file, replaced in one step. Its folder must exist.

    Raises:
        ValueError: Frames and heat do not belong together.
    """
    _check(frames, heat)
    places = _spread(len(frames), MAX_STRIP_FRAMES)
    columns = [
        np.concatenate([plain, _blank(_GAP, plain.shape[1]), heated])
        for plain, heated in _enlarged_pairs(frames[places], heat[places], _STRIP_SIDE)
    ]
    body = _in_a_row(columns)
    page = _compose(_draw_caption(caption, body.shape[1]), body)
    with replacing(Path(path)) as temporary:
        Image.fromarray(page).save(temporary, format="PNG")


def write_animation(
    frames: np.ndarray,
    heat: np.ndarray,
    caption: Caption,
    path: str | os.PathLike,
    frame_rate: float = 0.0,
) -> None:
    """Writes the clip, and beside it the heat on it, as an endless animation.

    Args:
        frames: uint8 `[T, H, W, 3]`, RGB.
        heat: float `[T, H, W]` in [0, 1].
        caption: Text above the frames.
        path: A file whose name ends in .webp or .gif, replaced in one step. Its folder
            must exist.
        frame_rate: Frames per second; 0 where it is not known.

    Raises:
        ValueError: The name ends in something else, or frames and heat do not belong
            together.
    """
    _check(frames, heat)
    path = Path(path)
    kind = path.suffix[1:].lower()
    if kind not in ANIMATION_FORMATS:
        known = " or .".join(ANIMATION_FORMATS)
        raise ValueError(f"{path} ends in {path.suffix!r}, expected .{known}")
    bodies = [
        _in_a_row(pair) for pair in _enlarged_pairs(frames, heat, _ANIMATION_SIDE)
    ]
    header = _draw_caption(caption, bodies[0].shape[1])
    first, *others = (Image.fromarray(_compose(header, body)) for body in bodies)
    milliseconds = 1000 / (frame_rate if frame_rate > 0 else _UNKNOWN_RATE)
    with replacing(path) as temporary:
        first.save(
            temporary,
            format=kind,
            save_all=True,
            append_images=others,
            duration=round(min(max(milliseconds, _FASTEST), _SLOWEST)),
            loop=0,
            **({"quality": 85} if kind == "webp" else {}),
        )


def _check(frames: np.ndarray, heat: np.ndarray) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or heat.shape != frames.shape[:-1]:
        raise ValueError(
            f"frames have shape {frames.shape} and heat {heat.shape}, expected "
            "[T, H, W, 3] and [T, H, W]"
        )


def _spread(count: int, most: int) -> np.ndarray:
    """Up to `most` of `count` places, with the first and the last."""
    return np.rint(np.linspace(0, count - 1, min(count, most))).astype(np.int64)


def _enlarged_pairs(
    frames: np.ndarray, heat: np.ndarray, side: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each frame, and the same with heat, the shorter side `side` at least."""
    height, width = frames.shape[1:3]
    factor = max(1.0, side / min(height, width))
    size = (round(width * factor), round(height * factor))
    pairs = []
    for frame, frame_heat in zip(frames, heat.astype(np.float32), strict=True):
        plain = np.asarray(Image.fromarray(frame).resize(size, Image.BICUBIC))
        smooth = Image.fromarray(frame_heat).resize(size, Image.BILINEAR)
        pairs.append((plain, overlay_heat(plain[None], np.asarray(smooth)[None])[0]))
    return pairs


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def _in_a_row(images) -> np.ndarray:
    parts = []
    for image in images:
        parts += [_blank(image.shape[0], _GAP), image]
    return np.concatenate(parts[1:], axis=1)


def _compose(header: np.ndarray, body: np.ndarray) -> np.ndarray:
    height, width = body.shape[:2]
    page = _blank(header.shape[0] + height + _MARGIN, header.shape[1])
    page[: header.shape[0]] = header
    page[header.shape[0] : -_MARGIN, _MARGIN : _MARGIN + width] = body
    return page


def _draw_caption(caption: Caption, body_width: int) -> np.ndarray:
    """The lines, uint8 `[h, w, 3]`, as wide as the body with margins, or wider."""
    width = max(body_width, _NARROWEST) + 2 * _MARGIN
    height = len(caption.lines) * _LINE + 2 * _MARGIN
    figure = Figure(figsize=(width, height), dpi=1, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    # At one dot per inch a point is 1/72 pixel.
    font = FontProperties(size=72 * _FONT_SIZE)
    bold = FontProperties(size=72 * _FONT_SIZE, weight="bold")

    def write(left, base, text, face, color):
        style = {"fontproperties": face, "color": color, "va": "baseline"}
        # A dollar sign in a name is no formula.
        figure.text(left / width, 1 - base / height, text, parse_math=False, **style)

    room = width - _TEXT_LEFT - 2 * _MARGIN
    for number, (title, text, color) in enumerate(caption.lines):
        base = _MARGIN + (number + 0.7) * _LINE
        face = font if color == _QUIET else bold
        text = _shortened(" ".join(text.split()), room, face, canvas.get_renderer())
        write(_MARGIN, base, title, font, _QUIET)
        write(_MARGIN + _TEXT_LEFT, base, text, face, color)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _shortened(text: str, room: float, face: FontProperties, renderer) -> str:
    """The start of a text, with an ellipsis where it is wider than `room` pixels."""
    shown, kept = text, len(text)
    while kept and renderer.get_text_width_height_descent(shown, face, False)[0] > room:
        kept -= 1
        shown = f"{text[:kept]}…"
    return shown
