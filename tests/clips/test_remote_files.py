import multiprocessing
import os

import pytest

from spl_tf import clips

# Each is a pattern, of which the second fits and the first does not fit itself.
ODD_NAMES = ["run[1]", "a*", "what?", "[", "back\\slash", "[!a]"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_folder_is_listed_by_its_name_and_not_as_a_pattern(tmp_path, name):
    for folder in (name, "run1", "ab", "whats", "b"):
        (tmp_path / folder).mkdir()
        for file in ("clips.tfrecord-0", "clips.tfrecord-1", "index.npz"):
            (tmp_path / folder / file).write_bytes(b"")
    found = clips.matching(tmp_path / name, "clips.tfrecord-*")
    names = ["clips.tfrecord-0", "clips.tfrecord-1"]
    assert found == [str(tmp_path / name / file) for file in names]


def test_a_folder_that_is_not_there_has_no_files(tmp_path):
    assert clips.matching(tmp_path / "absent", "*") == []


def test_names_that_are_no_text_do_not_disturb(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with open(os.fsencode(tmp_path) + b"/n\xff", "wb"):
        pass
    assert clips.matching(tmp_path, "a") == [str(tmp_path / "a")]


def _write(path, number, start, answers):
    start.wait()
    clips.write_if_absent(path, b"%d" % number * 1000)
    with open(path, "rb") as file:
        answers.put(file.read())


def test_of_several_processes_that_write_a_file_first_one_does(tmp_path):
    context = multiprocessing.get_context("fork")
    for attempt in range(20):
        start, answers = context.Barrier(4), context.Queue()
        path = str(tmp_path / f"file{attempt}")
        processes = [
            context.Process(target=_write, args=(path, number, start, answers))
            for number in range(4)
        ]
        for process in processes:
            process.start()
        found = {answers.get(timeout=60) for _ in processes}
        for process in processes:
            process.join()
        assert len(found) == 1
    assert len(list(tmp_path.iterdir())) == 20


def test_a_remote_file_is_not_written_again():
    clips.write_if_absent("ram://absent/file", b"first")
    clips.write_if_absent("ram://absent/file", b"second")
    import tensorflow as tf

    with tf.io.gfile.GFile("ram://absent/file", "rb") as file:
        assert file.read() == b"first"
