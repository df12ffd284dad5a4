"""Finding a few frames in a serialized clip without parsing the others.

A record is megabytes of JPEGs, of which a clip of 16 frames needs a sixth. The protobuf
wire format is walked from length to length, and only the chosen frames are copied. The
message is `tf.train.SequenceExample`, see
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from spl_tf.clips import keys

_LENGTH_DELIMITED = 2


class BadRecordError(ValueError):
    """A record that cannot be trained on."""


@dataclasses.dataclass(frozen=True)
class RecordView:
    """What training needs of a serialized clip.

    Attributes:
        id: The clip's id, UTF-8; empty where the record has none.
        label: The source's label, -1 where the record has none.
        teacher: The teacher's first choice, -1 where the record has none.
        frames: Where in `data` each frame's `tf.train.Feature` is, as (start, stop).
        data: The serialized clip.
    """

    id: bytes
    label: int
    teacher: int
    frames: Sequence[tuple[int, int]]
    data: bytes | memoryview

    def jpeg(self, frame: int) -> bytes:
        """Copies one frame's JPEG out."""
        start, stop = self.frames[frame]
        for _ in ("feature", "bytes_list"):
            start, stop = _only_field(self.data, start, stop)
        return bytes(self.data[start:stop])


def view_record(data: bytes | memoryview) -> RecordView:
    """Finds a clip's label, teacher's choice and frames.

    Raises:
        BadRecordError: The bytes are no `tf.train.SequenceExample` with frames.
    """
    try:
        parts = dict(_fields(data, 0, len(data)))
        context = bytes(data[slice(*parts.get(1, (0, 0)))])
        context = tf.train.Features.FromString(context)
        lists = _feature_lists(data, *parts.get(2, (0, 0)))
        frames = _fields(data, *lists.get(keys.IMAGE_ENCODED, (0, 0)))
    except Exception as error:
        raise BadRecordError(f"not a tf.train.SequenceExample: {error!r}") from error
    clip_id = _first(context, keys.EXAMPLE_ID, b"")
    if keys.IMAGE_ENCODED not in lists:
        raise BadRecordError(
            f"clip {clip_id.decode(errors='replace')!r} has no feature list "
            f"{keys.IMAGE_ENCODED!r}, only {sorted(lists)}"
        )
    if not frames:
        raise BadRecordError(f"clip {clip_id.decode(errors='replace')!r} has no frames")
    return RecordView(
        id=clip_id,
        label=_first(context, keys.LABEL_INDEX, -1),
        teacher=_first(context, keys.TEACHER_INDEX, -1),
        frames=[span for _, span in frames],
        data=data,
    )


def _fields(data: bytes, place: int, end: int) -> list[tuple[int, tuple[int, int]]]:
    """The fields of a message: number and (start, stop) of each one's content."""
    fields = []
    append = fields.append
    while place < end:
        tag = data[place]
        if tag & 7 != _LENGTH_DELIMITED or tag > 127:
            raise ValueError(f"unexpected field {tag} at byte {place}")
        # A varint: seven bits a byte, low ones first; short ones are unrolled.
        length = data[place + 1]
        place += 2
        if length > 127:
            shift = 7
            length &= 127
            while True:
                byte = data[place]
                place += 1
                length |= (byte & 127) << shift
                if byte < 128:
                    break
                shift += 7
        start, place = place, place + length
        append((tag >> 3, (start, place)))
    if place != end:
        raise ValueError(f"a field ends at byte {place}, its message at {end}")
    return fields


def _feature_lists(data: bytes, start: int, stop: int) -> dict[str, tuple[int, int]]:
    """Where each feature list is, by name."""
    lists = {}
    for _, entry in _fields(data, start, stop):
        parts = dict(_fields(data, *entry))
        # An entry of a map may leave its value out.
        lists[bytes(data[slice(*parts[1])]).decode()] = parts.get(2, (0, 0))
    return lists


def _only_field(data: bytes, start: int, stop: int) -> tuple[int, int]:
    try:
        ((number, span),) = _fields(data, start, stop)
    except (ValueError, IndexError) as error:
        raise BadRecordError(f"a frame is not one JPEG: {error}") from error
    if number != 1:
        raise BadRecordError("a frame is not a list of bytes")
    return span


def _first(context, key, default):
    if key not in context.feature:
        return default
    feature = context.feature[key]
    kind = feature.WhichOneof("kind")
    values = getattr(feature, kind).value if kind else ()
    value = values[0] if values else default
    if not isinstance(value, type(default)):
        raise BadRecordError(f"{key} is {value!r}, expected {type(default).__name__}")
    return value
