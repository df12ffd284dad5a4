"""A few frames of a serialized clip, without parsing the others.

A record is megabytes of JPEGs, of which a clip of 16 frames needs a sixth: only those
are copied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from spl_tf.clips import ClipDataset, keys, wire
from spl_tf.clips.frame_shape import FLOW, RGB


class BadRecordError(ValueError):
    """A record that cannot be trained on."""


class NoFlowError(BadRecordError):
    """A record without optical flow, which was asked for."""


@dataclasses.dataclass(frozen=True)
class RecordView:
    """What training needs of a serialized clip.

    Attributes:
        id: The clip's id, UTF-8; empty where the record has none.
        label: The source's label, -1 where the record has none.
        teacher: The teacher's first choice, -1 where the record has none.
        frames: Where in `data` each frame's `tf.train.Feature` is, as (start, stop).
        flow: Likewise the flow from each frame to the next; empty unless asked for.
        data: Bytes of the serialized clip.
    """

    id: bytes
    label: int
    teacher: int
    frames: Sequence[wire.Span]
    flow: Sequence[wire.Span]
    data: bytes | memoryview

    def jpeg(self, frame: int) -> bytes:
        """One frame's JPEG, copied out of `data`."""
        return self._image(self.frames[frame], f"frame {frame}")

    def flow_image(self, frame: int) -> bytes:
        """The JPEG or PNG of the flow from a frame to the next, copied likewise."""
        return self._image(self.flow[frame], f"the flow of frame {frame}")

    def _image(self, span: wire.Span, name: str) -> bytes:
        try:
            start, stop = wire.step_bytes(self.data, span)
        except wire.WireError as error:
            raise BadRecordError(f"{name} {error}") from error
        return bytes(self.data[start:stop])


def view_record(data: bytes | memoryview, modality: str = RGB) -> RecordView:
    """Finds a clip's label, teacher's choice and frames.

    Args:
        data: Bytes of the serialized clip.
        modality: What is looked at, one of `CHANNELS`.

    Raises:
        BadRecordError: The bytes are no `tf.train.SequenceExample` with frames and,
            where that is looked at, as many images of flow.
    """
    try:
        context, lists = wire.example_parts(data, 0, len(data))
        frames = wire.frame_spans(data, lists)
        flow = []
        if modality == FLOW:
            flow = wire.frame_spans(data, lists, keys.FLOW_ENCODED)
    except wire.WireError as error:
        raise BadRecordError(f"not a tf.train.SequenceExample: {error}") from error
    clip_id = _first(context, keys.EXAMPLE_ID, b"")
    name = f"clip {clip_id.decode(errors='replace')!r}"
    if keys.IMAGE_ENCODED not in lists:
        raise BadRecordError(
            f"{name} has no feature list {keys.IMAGE_ENCODED!r}, only {sorted(lists)}"
        )
    if not frames:
        raise BadRecordError(f"{name} has no frames")
    if modality == FLOW and not flow:
        raise NoFlowError(
            f"{name} has no optical flow, the feature list {keys.FLOW_ENCODED!r}; make "
            "the dataset again with it: `python -m tfrecords_tools.add_flow "
            "--input_dir=... --output_dir=...`"
        )
    if modality == FLOW and len(flow) != len(frames):
        raise BadRecordError(
            f"{name} has {len(flow)} images of flow and {len(frames)} frames, expected "
            "as many"
        )
    return RecordView(
        id=clip_id,
        label=_first(context, keys.LABEL_INDEX, -1),
        teacher=_first(context, keys.TEACHER_INDEX, -1),
        frames=frames,
        flow=flow,
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


def check_flow(dataset: ClipDataset) -> None:
    """Looks whether a dataset's clips have flow, at the first one.

    Raises:
        NoFlowError: It has none; the message names dataset, clip and what adds it.
    """
    with dataset.reader() as reader:
        try:
            view_record(reader.read(0), FLOW)
        except NoFlowError as error:
            raise NoFlowError(f"{dataset.directory}: {error}") from error
        except ValueError:
            pass  # a damaged record is told of when its turn comes
