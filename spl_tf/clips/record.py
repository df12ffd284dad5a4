"""One clip <-> one serialized `tf.train.SequenceExample`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from spl_tf.clips import keys, wire
from spl_tf.media_groups import media_group


@dataclasses.dataclass(frozen=True)
class Clip:
    """A short run of frames with its label.

    Attributes:
        id: Unique in its dataset, `<media id>@<start µs>-<end µs>`.
        frames: JPEG bytes, one per frame.
        timestamps: Microseconds in the source video, one per frame.
        frame_rate: Frames per second.
        height: Rows of every frame.
        width: Columns of every frame.
        label_index: The source's class: weak for web clips, clean for target clips;
            of several, the first.
        label_name: Name of that class.
        media_id: The video the clip was cut from.
        data_path: The file of that video, as the manifest names it.
        start: Where it begins, in microseconds of the source video.
        end: Where it ends, in microseconds of the source video.
        teacher_index: The teacher's classes, best first; empty before prediction.
        teacher_confidence: Their probabilities, as long as `teacher_index`.
        more_labels: Index and name of each further label of the source.
    """

    id: str
    frames: Sequence[bytes]
    timestamps: Sequence[int]
    frame_rate: float
    height: int
    width: int
    label_index: int
    label_name: str
    media_id: str
    data_path: str
    start: int
    end: int
    teacher_index: Sequence[int] = ()
    teacher_confidence: Sequence[float] = ()
    more_labels: Sequence[tuple[int, str]] = ()

    @property
    def labels(self) -> tuple[int, ...]:
        """All classes that the source gives the clip."""
        return (self.label_index, *(index for index, _ in self.more_labels))


def encode_clip(clip: Clip) -> bytes:
    """Serializes a clip; equal clips give equal bytes.

    Raises:
        ValueError: The clip has no frames, or lists that belong together differ in
            length.
    """
    if not clip.frames:
        raise ValueError(f"clip {clip.id!r} has no frames")
    if len(clip.frames) != len(clip.timestamps):
        raise ValueError(
            f"clip {clip.id!r} has {len(clip.frames)} frames but "
            f"{len(clip.timestamps)} timestamps"
        )
    example = tf.train.SequenceExample()
    context = example.context.feature
    for key, value in (
        (keys.EXAMPLE_ID, clip.id.encode()),
        (keys.IMAGE_FORMAT, b"jpeg"),
        (keys.MEDIA_ID, clip.media_id.encode()),
        (keys.DATA_PATH, clip.data_path.encode()),
    ):
        context[key].bytes_list.value.append(value)
    for key, value in (
        (keys.IMAGE_HEIGHT, clip.height),
        (keys.IMAGE_WIDTH, clip.width),
        (keys.START_TIMESTAMP, clip.start),
        (keys.END_TIMESTAMP, clip.end),
    ):
        context[key].int64_list.value.append(value)
    context[keys.IMAGE_FRAME_RATE].float_list.value.append(clip.frame_rate)
    for index, name in ((clip.label_index, clip.label_name), *clip.more_labels):
        context[keys.LABEL_INDEX].int64_list.value.append(index)
        for key in (keys.LABEL_STRING, keys.LABEL_TEXT):
            context[key].bytes_list.value.append(name.encode())
    if clip.teacher_index:
        _set_teacher(example, clip.id, clip.teacher_index, clip.teacher_confidence)

    frames = example.feature_lists.feature_list[keys.IMAGE_ENCODED]
    timestamps = example.feature_lists.feature_list[keys.IMAGE_TIMESTAMP]
    for frame, timestamp in zip(clip.frames, clip.timestamps, strict=True):
        frames.feature.add().bytes_list.value.append(frame)
        timestamps.feature.add().int64_list.value.append(timestamp)
    return example.SerializeToString(deterministic=True)


def _set_teacher(example, clip_id, index, confidence) -> None:
    if len(index) != len(confidence):
        raise ValueError(
            f"clip {clip_id!r} has {len(index)} teacher classes but "
            f"{len(confidence)} confidences"
        )
    context = example.context.feature
    context[keys.TEACHER_INDEX].int64_list.value[:] = index
    context[keys.TEACHER_CONFIDENCE].float_list.value[:] = confidence


class FrameChoices(NamedTuple):
    """The teacher's first choice of each frame; empty where it was not asked.

    Attributes:
        index: A class per frame, in their order.
        confidence: Its probability, one per frame.
    """

    index: Sequence[int] = ()
    confidence: Sequence[float] = ()


def with_teacher(
    record: bytes,
    index: Sequence[int],
    confidence: Sequence[float],
    frames: FrameChoices | None = None,
) -> bytes:
    """Returns the record with the teacher's top-k classes, all else untouched.

    Args:
        record: A serialized clip; a former prediction in it is replaced.
        index: Class indices, best first.
        confidence: The probability of each of these classes.
        frames: What it says of each frame; None leaves what the record has.
    """
    context, others = wire.split_context(record)  # which never looks at the frames
    example = tf.train.SequenceExample()
    example.context.ParseFromString(context)
    _set_teacher(example, _text(example.context, keys.EXAMPLE_ID), index, confidence)
    context = example.context.SerializeToString(deterministic=True)
    if frames is not None:
        others = wire.with_lists(others, _frame_lists(frames))
    return wire.join_context(context, others)


def _frame_lists(choices: FrameChoices) -> dict[str, bytes]:
    indices, confidences = tf.train.FeatureList(), tf.train.FeatureList()
    for index, confidence in zip(*choices, strict=True):
        indices.feature.add().int64_list.value.append(index)
        confidences.feature.add().float_list.value.append(confidence)
    return {
        keys.TEACHER_IMAGE_INDEX: indices.SerializeToString(deterministic=True),
        keys.TEACHER_IMAGE_CONFIDENCE: confidences.SerializeToString(
            deterministic=True
        ),
    }


def frame_choices(data, lists: Mapping[str, wire.Span]) -> FrameChoices:
    """Reads a record's `FrameChoices`.

    Args:
        data: The bytes that hold the record.
        lists: Where its feature lists are, as `wire.example_parts` gives them.

    Raises:
        wire.WireError: A list of them is damaged, or a step of it has no value.
    """
    found = []
    for key, kind in (
        (keys.TEACHER_IMAGE_INDEX, "int64_list"),
        (keys.TEACHER_IMAGE_CONFIDENCE, "float_list"),
    ):
        try:
            steps = bytes(data[slice(*lists.get(key, (0, 0)))])
            features = tf.train.FeatureList.FromString(steps).feature
            found.append([getattr(each, kind).value[0] for each in features])
        except Exception as error:  # upb's DecodeError is public under no name
            raise wire.WireError(f"{key!r}: {error}") from error
    if len({len(values) for values in found}) > 1:
        raise wire.WireError(
            f"the lists {keys.TEACHER_IMAGE_INDEX!r} and "
            f"{keys.TEACHER_IMAGE_CONFIDENCE!r} differ in length"
        )
    return FrameChoices(*found)


def parse_clip(record: bytes) -> Clip:
    """Reads a serialized clip back (also one written by another tool).

    `clip/label/string` and `clip/label/text` are both accepted; keys that are absent
    give empty strings, zeros and empty tuples.

    Raises:
        ValueError: The bytes are no SequenceExample, or it holds no frames.
    """
    try:
        example = tf.train.SequenceExample.FromString(record)
    except Exception as error:
        raise ValueError(f"not a tf.train.SequenceExample: {error}") from error
    context = example.context
    lists = example.feature_lists.feature_list
    clip_id = _text(context, keys.EXAMPLE_ID)
    if keys.IMAGE_ENCODED not in lists:
        raise ValueError(
            f"clip {clip_id!r} has no feature list {keys.IMAGE_ENCODED!r}; found "
            f"{sorted(lists)}"
        )
    labels = _values(context, keys.LABEL_INDEX) or (-1,)
    names = tuple(map(_decoded, label_names(context.feature))) or ("",)
    return Clip(
        id=clip_id,
        frames=tuple(
            step.bytes_list.value[0] for step in lists[keys.IMAGE_ENCODED].feature
        ),
        timestamps=tuple(
            step.int64_list.value[0] for step in lists[keys.IMAGE_TIMESTAMP].feature
        )
        if keys.IMAGE_TIMESTAMP in lists
        else (),
        frame_rate=_number(context, keys.IMAGE_FRAME_RATE, 0.0),
        height=_number(context, keys.IMAGE_HEIGHT, 0),
        width=_number(context, keys.IMAGE_WIDTH, 0),
        label_index=labels[0],
        label_name=names[0],
        media_id=_text(context, keys.MEDIA_ID),
        data_path=_text(context, keys.DATA_PATH),
        start=_number(context, keys.START_TIMESTAMP, 0),
        end=_number(context, keys.END_TIMESTAMP, 0),
        teacher_index=tuple(_values(context, keys.TEACHER_INDEX)),
        teacher_confidence=tuple(_values(context, keys.TEACHER_CONFIDENCE)),
        more_labels=tuple(
            itertools.zip_longest(labels[1:], names[1 : len(labels)], fillvalue="")
        ),
    )


class IndexFacts(NamedTuple):
    """What the index has of a clip's context, besides its teacher's first choice.

    Attributes:
        labels: All classes that the source gives the clip.
        confidence: Probability of the teacher's first choice, -1 where there is none.
        group: Number of its media id, see `media_group`.
        label_confidence: The probability that the teacher gives the source's label, the
            greatest of several; 0 where it is none of its top-k, -1 without a teacher.
    """

    labels: tuple[int, ...]
    confidence: float
    group: int
    label_confidence: float = -1.0


def index_facts(context: Mapping[str, tf.train.Feature]) -> IndexFacts:
    """Reads them off a context's features by key."""

    def values(key: str, kind: str) -> tuple:
        return tuple(getattr(context[key], kind).value) if key in context else ()

    media_id, *_ = (*values(keys.MEDIA_ID, "bytes_list"), b"")
    confidences = values(keys.TEACHER_CONFIDENCE, "float_list")
    labels = values(keys.LABEL_INDEX, "int64_list")
    best = dict(
        zip(values(keys.TEACHER_INDEX, "int64_list"), confidences, strict=False)
    )
    return IndexFacts(
        labels=labels,
        confidence=confidences[0] if confidences else -1.0,
        group=media_group(_decoded(media_id)),
        label_confidence=(
            max((best.get(label, 0.0) for label in labels), default=0.0)
            if confidences
            else -1.0
        ),
    )


def label_names(context: Mapping[str, tf.train.Feature]) -> tuple[bytes, ...]:
    """The names of a clip's labels; empty where its context has none."""
    for key in (keys.LABEL_STRING, keys.LABEL_TEXT):
        names = context[key].bytes_list.value if key in context else ()
        if any(names):
            return tuple(names)
    return ()


def _values(context, key) -> Sequence:
    if key not in context.feature:
        return ()
    feature = context.feature[key]
    kind = feature.WhichOneof("kind")
    return getattr(feature, kind).value if kind else ()


def _number(context, key, default):
    values = _values(context, key)
    return values[0] if values else default


def _text(context, key) -> str:
    values = _values(context, key)
    return _decoded(values[0]) if values else ""


def _decoded(text: bytes) -> str:
    # Other tools write ids that are not UTF-8; they name a clip, and nothing else.
    return text.decode(errors="backslashreplace")


def parsing_spec(frames: bool = True) -> tuple[dict, dict]:
    """The (context, sequence) features for `tf.io.parse_single_sequence_example`.

    Args:
        frames: Whether to parse the encoded frames; without them only the context is
            read, which is fast.
    """
    context = {
        keys.EXAMPLE_ID: tf.io.FixedLenFeature([], tf.string, default_value=""),
        keys.LABEL_INDEX: tf.io.RaggedFeature(tf.int64),
        keys.TEACHER_INDEX: tf.io.RaggedFeature(tf.int64),
    }
    sequence = {}
    if frames:
        sequence[keys.IMAGE_ENCODED] = tf.io.FixedLenSequenceFeature([], tf.string)
    return context, sequence


def parse_in_graph(record: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses one serialized clip inside a tf.data graph.

    Args:
        record: string scalar, a serialized `tf.train.SequenceExample`.

    Returns:
        `id` string scalar; `frames` string [n], the JPEGs; `label` and `teacher` int64
        scalars, -1 where the record has none.
    """
    context, sequence = tf.io.parse_single_sequence_example(record, *parsing_spec())
    return {
        "id": context[keys.EXAMPLE_ID],
        "frames": sequence[keys.IMAGE_ENCODED],
        "label": _first_or_minus_one(context[keys.LABEL_INDEX]),
        "teacher": _first_or_minus_one(context[keys.TEACHER_INDEX]),
    }


def _first_or_minus_one(values: tf.Tensor) -> tf.Tensor:
    return tf.concat([values, tf.constant([-1], tf.int64)], axis=0)[0]
