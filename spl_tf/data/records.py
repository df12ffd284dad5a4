"""A few frames of a serialized clip, without parsing the others.

A record is megabytes of JPEGs, of which a clip of 16 frames needs a sixth: only those
are copied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from spl_tf.clips import keys, wire


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
        data: Bytes of the serialized clip.
    """

    id: bytes
    label: int
    teacher: int
    frames: Sequence[wire.Span]
    data: bytes | memoryview

    def jpeg(self, frame: int) -> bytes:
        """One frame's JPEG, copied out of `data`."""
        try:
            start, stop = wire.step_bytes(self.data, self.frames[frame])
        except wire.WireError as error:
            raise BadRecordError(f"frame {frame} {error}") from error
        return bytes(self.data[start:stop])


def view_record(data: bytes | memoryview) -> RecordView:
    """Finds a clip's label, teacher's choice and frames.

    Raises:
        BadRecordError: The bytes are no `tf.train.SequenceExample` with frames.
    """
    try:
        context, lists = wire.example_parts(data, 0, len(data))
        frames = wire.frame_spans(data, lists)
    except wire.WireError as error:
        raise BadRecordError(f"not a tf.train.SequenceExample: {error}") from error
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
        frames=frames,
        data=data,
    )


def _first(context, key, default):
    if key not in context:
        return default
    feature = context[key]
    kind = feature.WhichOneof("kind")
    values = getattr(feature, kind).value if kind else ()
    value = values[0] if values else default
    if not isinstance(value, type(default)):
        raise BadRecordError(f"{key} is {value!r}, expected {type(default).__name__}")
    return value
