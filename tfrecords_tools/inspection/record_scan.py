"""What the index needs to know of a record, without reading its frames."""

from __future__ import annotations

import dataclasses

from spl_tf.clips import keys, wire
from spl_tf.clips.record import (
    FrameChoices,
    IndexFacts,
    frame_choices,
    index_facts,
    label_names,
)

# The index holds classes as int32.
_MAX_CLASS = 2**31 - 1

# Where a step's JPEG begins; before it are the heads of two fields of ten bytes.
_STEP_HEAD = 20


class LayoutError(ValueError):
    """A record is no SequenceExample of a labelled clip."""


@dataclasses.dataclass(frozen=True)
class RecordFacts:
    """What the context of a record says of one clip, and how long it is.

    Attributes:
        frames: Number of frames.
        names: Class name of each label; empty where the record has none.
        teacher: The teacher's classes, best first; empty before prediction.
        context: What else the index has of the clip.
        choices: What the teacher says of each frame.
    """

    frames: int
    names: tuple[str, ...]
    teacher: tuple[int, ...]
    context: IndexFacts
    choices: FrameChoices


def scan_record(data, start: int, stop: int) -> RecordFacts:
    """Reads the context of a serialized clip and counts its frames.

    Args:
        data: The shard, or any buffer around the record; see `wire`.
        start: First byte of the record in `data`.
        stop: The byte after its last one.

    Raises:
        LayoutError: The record is no clip with a label; says what it is or lacks.
    """
    try:
        features, lists = wire.example_parts(data, start, stop)
        steps = wire.frame_spans(data, lists)
    except wire.WireError as error:
        raise LayoutError(
            f"no tf.train.SequenceExample, but of another kind or damaged: {error}"
        ) from error
    if not lists:
        raise LayoutError(
            "no feature lists: the record is a tf.train.Example, or empty, expected a "
            f"tf.train.SequenceExample with one JPEG per step of "
            f"{keys.IMAGE_ENCODED!r}; its keys are {sorted(features)}"
        )
    if not steps:
        raise LayoutError(
            f"no frames: the feature list {keys.IMAGE_ENCODED!r} is absent or empty; "
            f"found {sorted(lists)}"
        )
    for step, (first, last) in enumerate(steps):
        try:
            wire.step_bytes(data[first : first + _STEP_HEAD], (0, last - first))
        except wire.WireError as error:
            raise LayoutError(
                f"step {step} of {keys.IMAGE_ENCODED!r} {error}"
            ) from error
    try:
        choices = frame_choices(data, lists)
    except wire.WireError as error:
        raise LayoutError(str(error)) from error
    if len(choices.index) not in (0, len(steps)):
        raise LayoutError(
            f"the feature list {keys.TEACHER_IMAGE_INDEX!r} has {len(choices.index)} "
            f"steps, expected one per frame, {len(steps)}"
        )
    return _facts(features, len(steps), choices)


def _facts(features, frames: int, choices: FrameChoices) -> RecordFacts:
    context = index_facts(features)
    labels, names = context.labels, label_names(features)
    if not labels:
        raise LayoutError(
            f"{keys.LABEL_INDEX!r} has 0 values, expected a class index; the context's "
            f"keys are {sorted(features)}"
        )
    if len(labels) == 1:
        names = names[:1]
    elif names and len(names) != len(labels):
        raise LayoutError(
            f"{keys.LABEL_INDEX!r} has {len(labels)} values, expected as many as there "
            f"are names, {len(names)}"
        )
    try:
        texts = tuple(name.decode() for name in names)
    except UnicodeDecodeError as error:
        raise LayoutError(f"the class name {error.object!r} is not UTF-8") from error
    teacher = ()
    if keys.TEACHER_INDEX in features:
        teacher = tuple(features[keys.TEACHER_INDEX].int64_list.value)
    for index in (*labels, *teacher):
        if not 0 <= index <= _MAX_CLASS:
            raise LayoutError(f"{index} is no class index, expected 0 to {_MAX_CLASS}")
    return RecordFacts(frames, texts, teacher, context, choices)
