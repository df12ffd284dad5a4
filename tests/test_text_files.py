"""Files that were written by the formats' own libraries where these are here."""

import bz2
import gzip
import lzma
import pickle
import sqlite3
import tarfile
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest
from PIL import Image

from spl_tf.text_files import composed, format_of, text_of

TEXT = "video,label\ncrêpes.mp4,cooking\n" * 50
TABLE = pa.table({"weak": [0, 1], "teacher": [1, 1]})


def tar(path):
    with tarfile.open(path, "w") as file:
        file.add(__file__, "a.py")


def zipped(*names):
    def write(path):
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, "a,b\n")

    return write


def arrow_stream(path):
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, TABLE.schema) as w:
        w.write_table(TABLE)


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["weak"] = [0, 1]


def sqlite(path):
    with sqlite3.connect(path) as connection:
        connection.execute("create table pairs (weak, teacher)")
    connection.close()


def content(start):
    return lambda path: path.write_bytes(start)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (zipped("web.csv"), "a zip archive"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel file (.xlsx)"),
        (lambda path: np.savez(path.open("wb"), weak=[0]), "a NumPy file (.npz)"),
        (lambda path: np.save(path.open("wb"), [0]), "a NumPy file (.npy)"),
        (tar, "a tar archive"),
        (lambda path: pyarrow.parquet.write_table(TABLE, path), "a Parquet file"),
        (
            lambda path: pyarrow.feather.write_feather(TABLE, path),
            "a Feather (Arrow) file",
        ),
        (content(b"FEA1\0\0\0\0"), "a Feather (Arrow) file"),
        (arrow_stream, "an Arrow stream"),
        (lambda path: pyarrow.orc.write_table(TABLE, path), "an ORC file"),
        (hdf5, "an HDF5 file"),
        (sqlite, "an SQLite database"),
        (lambda path: path.write_bytes(pickle.dumps([0, 1])), "a pickle"),
        (lambda path: Image.new("L", (9, 9)).save(path, "png"), "an image"),
        (content(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0"), "an old Office file (.xls)"),
        (content(b"7z\xbc\xaf\x27\x1c\0\4"), "a 7z archive"),
        (content(b"\x04\x22\x4d\x18\x64\x40"), "an LZ4 file"),
        (content(TEXT.encode("utf-16")), "text in UTF-16"),
        (content(TEXT.encode("utf-16-be")), "text in UTF-16"),
        (content(TEXT.encode("utf-32")), "text in UTF-32"),
        (content(b"some\0other\x01"), "a binary file"),
        (content(b"version https://git-lfs.github.com/spec/v1\n"), "a pointer of Git"),
        (content(b"\n<!DOCTYPE html>\n<html>"), "a page of HTML or XML"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, write, name):
    write(tmp_path / "a.csv")
    found = (tmp_path / "a.csv").read_bytes()
    assert format_of(found).startswith(name)
    with pytest.raises(ValueError, match=r"^a\.csv is .*, expected text in UTF-8$"):
        text_of(found, "a.csv")
    with pytest.raises(ValueError, match=r"^a\.csv holds .*, expected text in UTF-8$"):
        text_of(gzip.compress(found), "a.csv")


@pytest.mark.parametrize(
    "text",
    ["ORCA\n", "PAR1\n", "BZh9 and so on", "ARROW1", "[1]", "çà", "", "\t\x1b[0m"],
)
def test_text_is_text_whatever_it_begins_with(text):
    assert format_of(text.encode()) == ""
    assert text_of(text.encode(), "a.txt") == text
    assert text_of(b"\xef\xbb\xbf" + text.encode(), "a.txt") == text


def zstd(data):
    return pa.compress(data, codec="zstd", asbytes=True)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_compressed_text_is_read_and_damage_is_told(compress):
    data = TEXT.encode()
    assert text_of(compress(data), "a.csv") == TEXT
    assert text_of(compress(data) + compress(data), "a.csv") == TEXT * 2
    with pytest.raises(ValueError, match=r"^a\.csv is damaged: "):
        text_of(compress(data)[:-5], "a.csv")


def test_what_is_not_utf_8_is_told_with_its_line():
    data = b"\xef\xbb\xbfab\nc\xff\n"
    for found in (data, bz2.compress(data)):
        with pytest.raises(ValueError, match=r"^a\.txt, line 2: not UTF-8 \(invalid"):
            text_of(found, "a.txt")


def test_a_letter_cut_at_the_end_of_what_is_looked_at_is_text():
    text = "x" + "é" * 5000
    assert format_of(text.encode()) == ""
    assert text_of(text.encode(), "a") == text


def test_both_forms_of_a_name_compose_to_one():
    assert composed("cre\u0302pes") == composed("cr\u00eapes") == "cr\u00eapes"
