"""The classes file: one name a line; a class's index is its line."""

import io
import os

from spl_tf.text_files import composed, text_of


def read_class_names(path: str | os.PathLike) -> list[str]:
    """Reads class names in index order, composed (NFC), without surrounding blanks.

    Args:
        path: A UTF-8 text file (a byte order mark is ignored), one name a line, which
            may be compressed (gzip, bzip2, xz, zstd). Empty lines are allowed only at
            its end.

    Raises:
        FileNotFoundError: The file is not there.
        ValueError: No name at all, an empty line between names, a name that occurs
            twice once both are composed, or no UTF-8; the message names the line.
    """
    with open(path, "rb") as file:
        return parse_class_names(file.read(), os.fspath(path))


def parse_class_names(content: bytes, path: str) -> list[str]:
    """As `read_class_names`, for a file that was read already, from any storage.

    Args:
        content: The bytes of a classes file.
        path: Where they are from, named in errors.

    Raises:
        ValueError: The content is no such file, see `read_class_names`.
    """
    text = text_of(content, path, "a class name a line, in UTF-8")
    # Only "\n", "\r" and both end a line: names may hold other separators.
    names = [composed(line).strip() for line in io.StringIO(text, newline=None)]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise ValueError(f"{path} holds no class name, expected one a line")
    first_line = {}
    for number, name in enumerate(names, 1):
        if not name:
            raise ValueError(
                f"{path}, line {number}: empty, expected a class name (a class's "
                "index is its line)"
            )
        if name in first_line:
            raise ValueError(
                f"{path}, line {number}: {name!r} is already on line "
                f"{first_line[name]}; every class needs its own name"
            )
        first_line[name] = number
    return names
