"""Grad-CAM strips of some clips of sub-pseudo labels (Figure 6)."""

from __future__ import annotations

import os

import keras
import numpy as np
from PIL import Image

from experiments.reporting.workdir import Workdir
from experiments.visualize import decode_central, what_is_seen
from spl_tf import clips, data
from spl_tf.analysis import overlays
from spl_tf.analysis.grad_cam import grad_cam
from spl_tf.analysis.report import HeatStrip, WebClips
from spl_tf.analysis.report.sprites import encode_webp
from spl_tf.inference.evaluation import Views
from spl_tf.labels import LabelMap
from spl_tf.runs import checkpoints, run_folder

_NUM_STRIPS = 4
_SIDE = 112  # pixels of a frame's shorter side, at least
_LARGEST_SIDE = 160
_GAP = 4
_QUALITY = 80
_SEED = 0  # of the draw of clips
# Strategies with names for what is off the diagonal, the paper's best first.
_WITH_SUB_LABELS = ("spl_b", "spl_m", "spl_d", "spl")


def draw_strips(source: Workdir, web: WebClips | None) -> list[HeatStrip]:
    """Draws clips of the most frequent cells that have a sub-pseudo label."""
    row = _row_to_show(source, web)
    if row is None:
        return []
    weights = os.path.join(row["pretrain"], checkpoints.WEIGHTS)
    weights = source.find("heat", "weights of the pre-trained network", weights)
    if weights is None:
        return []
    config, output_names, model = run_folder.load_run(os.path.dirname(weights))
    label_map = web.label_maps[row["strategy"]]
    if len(output_names) != len(label_map.label_names):
        source.miss(
            "heat", f"{row['pretrain']} is of another label map than the one here"
        )
        return []
    entry = next(e for e in source.results["seeds"] if e["seed"] == web.seed)
    dataset = clips.ClipDataset(os.path.join(source.path, entry["web_teacher"]))
    views = Views.of(config.data)
    strips = []
    with dataset.reader() as reader:
        for index in _choose_clips(dataset.index, label_map):
            record = reader.read(index)
            clip = clips.parse_clip(record)
            frames = decode_central(clip, views)
            weak, teacher = clip.label_index, clip.teacher_index[0]
            output = int(label_map.lookup([weak], [teacher])[0])
            batch = data.unit_pixels(what_is_seen(record, frames, views)[None])
            logits = model(batch, training=False)
            scores = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[0]
            picture = _compose(frames, grad_cam(model, batch, [output])[0])
            strips.append(
                HeatStrip(
                    strategy=row["strategy"],
                    label=output_names[output],
                    weak=dataset.info.class_names[weak],
                    teacher=dataset.info.class_names[teacher],
                    probability=float(scores[output]),
                    clip_id=clip.id,
                    picture=encode_webp(picture, _QUALITY),
                    size=picture.size,
                )
            )
    return strips


def _row_to_show(source: Workdir, web: WebClips | None):
    if web is None:
        return None
    rows = {
        row["strategy"]: row
        for row in source.results["rows"]
        if row["seed"] == web.seed and row.get("pretrain")
    }
    for strategy in _WITH_SUB_LABELS:
        if strategy in rows and strategy in web.label_maps:
            return rows[strategy]
    return None


def _choose_clips(index: clips.ClipIndex, label_map: LabelMap) -> list[int]:
    """A clip at random of each of the largest cells with a label off the diagonal."""
    size = len(label_map.class_names)
    known = (index.label >= 0) & (index.teacher >= 0) & (index.label != index.teacher)
    rows = np.flatnonzero(known)
    weak, teacher = index.label[rows].astype(np.int64), index.teacher[rows]
    labels = label_map.lookup(weak, teacher)
    classes = np.arange(size)
    diagonal = label_map.lookup(classes, classes)
    rows = rows[~np.isin(labels, diagonal) & (labels >= 0)]
    cells = index.label[rows].astype(np.int64) * size + index.teacher[rows]
    keys, counts = np.unique(cells, return_counts=True)
    rng = np.random.default_rng(_SEED)
    chosen, seen = [], set()
    for key in keys[np.argsort(-counts, kind="stable")].tolist():
        if key // size in seen:
            continue  # one strip per query
        seen.add(key // size)
        chosen.append(int(rng.choice(rows[cells == key])))
        if len(chosen) == _NUM_STRIPS:
            break
    return chosen


def _compose(frames: np.ndarray, heat: np.ndarray) -> Image.Image:
    """Frames above, the same with heat below; gaps are transparent."""
    places = np.linspace(
        0, len(frames) - 1, min(len(frames), overlays.MAX_STRIP_FRAMES)
    )
    places = np.rint(places).astype(np.int64)
    side = min(max(frames.shape[1], _SIDE), _LARGEST_SIDE)
    size = (round(side * frames.shape[2] / frames.shape[1]), side)
    step = size[0] + _GAP
    sheet = Image.new("RGBA", (len(places) * step - _GAP, 2 * side + _GAP))
    for column, place in enumerate(places):
        plain = Image.fromarray(frames[place]).resize(size, Image.BICUBIC)
        smooth = Image.fromarray(heat[place].astype(np.float32)).resize(
            size, Image.BILINEAR
        )
        heated = overlays.overlay_heat(
            np.asarray(plain)[None], np.asarray(smooth)[None].clip(0, 1)
        )[0]
        sheet.paste(plain, (column * step, 0))
        sheet.paste(Image.fromarray(heated), (column * step, side + _GAP))
    return sheet
