"""Finding what a serialized clip holds, without parsing or copying its frames.

A record is megabytes of JPEGs around a few hundred bytes of context. All fields of a
`tf.train.SequenceExample` state their length, so that a reader can hop from one to the
next; see https://protobuf.dev/programming-guides/encoding.

`data` may be anything that gives a byte by its place and bytes by a slice of places.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from spl_tf.clips import keys

Span = tuple[int, int]  # first byte, and the one after the last
_NOTHING: Span = (0, 0)

# Field numbers of tf.train.SequenceExample and of the messages inside.
CONTEXT = 1
_FEATURE_LISTS = 2
_MAP_KEY, _MAP_VALUE = 1, 2
_ONLY = 1  # of a feature list, of the bytes of a feature, of a value of these

_BYTES = 2  # the wire type of what states its length


class WireError(ValueError):
    """Bytes that are no `tf.train.SequenceExample`."""


def fields(data, start: int, stop: int, whole: bool = True) -> list[tuple[int, Span]]:
    """The fields of a message: number, and where the content is.

    Args:
        data: The bytes that hold the message.
        start: Where in `data` the message begins.
        stop: The byte after its last one.
        whole: Whether it ends there; else the last field may go on.

    Raises:
        WireError: It holds something else, or ends within a field.
    """
    found = []
    append = found.append
    place = start
    try:
        while place < stop:
            tag = data[place]
            if tag & 7 != _BYTES or tag > 127:
                raise WireError(f"unexpected field {tag} at byte {place - start}")
            # A varint: seven bits a byte, low ones first; short ones are unrolled.
            length = data[place + 1]
            place += 2
            if length > 127:
                length &= 127
                shift = 7
                while True:
                    byte = data[place]
                    place += 1
                    length |= (byte & 127) << shift
                    if byte < 128:
                        break
                    shift += 7
                    if shift > 63:
                        raise WireError(f"a length at byte {place - start} never ends")
            first, place = place, place + length
            append((tag >> 3, (first, place)))
    except IndexError as error:
        raise WireError("it ends within a field's head") from error
    if whole and place != stop:
        raise WireError(
            f"a field ends at byte {place - start}, its message at {stop - start}"
        )
    return found


def example_parts(data, start: int, stop: int) -> tuple[Mapping, dict[str, Span]]:
    """What a serialized `tf.train.SequenceExample` holds.

    Returns:
        The context's features by key, parsed, and where each feature list is.

    Raises:
        WireError: The bytes are no `tf.train.SequenceExample`.
    """
    context, lists = b"", {}
    for number, span in fields(data, start, stop):
        if number == CONTEXT:
            # Serialized messages merge by being put one after the other.
            context += data[slice(*span)]
        elif number == _FEATURE_LISTS:
            for _, entry in fields(data, *span):
                parts = dict(fields(data, *entry))
                # An entry of a map may leave its key or its value out.
                key = bytes(data[slice(*parts.get(_MAP_KEY, _NOTHING))])
                lists[key.decode(errors="replace")] = parts.get(_MAP_VALUE, _NOTHING)
    return parse_context(context), lists


def parse_context(data: bytes) -> Mapping:
    """The features by key of a serialized context.

    Raises:
        WireError: The bytes are no `tf.train.Features`.
    """
    try:
        return tf.train.Features.FromString(data).feature
    except Exception as error:  # upb's DecodeError is public under no name
        raise WireError(str(error)) from error


def context_of(data: bytes) -> bytes:
    """The serialized context of a `tf.train.SequenceExample`.

    Raises:
        WireError: The bytes are no `tf.train.SequenceExample`.
    """
    parts = fields(data, 0, len(data))
    # Serialized messages merge by being put one after the other.
    return b"".join(data[slice(*span)] for number, span in parts if number == CONTEXT)


def split_context(data: bytes) -> tuple[bytes, bytes]:
    """The serialized context of a `tf.train.SequenceExample`, and all beside it.

    Raises:
        WireError: The bytes are no `tf.train.SequenceExample`.
    """
    others, place = [], 0
    for number, (_, stop) in fields(data, 0, len(data)):
        if number != CONTEXT:
            others.append(data[place:stop])  # with its head
        place = stop
    return context_of(data), b"".join(others)


def join_context(context: bytes, others: bytes) -> bytes:
    """A serialized example from what `split_context` took apart."""
    return _field(CONTEXT, context) + others


def with_lists(others: bytes, lists: Mapping[str, bytes]) -> bytes:
    """What `split_context` gives beside the context, with feature lists of these keys.

    Args:
        others: Fields of a `tf.train.SequenceExample` without its context.
        lists: Serialized `tf.train.FeatureList`s by key; former ones of these keys go,
            and all other bytes stay.
    """
    kept, entries, place = [], [], 0
    for number, (first, stop) in fields(others, 0, len(others)):
        if number == _FEATURE_LISTS:
            head = first
            for _, (start, end) in fields(others, first, stop):
                parts = dict(fields(others, start, end))
                key = others[slice(*parts.get(_MAP_KEY, _NOTHING))]
                if key.decode(errors="replace") not in lists:
                    entries.append(others[head:end])
                head = end
        else:
            kept.append(others[place:stop])
        place = stop
    for key, value in lists.items():
        entry = _field(_MAP_KEY, key.encode()) + _field(_MAP_VALUE, value)
        entries.append(_field(_ONLY, entry))
    return b"".join([*kept, _field(_FEATURE_LISTS, b"".join(entries))])


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return b"".join((bytes((number << 3 | _BYTES,)), length, content))


def frame_spans(
    data, lists: Mapping[str, Span], key: str = keys.IMAGE_ENCODED
) -> list[Span]:
    """Where each step of a feature list is, the frames'; empty without such a list."""
    return [span for _, span in fields(data, *lists.get(key, _NOTHING))]


def step_bytes(data, span: Span) -> Span:
    """Where the one value of a step is.

    Raises:
        WireError: It holds none, several, or numbers; the message goes on after its
            name.
    """
    try:
        ((feature, span),) = fields(data, *span)
        ((value, span),) = fields(data, *span)
    except ValueError:  # of another number of fields, too
        feature = value = None
    if (feature, value) != (_ONLY, _ONLY):
        raise WireError("holds none or several values, expected one image")
    return span


def step_values(data, lists: Mapping[str, Span], key: str) -> list[bytes]:
    """The one value of each step of a feature list; empty without such a list.

    Raises:
        WireError: The list is damaged, or a step of it holds none or several values.
    """
    found = []
    for step, span in enumerate(frame_spans(data, lists, key)):
        try:
            found.append(bytes(data[slice(*step_bytes(data, span))]))
        except WireError as error:
            raise WireError(f"step {step} of {key!r} {error}") from error
    return found
