"""Something-Something v1 (folders of frames) and v2 (WebM files)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spl_tf.labels import parse_class_names
from spl_tf.text_files import composed
from tfrecords_tools.conversion.manifest import read_text
from tfrecords_tools.manifest_formats.annotations import by_name, read_json
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import (
    MISSING,
    Entry,
    Listing,
    ManifestSettings,
)

# Words in the names of files: something-something-v1-train.csv, ...-labels.json
_LABELS, *_SPLITS = _KINDS = ("labels", "train", "validation")
_NO_BRACKETS = str.maketrans("", "", "[]")


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Reads the videos of the training set, the validation set, or both.

    A video is the file or the folder of frames with its id as its name; the frames of
    v1 are 12 a second (`convert_videos --frames_fps=12`).

    Args:
        files: Files below the root.
        annotations: Files with `train` and `validation` in their names, and the one
            with `labels`. Of v1, lines `id;label`; of v2 (`.json`), lists of objects
            with `id` and `template`, which is the class once the brackets around the
            placeholders are gone.
        settings: No field of it is asked.

    Returns:
        The classes in the order of the `labels` file; without one, in that of the
        alphabet. The splits are train and validation.

    Raises:
        ValueError: A file or an entry is wrong, or a label is not in the `labels` file;
            the message names the place.
    """
    class_names: list[str] = []
    entries: list[Entry] = []
    for kind, path in by_name(annotations, _KINDS):
        if kind == _LABELS:
            class_names = _class_names(path)
            continue
        for line, name, label in (_of_json if _is_json(path) else _of_lines)(path):
            video = files.find(name)
            reason = "" if video else MISSING
            entries.append(
                Entry(path, line, name, label, kind, name, video, reason=reason)
            )
    if not entries:
        raise ValueError(
            f"--annotations is {list(annotations)}, expected a file with one of "
            f"{_SPLITS} in its name besides"
        )
    return Listing(class_names or sorted({entry.label for entry in entries}), entries)


def _is_json(path: str) -> bool:
    return path.lower().endswith(".json")


def _class_names(path: str) -> list[str]:
    if not _is_json(path):
        return parse_class_names(read_text(path).encode(), path)
    numbers = read_json(path)
    is_map = isinstance(numbers, dict)
    if not is_map or sorted(map(str, numbers.values())) != sorted(
        map(str, range(len(numbers)))
    ):
        raise ValueError(
            f"{path}: expected an object with a number from 0 for each class"
        )
    return [composed(name) for name in sorted(numbers, key=lambda n: int(numbers[n]))]


def _of_lines(path: str) -> Iterator[tuple[int, str, str]]:
    for line, text in enumerate(composed(read_text(path)).split("\n"), start=1):
        name, _, label = (part.strip() for part in text.partition(";"))
        if text.strip() and not (name and label):
            raise ValueError(f"{path}, line {line}: {text!r}, expected id;label")
        if name:
            yield line, name, label


def _of_json(path: str) -> Iterator[tuple[int, str, str]]:
    videos = read_json(path)
    for number, video in enumerate(videos if isinstance(videos, list) else [videos], 1):
        fields = video if isinstance(video, dict) else {}
        name, template = (fields.get(key) for key in ("id", "template"))
        if not (isinstance(name, (str, int)) and isinstance(template, str)):
            raise ValueError(
                f"{path}, entry {number}: expected a list of objects with 'id' and "
                f"'template', found {str(video)[:80]}"
            )
        yield 0, str(name), composed(template.translate(_NO_BRACKETS)).strip()
