"""Checks of what callers hand in, and the flat cell keys made from checked labels."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from spl_tf.text_files import composed

# Pairs per chunk: its 4-byte and 8-byte keys together stay in a core's L2 cache.
CHUNK = 1 << 16

INT32_MAX = np.iinfo(np.int32).max


def check_class_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Returns the class names, composed (NFC); a class's index is its position.

    Raises:
        TypeError: A single string, or a name that is not a string.
        ValueError: No class, an empty name, or a name that occurs twice.
    """
    if isinstance(class_names, (str, bytes)):
        raise TypeError(
            f"class_names is the single string {class_names!r}, expected a sequence "
            "of names"
        )
    names = tuple(class_names)
    if not names:
        raise ValueError("class_names is empty, expected at least one class")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise TypeError(f"class_names[{index}] is {name!r}, expected a string")
    names = tuple(map(composed, names))
    first_seen = {}
    for index, name in enumerate(names):
        if not name.strip():
            raise ValueError(f"class_names[{index}] is empty, expected a name")
        if name in first_seen:
            raise ValueError(
                f"class_names[{index}] is {name!r}, which is already "
                f"class_names[{first_seen[name]}]; every class needs its own name"
            )
        first_seen[name] = index
    return names


def check_labels(labels: ArrayLike, num_classes: int, name: str) -> np.ndarray:
    """Returns labels as a 1-D array of native integers, all in [0, num_classes).

    Args:
        labels: 1-D; integers, or floats that all hold whole numbers. Booleans are
            refused, because they are a mask more often than a label.
        num_classes: N, the number of classes.
        name: What to call the labels in an error.

    Raises:
        ValueError: Any other shape, type or value; the message names the first
            position at fault and what was found there.
    """
    if np.ma.isMaskedArray(labels):
        raise ValueError(f"{name} is a masked array; drop the masked clips first")
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}, expected one dimension")
    if array.dtype.kind == "f":
        return _whole_numbers(array, num_classes, name)
    if array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} has dtype {array.dtype}, expected integers in [0, {num_classes})"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not _in_range(array, num_classes):
        outside = array < 0 if array.dtype.kind == "i" else np.zeros(array.shape, bool)
        # A limit that the dtype cannot hold cannot be passed either.
        if num_classes <= np.iinfo(array.dtype).max:
            outside |= array >= num_classes
        _raise_first(array, outside, num_classes, name)
    return array


def check_pairs(
    weak: ArrayLike, teacher: ArrayLike, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns both columns checked by `check_labels` and of equal length."""
    weak = check_labels(weak, num_classes, "weak")
    teacher = check_labels(teacher, num_classes, "teacher")
    if len(weak) != len(teacher):
        raise ValueError(
            f"weak has {len(weak)} labels and teacher has {len(teacher)}; expected "
            "one of each per clip"
        )
    return weak, teacher


def pair_keys(
    weak: np.ndarray, teacher: np.ndarray, num_classes: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yields the flat cell keys N * weak + teacher, chunk by chunk.

    Args:
        weak: Labels that passed `check_labels`, [n].
        teacher: The teacher's predictions, checked likewise, [n].
        num_classes: N, the number of classes.

    Yields:
        The chunk's place in the columns, and its keys, int64. The keys live in a
        buffer that the next chunk overwrites.
    """
    size = min(CHUNK, len(weak))
    wide_buffer = np.empty(size, np.int64)
    # Arithmetic on 4-byte keys is twice as fast. Keys still end as int64, the only
    # type that numpy indexes with.
    narrow_buffer = None
    if num_classes**2 <= INT32_MAX and max(weak.itemsize, teacher.itemsize) <= 4:
        narrow_buffer = np.empty(size, np.int32)
    for start in range(0, len(weak), CHUNK):
        place = slice(start, min(start + CHUNK, len(weak)))
        wide = wide_buffer[: place.stop - start]
        keys = wide if narrow_buffer is None else narrow_buffer[: len(wide)]
        # The dtype is given because that of a column may be too small for a key.
        how = {"out": keys, "dtype": keys.dtype, "casting": "unsafe"}
        np.multiply(weak[place], num_classes, **how)
        np.add(keys, teacher[place], **how)
        if keys is not wide:
            wide[...] = keys
        yield place, wide


def _whole_numbers(array: np.ndarray, num_classes: int, name: str) -> np.ndarray:
    fractional = ~(np.floor(array) == array)  # NaN differs from itself.
    if fractional.any():
        _raise_first(array, fractional, num_classes, name)
    outside = (array < 0) | (array >= num_classes)
    if outside.any():
        _raise_first(array, outside, num_classes, name)
    return array.astype(np.int64)


def _in_range(array: np.ndarray, num_classes: int) -> bool:
    if not array.size:
        return True
    if array.dtype.kind == "u":
        return int(array.max()) < num_classes
    if num_classes <= np.iinfo(array.dtype).max + 1:
        # Read as unsigned, a negative label is larger than any class: one pass.
        return int(array.view(f"u{array.itemsize}").max()) < num_classes
    return int(array.min()) >= 0


def _raise_first(
    array: np.ndarray, wrong: np.ndarray, num_classes: int, name: str
) -> None:
    position = int(np.argmax(wrong))
    raise ValueError(
        f"{name}[{position}] is {array[position].item()}, expected an integer in "
        f"[0, {num_classes})"
    )
