"""Shows where a trained model looks in clips: animations and strips with Grad-CAM heat.

python -m experiments.visualize --checkpoint=runs/spl_m --dataset=clips/web_teacher \
    --clips=8 --output_dir=pictures

`--clips` is a number of clips to draw at random, or a list of clip ids (an id with a
comma in double quotes). Over each clip stand its weak label, its teacher's label, its
sub-pseudo label and what the model says, as in the paper's Figure 6. Where a network of
optical flow looks is shown over the frames that the flow starts from.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from absl import flags

from spl_tf import binary, clips, data
from spl_tf.analysis import overlays
from spl_tf.analysis.grad_cam import WEIGHTS, grad_cam
from spl_tf.clips.frame_shape import CHANNELS, RGB, height_and_width
from spl_tf.clips.jpeg import BadJpegError, decode_jpeg
from spl_tf.data.decoding import View, decode_view
from spl_tf.data.frames import open_frames, resize
from spl_tf.data.records import BadRecordError, view_record
from spl_tf.data.sampling import scored_windows
from spl_tf.inference.evaluation import Views
from spl_tf.inference.outputs import is_multi_label, probabilities_of
from spl_tf.labels import DISCARD, LabelMap
from spl_tf.progress import Progress
from spl_tf.runs import run_folder

EXPLAINED = ("label", "prediction")
_NO_LABEL = -1  # of a record without one
_LONGEST_NAME = 80  # of a file, in letters of the clip's id


@dataclasses.dataclass(frozen=True)
class Pictures:
    """What was drawn of one clip.

    Attributes:
        row: The clip's row in the index.
        caption: What is written on the pictures.
        animation: Path of the moving picture, WebP or GIF.
        strip: Path of the frames side by side, PNG.
    """

    row: int
    caption: overlays.Caption
    animation: Path
    strip: Path


def visualize(
    checkpoint: str,
    dataset_dir: str,
    chosen: int | Sequence[str],
    output_dir: str | os.PathLike,
    label_map_dir: str = "",
    explain: str = "label",
    weights: str = "global",
    layer: str | None = None,
    seed: int = 0,
    animation_format: str = "webp",
) -> list[Pictures]:
    """Draws clips with the heat of the class that they are labelled with.

    Args:
        checkpoint: Workdir of a finished run.
        dataset_dir: The clips, with or without a teacher's predictions.
        chosen: How many clips to draw at random, all if there are fewer; or their ids.
        output_dir: Folder of the pictures; made if it is not there.
        label_map_dir: The label map that the run was trained with; empty for the one
            that its config names, if any.
        explain: "label" explains the label that the run was trained to give the clip,
            or the prediction where there is none; "prediction" the latter for all.
        weights: How gradients weigh channels, as `grad_cam` has it.
        layer: Name of the layer that is explained; None for `grad_cam`'s default.
        seed: Decides which clips are chosen at random.
        animation_format: Ending of the moving pictures, one of `ANIMATION_FORMATS`.

    Returns:
        One per clip, in the order of the ids, or of the index.

    Raises:
        ValueError: A clip id is unknown, the label map belongs to another dataset or
            run, or a clip cannot be read.
        FileNotFoundError: A folder is missing or not what it should be.
    """
    if explain not in EXPLAINED:
        raise ValueError(f"explain is {explain!r}, expected {' or '.join(EXPLAINED)}")
    dataset = clips.ClipDataset(dataset_dir)
    rows = _choose_rows(dataset, chosen, seed)
    config, output_names, model = run_folder.load_run(checkpoint)
    label_map = _open_label_map(label_map_dir or config.data.label_map)
    labels = _Labels(dataset.info, output_names, label_map)
    views = Views.of(config.data)
    os.makedirs(output_dir, exist_ok=True)
    shown = []
    with (
        dataset.reader() as reader,
        Progress(len(rows), "clip", "drawing") as progress,
    ):
        for row in rows:
            record = reader.read(row)
            clip = _parse(dataset, record, row)
            frames = decode_central(clip, views)
            batch = data.unit_pixels(what_is_seen(record, frames, views)[None])
            scores = _scores(model, batch, is_multi_label(config))
            output, caption = labels.describe(clip, scores, explain)
            heat = grad_cam(model, batch, [output], layer, weights)[0]
            stem = os.path.join(output_dir, _stem(row, clip.id))
            animation, strip = Path(f"{stem}.{animation_format}"), Path(f"{stem}.png")
            rate = clip.frame_rate / views.sampling.stride
            overlays.write_animation(frames, heat, caption, animation, rate)
            overlays.draw_strip(frames, heat, caption, strip)
            shown.append(Pictures(row, caption, animation, strip))
            progress.update()
    return shown


class _Labels:
    """Names a clip's labels, and says which output of the model they are."""

    def __init__(
        self,
        info: clips.DatasetInfo,
        output_names: list[str],
        label_map: LabelMap | None,
    ):
        """Checks that the label map links the dataset to the model's outputs."""
        self._info = info
        self._outputs = output_names
        self._map = label_map
        if label_map is not None:
            _check_same(
                ("the label map's classes", label_map.class_names),
                ("the dataset's", info.class_names),
            )
            _check_same(
                ("the label map's labels", label_map.label_names),
                ("the run's", output_names),
            )

    def describe(
        self, clip: clips.Clip, scores: np.ndarray, explain: str
    ) -> tuple[int, overlays.Caption]:
        """Chooses the output to explain and writes the caption.

        Args:
            clip: The clip to be drawn.
            scores: Probability of each output, float [C].
            explain: Which output to explain, one of `EXPLAINED`.
        """
        weak = self._class_name(clip, clip.label_index)
        teacher, spl_label = None, None
        if clip.teacher_index:
            teacher = self._class_name(clip, clip.teacher_index[0])
            teacher += "".join(f" {share:.0%}" for share in clip.teacher_confidence[:1])
        output, role = self._trained_output(clip), "label"
        if self._map is not None and output is not None:
            spl_label, role = "discarded", "SPL label"
            if output != DISCARD:
                spl_label = self._outputs[output]
        best = int(scores.argmax())
        if explain == "prediction" or output in (None, DISCARD):
            output, role = best, "prediction"
        return output, overlays.Caption(
            clip_id=clip.id,
            label=weak,
            teacher=teacher,
            spl_label=spl_label,
            prediction=f"{self._outputs[best]} {scores[best]:.0%}",
            explained=f"{self._outputs[output]} ({role}, {scores[output]:.0%})",
            label_kind=self._info.label_kind,
        )

    def _class_name(self, clip: clips.Clip, index: int) -> str | None:
        if index == _NO_LABEL:
            return None
        names = self._info.class_names
        if not 0 <= index < len(names):
            raise ValueError(
                f"clip {clip.id!r} has class {index}, expected 0 to {len(names) - 1}"
            )
        return names[index]

    def _trained_output(self, clip: clips.Clip) -> int | None:
        """What the run was trained to say, `DISCARD` if never; None if not known."""
        if clip.label_index == _NO_LABEL:
            return None
        if self._map is None:
            is_class = self._outputs == self._info.class_names
            return clip.label_index if is_class else None
        if self._map.needs_teacher and not clip.teacher_index:
            return None
        return int(self._map.lookup([clip.label_index], clip.teacher_index[:1])[0])


def _check_same(
    mine: tuple[str, Sequence[str]], others: tuple[str, Sequence[str]]
) -> None:
    (what, found), (whose, expected) = mine, others
    if len(found) != len(expected) or list(found) != list(expected):
        raise ValueError(
            f"{what} are {len(found)} ({', '.join(found[:3])}, ...), {whose} "
            f"{len(expected)} ({', '.join(expected[:3])}, ...); names and order must "
            "be the same. Name the label map that the run was trained with"
        )


def _open_label_map(path: str) -> LabelMap | None:
    if not path:
        return None
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"there is no label map at {path}; name the one that the run was trained "
            "with"
        )
    return LabelMap.load(path)


def _choose_rows(
    dataset: clips.ClipDataset, chosen: int | Sequence[str], seed: int
) -> list[int]:
    if not isinstance(chosen, int):
        return _find_rows(dataset, chosen)
    if chosen < 1 or not len(dataset):
        raise ValueError(
            f"{chosen} clips of {dataset.directory}, which has {len(dataset)}, were "
            "asked for, expected 1 or more"
        )
    random = np.random.default_rng(seed)
    return np.sort(random.permutation(len(dataset))[:chosen]).tolist()


def _find_rows(dataset: clips.ClipDataset, clip_ids: Sequence[str]) -> list[int]:
    """Reads records, which alone know their ids, until all are found."""
    rows: dict[str, int | None] = dict.fromkeys(clip_ids)
    missing = set(rows)
    if not missing:
        raise ValueError("no clip was asked for, expected a number or clip ids")
    with (
        dataset.reader() as reader,
        Progress(len(dataset), "clip", "looking for the clips") as progress,
    ):
        for row in range(len(dataset)):
            clip_id = _parse(dataset, reader.read(row), row).id
            progress.update()
            if clip_id in missing:
                rows[clip_id] = row
                missing.remove(clip_id)
            if not missing:
                return list(rows.values())
    names = ", ".join(map(repr, sorted(missing)))
    raise ValueError(
        f"{dataset.directory} has no clip {names} among its {len(dataset)} clips; "
        "inspect_records of tfrecords_tools shows some of the ids that it has"
    )


def _parse(dataset: clips.ClipDataset, record: bytes, row: int) -> clips.Clip:
    try:
        return clips.parse_clip(record)
    except ValueError as error:
        raise ValueError(f"{dataset.directory}, row {row}: {error}") from error


def decode_central(clip: clips.Clip, views: Views) -> np.ndarray:
    """The central frames as a network gets them: uint8 [T, H, W, 3].

    Raises:
        ValueError: A frame does not decode, or is smaller than the crop.
    """
    frames = []
    rows, columns = height_and_width(views.crop_size)
    for place in views.sampling.central_frames(len(clip.frames)):
        try:
            image = decode_jpeg(clip.frames[place])
        except BadJpegError as error:
            raise ValueError(
                f"clip {clip.id!r}: frame {place} cannot be decoded: it {error}"
            ) from error
        height, width = image.shape[:2]
        if not views.short_side and (height < rows or width < columns):
            raise ValueError(
                f"clip {clip.id!r}: frame {place} is {height} x {width}, smaller than "
                f"the model's input of {rows} x {columns}"
            )
        ((top, left, *size),) = scored_windows(
            height, width, views.crop_size, views.short_side
        )
        image = image[top : top + size[0], left : left + size[1]]
        if size != [rows, columns]:
            image = resize(image, (rows, columns))
        frames.append(image)
    return np.stack(frames)


def what_is_seen(record: bytes, frames: np.ndarray, views: Views) -> np.ndarray:
    """What a network gets of a clip: its central frames, or the flow from each on.

    Args:
        record: The serialized clip.
        frames: uint8 [T, H, W, 3], as `decode_central` gives them.
        views: How the network looks at clips.

    Returns:
        uint8 [T, H, W, C]; of flow as `FlowFrames` has it.

    Raises:
        ValueError: The clip has no flow, or damaged one.
    """
    if views.modality == RGB:
        return frames
    found = open_frames(view_record(record, views.modality), views.modality)
    (window,) = scored_windows(*found.size, views.crop_size, views.short_side)
    view = View(views.sampling.central_frames(len(found)), window)
    out = np.empty((*frames.shape[:3], CHANNELS[views.modality]), np.uint8)
    try:
        decode_view(found, view, out)
    except BadRecordError as error:
        name = found.record.id.decode(errors="replace")
        raise ValueError(f"clip {name!r}: {error}") from error
    return out


def _scores(model: keras.Model, batch, multi_label: bool) -> np.ndarray:
    """Probabilities of the model's outputs, float32 [num_classes]."""
    logits = model(batch, training=False)
    return keras.ops.convert_to_numpy(probabilities_of(logits, multi_label))[0]


def _stem(row: int, clip_id: str) -> str:
    """A file name without its ending; the row keeps names apart."""
    letters = re.sub(r"[^\w.@-]+", "_", clip_id, flags=re.ASCII)
    return f"{row:06d}_{letters[-_LONGEST_NAME:]}"


def main(argv: list[str]) -> None:
    """Reads the flags, draws, prints the files."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    chosen = values.clips
    if len(chosen) == 1 and re.fullmatch(r"-?[0-9]+", chosen[0]):
        chosen = int(chosen[0])
    shown = visualize(
        values.checkpoint,
        values.dataset,
        chosen,
        values.output_dir or os.path.join(values.checkpoint, "heat"),
        label_map_dir=values.label_map,
        explain=values.explain,
        weights=values.weights,
        layer=values.layer,
        seed=values.seed,
        animation_format=values.format,
    )
    for pictures in shown:
        print(pictures.animation, pictures.strip)


if __name__ == "__main__":
    flags.DEFINE_string("checkpoint", None, "Workdir of the run.", required=True)
    flags.DEFINE_string("dataset", None, "Folder of the clips.", required=True)
    flags.DEFINE_list("clips", None, "How many clips, or their ids.", required=True)
    flags.DEFINE_string(
        "output_dir", "", "Folder to write; `heat` in the checkpoint's when empty."
    )
    flags.DEFINE_string("label_map", "", "Default: the one that the run names.")
    flags.DEFINE_enum("explain", "label", EXPLAINED, "The class to explain.")
    flags.DEFINE_enum("weights", "global", WEIGHTS, "Means over time or per frame.")
    flags.DEFINE_string("layer", None, "Default: the output of the last stage.")
    flags.DEFINE_integer("seed", 0, "Decides which clips are drawn.", lower_bound=0)
    flags.DEFINE_enum(
        "format", "webp", overlays.ANIMATION_FORMATS, "Format of the animations."
    )
    binary.run(main)
