"""What a file is by its first bytes, and its text, also out of a compressed one."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import unicodedata
import zlib
from typing import BinaryIO

# What reading a damaged compressed stream raises.
DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError)

_START_BYTES = 4096
# Characters that no text has, but most binary formats.
_CONTROL = re.compile(r"[\0-\x08\x0e-\x1a\x1c-\x1f]")
_BZIP2 = rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"
_ZIP = b"PK(\x03\x04|\x05\x06)"


def _open_zstd(file: BinaryIO) -> BinaryIO:
    # Here and not above: it is large, and few files need it.
    import pyarrow as pa

    stream = pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
    return io.BufferedReader(stream)


_COMPRESSIONS = {
    rb"\x1f\x8b": gzip.open,
    _BZIP2: bz2.open,
    rb"\xfd7zXZ\0": lzma.open,
    rb"\x28\xb5\x2f\xfd": _open_zstd,
}
_FORMATS = {
    rb"\x1f\x8b": "a gzip file",
    _BZIP2: "a bzip2 file",
    rb"\xfd7zXZ\0": "an xz file",
    rb"\x28\xb5\x2f\xfd": "a zstd file",
    rb"\x04\x22\x4d\x18": "an LZ4 file",
    rb"LZIP": "an lzip file",
    rb"\x1f\x9d": "a file of compress (.Z)",
    rb"7z\xbc\xaf\x27\x1c": "a 7z archive",
    rb"Rar!\x1a": "a RAR archive",
    rb".{257}ustar": "a tar archive",
    _ZIP + rb".*(\[Content_Types\]|xl/)": "an Excel file (.xlsx)",
    _ZIP + rb".*opendocument\.spreadsheet": "an OpenDocument spreadsheet",
    _ZIP + rb".{26}[^\0]*\.npy": "a NumPy file (.npz)",
    _ZIP: "a zip archive",
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Office file (.xls)",
    rb"PAR1": "a Parquet file",
    rb"PARE": "an encrypted Parquet file",
    rb"ARROW1|FEA1": "a Feather (Arrow) file",
    rb"\xff\xff\xff\xff": "an Arrow stream",
    rb"ORC": "an ORC file",
    rb"Obj\x01": "an Avro file",
    rb"\x89HDF\r\n\x1a\n": "an HDF5 file",
    rb"\x93NUMPY": "a NumPy file (.npy)",
    rb"\x80[\x02-\x05]": "a pickle",
    rb"SQLite format 3\0": "an SQLite database",
    rb"%PDF-": "a PDF",
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8|RIFF.{4}WEBP": "an image",
    rb".{4}ftyp|\x1a\x45\xdf\xa3|RIFF.{4}AVI ": "a video",
    rb"\xff\xfe\0\0|\0\0\xfe\xff": "text in UTF-32",
    rb"\xff\xfe|\xfe\xff": "text in UTF-16",
}
_TEXT_FORMATS = {
    rb"version https://git-lfs": "a pointer of Git LFS (run `git lfs pull`)",
    rb"(?i)\s*<(!doctype html|html|\?xml)": "a page of HTML or XML",
}


def composed(text: str) -> str:
    """Returns text in Unicode's form NFC, in which names are compared.

    macOS and some archives write an accented letter as two characters (NFD).
    """
    return unicodedata.normalize("NFC", text)


def listed_ids(text: str) -> frozenset[str]:
    """The media ids of a list, one a line, composed (NFC); empty lines do not count."""
    return frozenset(line.strip() for line in composed(text).splitlines()) - {""}


def format_of(start: bytes) -> str:
    """Names the format of a file, such as "a zip archive".

    Args:
        start: The file's first bytes; some kilobytes tell most.

    Returns:
        The name; empty for text, in UTF-8 or another encoding of one byte a letter.
    """
    start = start[:_START_BYTES]
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        text = None
    is_text = text is not None and not _CONTROL.search(text)
    for magic, name in (_TEXT_FORMATS if is_text else _FORMATS).items():
        if re.match(magic, start, re.DOTALL):
            return name
    # Most letters of UTF-16 have a zero byte, always the same of the two.
    few, many = sorted(start[first::2].count(0) for first in (0, 1))
    if many > max(8 * few, len(start) / 5):
        return "text in UTF-16"
    return "a binary file" if many else ""


def unpacked(
    file: BinaryIO, name: str, expected: str, by_first_line: bool = False
) -> BinaryIO:
    """Returns the stream of a text: the file's own, or what is compressed in it.

    Args:
        file: At its start, with `peek`. gzip, bzip2, xz and zstd are unpacked.
        name: Where it is from, named in errors.
        expected: What the file should be, likewise.
        by_first_line: Whether that alone tells the format, and lines behind it may hold
            anything.

    Raises:
        ValueError: It is of another format, which the message names.
    """
    verb = "is"
    for magic, opened in _COMPRESSIONS.items():
        if re.match(magic, file.peek(_START_BYTES)):
            file, verb = opened(file), "holds"
            break
    start = file.peek(_START_BYTES)
    if found := format_of(start.partition(b"\n")[0] if by_first_line else start):
        raise ValueError(f"{name} {verb} {found}, expected {expected}")
    return file


def text_of(content: bytes, name: str, expected: str = "text in UTF-8") -> str:
    """Returns the text of a file, with or without a byte order mark.

    Args:
        content: All of the file; unpacked as by `unpacked`.
        name: Where it is from, named in errors.
        expected: What the file should be, likewise.

    Raises:
        ValueError: It is of another format, damaged, or not UTF-8; the message names
            the format or the line.
    """
    try:
        file = unpacked(io.BufferedReader(io.BytesIO(content)), name, expected)
        content = file.read().removeprefix(codecs.BOM_UTF8)
    except DAMAGED as error:
        raise ValueError(f"{name} is damaged: {error}") from error
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name}, line {line}: not UTF-8 ({error.reason}), expected {expected}"
        ) from error
