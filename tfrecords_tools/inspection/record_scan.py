"""What the index needs to know of a record, without reading its frames.

A clip record is megabytes of JPEG around a few hundred bytes of context. Its fields
say how long they are, so that a reader can hop from one to the next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import tensorflow as tf

from spl_tf.clips import keys
from spl_tf.clips.record import IndexFacts, index_facts, label_names

# Gives `size` bytes from `position` on, fewer at the end.
Read = Callable[[int, int], bytes]

# Field numbers of tf.train.SequenceExample and of the messages inside.
_CONTEXT = 1
_FEATURE_LISTS = 2
_MAP_ENTRY = _MAP_KEY = 1
_MAP_VALUE = 2

# Wire types of protocol buffers.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# The index holds classes as int32.
_MAX_CLASS = 2**31 - 1

# A field's tag and length are two varints of at most ten bytes.
_MAX_FIELD_HEADER = 20

# A frame is three messages deep: field 1, of wire type 2, of each.
_STEP_DEPTH = 3
_STEP_TAG = b"\x0a"
_MAX_STEP_HEADER = _STEP_DEPTH * 11


class LayoutError(ValueError):
    """A record is no SequenceExample of a labelled clip."""


@dataclasses.dataclass(frozen=True)
class RecordFacts:
    """Of one clip.

    Attributes:
        frames: How many.
        names: Class name of each label; empty where the record has none.
        teacher: The teacher's classes, best first; empty before prediction.
        context: What else the index has of it.
    """

    frames: int
    names: tuple[str, ...]
    teacher: tuple[int, ...]
    context: IndexFacts


def scan_record(read: Read, start: int, end: int) -> RecordFacts:
    """Reads the context of a serialized clip and counts its frames.

    Args:
        read: Gives the bytes of the shard, or of any buffer around the record.
        start: Position of the record's first byte.
        end: Position after its last byte.

    Raises:
        LayoutError: What the record is or lacks.
    """
    context = b""
    frames: dict[str, int] = {}
    for number, first, last in _fields(read, start, end):
        if number == _CONTEXT:
            # Serialized messages merge by being put one after the other.
            context += read(first, last - first)
        elif number == _FEATURE_LISTS:
            frames.update(_count_steps(read, first, last))
        else:
            raise LayoutError(
                f"field {number} is in no tf.train.SequenceExample: the record is of "
                "another kind, or damaged"
            )
    try:
        features = tf.train.Features.FromString(context).feature
    except Exception as error:  # upb's DecodeError is public under no name
        raise LayoutError(f"no tf.train.SequenceExample: {error}") from error
    if not frames:
        raise LayoutError(
            "no feature lists: the record is a tf.train.Example, or empty, expected a "
            f"tf.train.SequenceExample with one JPEG per step of "
            f"{keys.IMAGE_ENCODED!r}; its keys are {sorted(features)}"
        )
    if not frames.get(keys.IMAGE_ENCODED):
        raise LayoutError(
            f"no frames: the feature list {keys.IMAGE_ENCODED!r} is absent or empty; "
            f"found {sorted(frames)}"
        )
    return _facts(features, frames[keys.IMAGE_ENCODED])


def _facts(features, frames: int) -> RecordFacts:
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
    return RecordFacts(frames, texts, teacher, context)


def _count_steps(read: Read, start: int, end: int) -> Iterator[tuple[str, int]]:
    """Yields the keys of feature lists; steps are counted only for the frames."""
    for number, first, last in _fields(read, start, end):
        if number != _MAP_ENTRY:
            raise LayoutError("the feature lists are damaged")
        entry = {n: span for n, *span in _fields(read, first, last)}
        position, stop = entry.get(_MAP_KEY, (0, 0))
        key = read(position, stop - position).decode(errors="replace")
        steps = 0
        if key == keys.IMAGE_ENCODED:
            steps = _count_frames(read, *entry.get(_MAP_VALUE, (0, 0)))
        yield key, steps


def _count_frames(read: Read, start: int, end: int) -> int:
    """Counts the steps, each one JPEG in a bytes list in a feature."""
    frames = 0
    while start < end:
        stop = _step_end(read(start, _MAX_STEP_HEADER), start)
        if stop is None or stop > end:
            raise LayoutError(
                f"step {frames} of {keys.IMAGE_ENCODED!r} holds none or several "
                "values, expected one JPEG per step"
            )
        start = stop
        frames += 1
    return frames


def _step_end(head: bytes, start: int) -> int | None:
    """Returns where a step of one JPEG ends; None if it is anything else."""
    position = 0
    ends = set()
    for _ in range(_STEP_DEPTH):
        if head[position : position + 1] != _STEP_TAG:
            return None
        size, position = _varint(head, position + 1)
        ends.add(start + position + size)
    # A message with a single field ends where that field does.
    return ends.pop() if len(ends) == 1 else None


def _fields(read: Read, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yields (field number, start, end) of a message's fields, hopping over them."""
    while start < end:
        head = read(start, _MAX_FIELD_HEADER)
        tag, size = _varint(head, 0)
        kind = tag & 7
        length = {_VARINT: 0, _FIXED64: 8, _BYTES: 0, _FIXED32: 4}.get(kind)
        if length is None:
            raise LayoutError(f"no protocol buffer: wire type {kind} in a field's tag")
        if kind in (_VARINT, _BYTES):
            value, size = _varint(head, size)
            length = value if kind == _BYTES else 0
        first = start + size
        start = first + length
        if start > end:
            raise LayoutError("no protocol buffer: a field ends behind its message")
        yield tag >> 3, first, start


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, position + shift + 1
    raise LayoutError("no protocol buffer: a number that does not end")
