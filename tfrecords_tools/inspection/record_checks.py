"""What can be wrong with one clip record."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import tensorflow as tf

from spl_tf.clips import keys
from spl_tf.clips.frame_shape import CropSize, crop_text, height_and_width
from spl_tf.clips.jpeg import BadJpegError, decode_jpeg, jpeg_size
from spl_tf.clips.record import IndexFacts, index_facts
from spl_tf.motion.flow_encoding import from_image_file
from spl_tf.text_files import composed

_CONTEXT_KINDS = {
    keys.EXAMPLE_ID: "bytes_list",
    keys.MEDIA_ID: "bytes_list",
    keys.DATA_PATH: "bytes_list",
    keys.START_TIMESTAMP: "int64_list",
    keys.END_TIMESTAMP: "int64_list",
    keys.IMAGE_FORMAT: "bytes_list",
    keys.IMAGE_FRAME_RATE: "float_list",
    keys.IMAGE_HEIGHT: "int64_list",
    keys.IMAGE_WIDTH: "int64_list",
    keys.LABEL_INDEX: "int64_list",
    keys.LABEL_STRING: "bytes_list",
    keys.LABEL_TEXT: "bytes_list",
}

# These hold one value per label.
_LABEL_KEYS = (keys.LABEL_INDEX, keys.LABEL_STRING, keys.LABEL_TEXT)

# All that the pipeline needs of a record that another tool wrote.
_FOREIGN_KEYS = frozenset({keys.LABEL_INDEX})

# In place of a number that a damaged record does not tell.
UNKNOWN = -2

# Probabilities are float32.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Schema:
    """What the records of a dataset must agree with.

    Attributes:
        class_names: Names of the classes, in index order.
        every_key: Whether all keys must be there, as in records of our own tools; else
            only those that the pipeline reads.
        crop_size: Crop that must fit into the frames; 0 for none.
        has_flow: Whether every record must have optical flow.
    """

    class_names: Sequence[str]
    every_key: bool
    crop_size: CropSize = 0
    has_flow: bool = False


@dataclasses.dataclass(frozen=True)
class CheckedRecord:
    """Result of `check_record`.

    Attributes:
        id: The clip's id, empty when it has none.
        frames: Number of frames; `UNKNOWN`, like the next two, of a record that
            cannot be parsed.
        label: Class index, of several the first, -1 when there is none.
        teacher: The teacher's first choice, -1 when there is none.
        context: What else the index has of it; None of a record that cannot be parsed.
        faults: (kind, message) pairs; kinds are "schema", "label", "teacher",
            "timestamps", "jpeg", "crop" and "flow".
    """

    id: str
    frames: int
    label: int
    teacher: int
    context: IndexFacts | None
    faults: list[tuple[str, str]]


def check_record(record: bytes, schema: Schema) -> CheckedRecord:
    """Checks keys, types, label, teacher and timestamps of a clip, and its frames.

    All of them are decoded, by what decodes them in training.
    """
    try:
        example = tf.train.SequenceExample.FromString(record)
    except Exception as error:  # upb's DecodeError is public under no name
        fault = ("schema", f"no tf.train.SequenceExample: {error}")
        return CheckedRecord("", UNKNOWN, UNKNOWN, UNKNOWN, None, [fault])
    values, faults = _context(example.context.feature, schema)
    context = index_facts(example.context.feature)
    label = next(iter(context.labels), -1)
    faults += _label_faults(values, schema)
    teacher, teacher_faults = _teacher(example.context.feature, schema)
    faults += teacher_faults
    lists = example.feature_lists.feature_list
    frames, step_faults = _steps(lists, keys.IMAGE_ENCODED, "bytes_list")
    if keys.IMAGE_ENCODED not in lists:
        faults.append(("schema", f"no feature list {keys.IMAGE_ENCODED!r}"))
    elif not frames and not step_faults:
        faults.append(("schema", f"the feature list {keys.IMAGE_ENCODED!r} is empty"))
    faults += step_faults
    if keys.IMAGE_TIMESTAMP in lists:
        times, step_faults = _steps(lists, keys.IMAGE_TIMESTAMP, "int64_list")
        faults += step_faults or _time_faults(times, len(frames))
    elif schema.every_key:
        faults.append(("schema", f"no feature list {keys.IMAGE_TIMESTAMP!r}"))
    faults += _frame_faults(frames, values, schema.crop_size)
    if keys.FLOW_ENCODED in lists:
        flow, step_faults = _steps(lists, keys.FLOW_ENCODED, "bytes_list")
        faults += step_faults or _flow_faults(flow, frames)
    elif schema.has_flow:
        message = f"no feature list {keys.FLOW_ENCODED!r}, though dataset.json has flow"
        faults.append(("flow", message))
    clip_id = values.get(keys.EXAMPLE_ID, b"").decode(errors="replace")
    return CheckedRecord(clip_id, len(frames), label, teacher, context, faults)


def _context(features, schema: Schema) -> tuple[dict, list[tuple[str, str]]]:
    """Returns the values of the keys that are as they should be, and the faults.

    The value of `_LABEL_KEYS` is a list.
    """
    values, faults = {}, []
    num_labels = _num_labels(features)
    for key, kind in _CONTEXT_KINDS.items():
        if key not in features:
            if schema.every_key or key in _FOREIGN_KEYS:
                faults.append(("schema", f"no context key {key!r}"))
            continue
        found = features[key].WhichOneof("kind")
        found_values = getattr(features[key], found).value if found else ()
        size, expected = len(found_values), num_labels if key in _LABEL_KEYS else 1
        if found != kind or size != expected:
            message = f"{key!r} is a {found} of {size}, expected a {kind} of {expected}"
            faults.append(("schema", message))
            continue
        values[key] = found_values if key in _LABEL_KEYS else found_values[0]
    if not values.get(keys.EXAMPLE_ID, b"-"):
        faults.append(("schema", f"{keys.EXAMPLE_ID!r} is empty"))
    image_format = values.get(keys.IMAGE_FORMAT, b"jpeg")
    if image_format.lower() != b"jpeg":
        faults.append(("schema", f"image/format is {image_format!r}, expected b'jpeg'"))
    start = values.get(keys.START_TIMESTAMP, 0)
    end = values.get(keys.END_TIMESTAMP, start)
    if start > end:
        faults.append(
            ("timestamps", f"the clip starts at {start}, after its end {end}")
        )
    return values, faults


def _num_labels(features) -> int:
    """How many labels the record seems to have, where its keys do not agree on it."""
    sizes = [
        len(getattr(features[key], _CONTEXT_KINDS[key]).value)
        for key in _LABEL_KEYS
        if key in features
    ]
    return 1 if 1 in sizes else max([1, *sizes])


def _label_faults(values: dict, schema: Schema) -> Iterator[tuple[str, str]]:
    num_classes = len(schema.class_names)
    for place, label in enumerate(values.get(keys.LABEL_INDEX, ())):
        if not 0 <= label < num_classes:
            yield "label", f"label {label} is no class, expected 0 to {num_classes - 1}"
            continue
        expected = schema.class_names[label]
        for key in (keys.LABEL_STRING, keys.LABEL_TEXT):
            if key not in values:
                continue
            found = values[key][place].decode(errors="replace")
            if composed(found) != expected:
                yield (
                    "label",
                    f"{key!r} is {found!r}, but class {label} of dataset.json is "
                    f"{expected!r}",
                )


def _teacher(features, schema: Schema) -> tuple[int, list[tuple[str, str]]]:
    index = features[keys.TEACHER_INDEX].int64_list.value
    confidence = features[keys.TEACHER_CONFIDENCE].float_list.value
    faults = []
    if len(index) != len(confidence):
        faults.append(f"{len(index)} classes but {len(confidence)} confidences")
    num_classes = len(schema.class_names)
    wrong = [value for value in index if not 0 <= value < num_classes]
    if wrong:
        faults.append(f"{wrong} are no classes, expected 0 to {num_classes - 1}")
    if not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in confidence):
        faults.append(f"confidences {list(confidence)}, expected 0 to 1")
    elif sorted(confidence, reverse=True) != list(confidence):
        faults.append(f"confidences {list(confidence)}, expected the best first")
    first = index[0] if index else -1
    return first, [("teacher", f"TEACHER fields: {fault}") for fault in faults]


def _steps(lists, key: str, kind: str) -> tuple[list, list[tuple[str, str]]]:
    if key not in lists:
        return [], []
    values = [getattr(step, kind).value for step in lists[key].feature]
    wrong = [step for step, value in enumerate(values) if len(value) != 1]
    if wrong:
        step = wrong[0]
        message = (
            f"step {step} of {key!r} has {len(values[step])} values in its {kind}, "
            f"expected 1; {len(wrong)} of {len(values)} steps are affected"
        )
        return [], [("schema", message)]
    return [value[0] for value in values], []


def _time_faults(times: Sequence[int], frames: int) -> Iterator[tuple[str, str]]:
    if len(times) != frames:
        yield "timestamps", f"{len(times)} timestamps for {frames} frames"
    for step in range(1, len(times)):
        if times[step] < times[step - 1]:
            yield (
                "timestamps",
                f"step {step} is at {times[step]} microseconds, before step "
                f"{step - 1} at {times[step - 1]}",
            )
            return


def _frame_faults(
    frames: Sequence[bytes], values: dict, crop_size: CropSize
) -> Iterator[tuple[str, str]]:
    first_size = None
    for step, frame in enumerate(frames):
        try:
            size = decode_jpeg(frame).shape[:2]
        except BadJpegError as error:
            yield "jpeg", f"frame {step} {error}"
            continue
        first_size = first_size or size
        if size != first_size:
            yield (
                "jpeg",
                f"frame {step} is {size[0]} x {size[1]} (height x width), the clip's "
                f"first is {first_size[0]} x {first_size[1]}",
            )
    if not first_size:
        return
    for key, found in zip(
        (keys.IMAGE_HEIGHT, keys.IMAGE_WIDTH), first_size, strict=True
    ):
        if values.get(key, found) != found:
            yield "jpeg", f"{key!r} is {values[key]}, the frames have {found}"
    needed = height_and_width(crop_size) if crop_size else (0, 0)
    if any(found < least for found, least in zip(first_size, needed, strict=True)):
        yield (
            "crop",
            f"its frames are {first_size[0]} x {first_size[1]}, smaller than the crop "
            f"of {crop_text(needed)}",
        )


def _flow_faults(
    images: Sequence[bytes], frames: Sequence[bytes]
) -> Iterator[tuple[str, str]]:
    if len(images) != len(frames):
        yield "flow", f"{len(images)} images of flow for {len(frames)} frames"
    expected = None
    with contextlib.suppress(BadJpegError):  # which is a fault of the frame
        expected = jpeg_size(frames[0]) if frames else None
    for step, image in enumerate(images):
        try:
            size = from_image_file(image).shape[:2]
        except BadJpegError as error:
            yield "flow", f"image {step} of the flow {error}"
            continue
        if size != (expected or size):
            yield (
                "flow",
                f"image {step} of the flow is {size[0]} x {size[1]} (height x width), "
                f"the clip's first frame {expected[0]} x {expected[1]}",
            )
