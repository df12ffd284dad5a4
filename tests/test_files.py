"""Local files that are whole or absent, and locks."""

import contextlib
import fcntl
import os
import pathlib
import subprocess
import sys

import pytest

from spl_tf import files

ROOT = pathlib.Path(__file__).parents[1]
# Takes a lock, says so, and holds it until it is killed or its input ends.
HOLD = """
import sys
from spl_tf import files
with files.locked(sys.argv[1], "lock"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../victim", "a/b", "/etc/passwd", "a\\b", "a\0b", b"clips", None],
)
def test_what_leads_out_of_a_folder_is_no_plain_name(name):
    with pytest.raises(ValueError, match=r"in\.json names the file .*plain file name"):
        files.plain_name(name, "in.json")


@pytest.mark.parametrize("name", ["clips.tfrecord-00000-of-00001", "..a", "a b", "é"])
def test_plain_names_are_kept(name):
    assert files.plain_name(name, "in.json") == name


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("o/j", "o/j/", True),
        ("o/j", "./o//j", True),
        ("o/j", os.path.abspath("o/j"), True),
        ("o/j", "/" + os.path.abspath("o/j"), True),
        ("o/../o/j", "o/j", True),
        ("o/j", "o/k", False),
        ("gs://bucket/o", "gs://bucket/o/", True),
        ("gs://bucket/o", "gs://bucket/p", False),
        ("", ".", False),
        (None, None, False),
        (3, "3", False),
    ],
)
def test_spellings_of_one_path_are_the_same_path(first, second, same):
    assert files.same_path(first, second) == same
    assert files.same_path(second, first) == same


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    flush, rename = os.fsync, os.replace

    def watched_flush(descriptor):
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        flush(descriptor)

    def watched_rename(source, target):
        done.append("renamed")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", watched_flush)
    monkeypatch.setattr(os, "replace", watched_rename)
    with files.replacing(tmp_path / "file") as temporary:
        temporary.write_bytes(b"new")
    assert done == [str(temporary), "renamed", str(tmp_path)]
    assert (tmp_path / "file").read_bytes() == b"new"

    done.clear()
    (tmp_path / "old" / "inner").mkdir(parents=True)
    (tmp_path / "old" / "inner" / "a").write_bytes(b"a")
    files.move_into_place(tmp_path / "old", tmp_path / "new")
    before = done[: done.index("renamed")]
    assert {*before} == {str(tmp_path / f"old{p}") for p in ("", "/inner", "/inner/a")}
    assert (tmp_path / "new" / "inner" / "a").read_bytes() == b"a"


def test_a_block_that_fails_leaves_the_former_file_and_nothing_else(tmp_path):
    (tmp_path / "file").write_bytes(b"old")

    def fail():
        with files.replacing(tmp_path / "file") as temporary:
            temporary.write_bytes(b"ne")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*/file'"),
        files.replacing(tmp_path / "file"),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")


@contextlib.contextmanager
def holder(folder):
    """A process that holds the folder's lock."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_keeps_others_out_while_its_process_lives(tmp_path):
    with holder(tmp_path) as process:
        message = rf"process \(id {process.pid}\) of .* works in {tmp_path}; wait"
        with (
            pytest.raises(files.FolderBusyError, match=message),
            files.locked(str(tmp_path), "lock"),
        ):
            raise AssertionError("two hold the lock")
        process.kill()
        process.wait()
        assert (tmp_path / "lock").exists()
        with files.locked(str(tmp_path), "lock"):
            assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()}\n")
        assert not list(tmp_path.iterdir())


def test_a_lock_can_be_taken_again_after_its_folder_was_removed(tmp_path):
    with files.locked(str(tmp_path), "lock"):
        (tmp_path / "lock").unlink()
        with files.locked(str(tmp_path), "lock"):
            pass


def test_a_lock_file_that_its_former_holder_removes_is_not_taken(tmp_path, monkeypatch):
    lock, opened = fcntl.flock, []

    def lock_late(file, operation):
        if not opened:
            (tmp_path / "lock").unlink()
        opened.append(file)
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with files.locked(str(tmp_path), "lock"):
        assert len(opened) == 2
        assert os.path.samestat(
            os.stat(tmp_path / "lock"), os.fstat(opened[1].fileno())
        )
