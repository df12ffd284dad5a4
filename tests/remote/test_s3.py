"""Shards in S3, through tensorflow-io and a server on this machine.

Every use of tensorflow-io is in a process of its own, because of how one ends that used
its S3 (see `spl_tf.binary`).
"""

import importlib.util
import os
import pathlib
import subprocess
import sys
import textwrap
import urllib.request

import pytest
from PIL import Image

if importlib.util.find_spec("tensorflow_io") is None:
    pytest.skip("needs the extra `tfio`", allow_module_level=True)
moto_server = pytest.importorskip("moto.server")

ROOT = pathlib.Path(__file__).parents[2]
PREAMBLE = """
import concurrent.futures
import sys
import tensorflow as tf
from spl_tf import binary, clips
from tests.conftest import make_clip

EXPECTED = [make_clip(n, n % 2, frames=1 + n % 3, names="ab") for n in range(12)]

def write(directory):
    summaries = []
    for shard in range(2):
        records = [
            (clips.encode_clip(clip), len(clip.frames), clip.label_index, -1)
            for clip in EXPECTED[6 * shard : 6 * shard + 6]
        ]
        name = clips.shard_name(shard, 2)
        summaries.append(clips.write_shard(directory, name, records))
    clips.finish_dataset(directory, summaries, ["a", "b"], "weak", {"tool": "test"})

def main(argv):
"""
ENDING = """
if __name__ == "__main__":
    binary.run(main)
"""


@pytest.fixture(scope="module")
def endpoint():
    server = moto_server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    request = urllib.request.Request(f"{url}/bucket", method="PUT")
    urllib.request.urlopen(request).close()
    yield url
    server.stop()


def run_binary(tmp_path, endpoint, body, ending=ENDING):
    """Runs `main(argv)` with this body; returns the finished process."""
    script = tmp_path / "script.py"
    main = textwrap.indent(textwrap.dedent(body), "    ")
    script.write_text(f"{PREAMBLE}{main}\n{ending}")
    return run(endpoint, [sys.executable, script])


def run_tool(endpoint, name, *arguments):
    """Runs a binary of `tfrecords_tools`."""
    return run(endpoint, [sys.executable, "-m", f"tfrecords_tools.{name}", *arguments])


def run(endpoint, command):
    return subprocess.run(
        command,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "S3_ENDPOINT": endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_dataset_is_written_and_read_by_many_threads(tmp_path, endpoint):
    body = """
    directory = "s3://bucket/web"
    write(directory)
    print(*sorted(tf.io.gfile.listdir(directory)))
    dataset = clips.ClipDataset(directory)
    rows = list(range(12)) * 5
    with dataset.reader() as reader, concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(reader.read, rows))
    assert [clips.parse_clip(record) for record in found] == EXPECTED * 5
    """
    done = run_binary(tmp_path, endpoint, body)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "clips.tfrecord-00000-of-00002",
        "clips.tfrecord-00001-of-00002",
        "dataset.json",
        "index.npz",
    ]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, endpoint):
    body = """
    path = "s3://bucket/files/file"
    clips.write_atomically(path, b"old")
    clips.write_atomically(path, b"new")

    def records():
        yield clips.encode_clip(EXPECTED[0]), 1, 0, -1
        raise RuntimeError("no more")

    try:
        clips.write_shard("s3://bucket/files", "file", records())
    except RuntimeError as error:
        print(error)
    with tf.io.gfile.GFile(path, "rb") as file:
        print(file.read(), tf.io.gfile.listdir("s3://bucket/files"))
    """
    done = run_binary(tmp_path, endpoint, body)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "no more\nb'new' ['file']\n"


def test_damage_is_named(tmp_path, endpoint):
    body = """
    directory = "s3://bucket/damaged"
    write(directory)
    first, last = (f"{directory}/{clips.shard_name(shard, 2)}" for shard in range(2))
    with tf.io.gfile.GFile(first, "rb") as file:
        content = file.read()
    with tf.io.gfile.GFile(first, "wb") as file:
        file.write(content[:-3])
    tf.io.gfile.remove(last)
    reader = clips.ClipDataset(directory).reader()
    for row in (5, 6):
        try:
            reader.read(row)
        except (ValueError, FileNotFoundError) as error:
            print(type(error).__name__, error)
    print(clips.parse_clip(reader.read(4)) == EXPECTED[4])
    """
    done = run_binary(tmp_path, endpoint, body)
    assert done.returncode == 0, done.stderr
    truncated, missing, before = done.stdout.splitlines()
    assert truncated.startswith(
        "ValueError s3://bucket/damaged/clips.tfrecord-00000-of"
    )
    assert "row 5 at byte" in truncated
    assert "the file ends after" in truncated
    assert missing.startswith("FileNotFoundError s3://bucket/damaged/clips.tfrecord-0")
    assert before == "True"


@pytest.mark.parametrize(
    ("end", "code", "message"),
    [
        ("return 3", 3, ""),
        ("raise ValueError('no label')", 1, "error: no label\n"),
        ("raise KeyError('bug')", 1, "KeyError: 'bug'\n"),
    ],
)
def test_a_binary_that_used_s3_ends_with_its_own_code(
    tmp_path, endpoint, end, code, message
):
    body = f"clips.write_atomically('s3://bucket/end/file', b'1')\n{end}"
    done = run_binary(tmp_path, endpoint, body)
    assert done.returncode == code
    assert done.stderr.endswith(message)
    assert "terminate called" not in done.stderr


def test_a_worker_that_used_s3_ends_cleanly(tmp_path, endpoint):
    body = """
    import multiprocessing
    pool = concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=binary.prepare_worker
    )
    with pool:
        pool.submit(clips.write_atomically, "s3://bucket/worker/file", b"1").result()
        workers = list(pool._processes.values())
    print([worker.exitcode for worker in workers])
    """
    done = run_binary(tmp_path, endpoint, body)
    assert (done.returncode, done.stdout) == (0, "[0]\n"), done.stderr


def test_the_tools_write_and_check_a_dataset(tmp_path, endpoint):
    for name, color in (("cat", "red"), ("dog", "blue")):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (40 + number, 32), color).save(
                tmp_path / name / f"{number}.png"
            )
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    directory = "s3://bucket/images"
    converted = run_tool(
        endpoint,
        "convert_images",
        f"--image_root={tmp_path}",
        f"--classes={tmp_path / 'classes.txt'}",
        f"--output_dir={directory}",
        "--num_shards=3",
        "--num_workers=2",
    )
    assert converted.returncode == 0, converted.stderr
    assert converted.stdout == f"{directory}: 8 clips in 3 shards, 0 left out\n"
    checked = run_tool(
        endpoint, "inspect_records", directory, "--validate", "--num_workers=2"
    )
    assert checked.returncode == 0, checked.stderr
    assert f"{directory}: no fault found" in checked.stdout


@pytest.mark.xfail(reason="https://github.com/tensorflow/io/issues/2039")
def test_a_process_that_used_s3_ends_well_without_our_help(tmp_path, endpoint):
    body = "clips.write_atomically('s3://bucket/end/file', b'1')"
    done = run_binary(tmp_path, endpoint, body, ending="main([])")
    assert done.returncode == 0
