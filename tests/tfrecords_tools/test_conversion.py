"""Stopping, killing and continuing a conversion."""

import os
import random
import signal
import subprocess
import time

import pytest

from spl_tf import clips
from tests.conftest import small_disk, write_video
from tests.tfrecords_tools.conftest import (
    contents,
    convert,
    noise_images,
    start_command,
)
from tfrecords_tools.conversion import (
    ChangedInputsError,
    TooManySkippedError,
    nothing_readable,
)
from tfrecords_tools.runners import WorkerDiedError
from tfrecords_tools.shard_job import StorageFullError

MANIFEST = "video,label\nvideos/one.mp4,run\nvideos/two words.mp4,jump\n"
CUT = {"clips_per_video": 6, "clip_seconds": 0.5, "num_shards": 4}
CUT_FLAGS = [f"--{name}={value}" for name, value in CUT.items()] + ["--short_side=0"]


@pytest.fixture
def slow_folder(folder):
    """The videos are large enough that a conversion takes some seconds."""
    for number, name in enumerate(("one", "two words")):
        images = noise_images(32, 240, 320, seed=number)
        write_video(folder / "videos" / f"{name}.mp4", images)
    (folder / "m.csv").write_text(MANIFEST)
    return folder


def children(pid):
    """The processes that a process has started."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return []


def wait_for_decoders(process):
    """Waits for a worker with a decoder; returns the workers and the decoders."""
    found = {}

    def look():
        found.update({pid: children(pid) for pid in children(process.pid)})
        return any(found.values())

    wait_for(look, process)
    decoders = [decoder for each in found.values() for decoder in each]
    return [pid for pid, own in found.items() if own], decoders


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, "the command ended too early"
        time.sleep(0.01)


def test_a_finished_dataset_is_returned_and_not_written_again(folder):
    info = convert(folder, MANIFEST, **CUT)
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}
    assert convert(folder, MANIFEST, **CUT) == info
    after = {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}
    assert before == after


def test_changed_inputs_are_refused_by_name_until_overwritten(folder):
    convert(folder, MANIFEST, **CUT)
    with pytest.raises(ChangedInputsError, match=r"jpeg_quality \(was 95, is 80\)"):
        convert(folder, MANIFEST, jpeg_quality=80, **CUT)
    with pytest.raises(ChangedInputsError, match=r"changed: manifest .*--overwrite"):
        convert(folder, MANIFEST.replace("jump", "run"), **CUT)
    convert(folder, MANIFEST, overwrite=True, **(CUT | {"num_shards": 1}))
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "clips.tfrecord-00000-of-00001",
        "dataset.json",
        "index.npz",
    ]


def test_changed_inputs_are_also_refused_before_the_end(slow_folder):
    command = start_command(
        slow_folder, f"--output_dir={slow_folder / 'out'}", *CUT_FLAGS
    )
    plan = slow_folder / "out" / ".conversion" / "plan.jsonl"
    wait_for(plan.exists, command)
    command.kill()
    command.wait()
    with pytest.raises(ChangedInputsError, match=r"seed \(was 0, is 7\)"):
        convert(slow_folder, MANIFEST, seed=7, **CUT)


def test_shards_of_another_tool_are_not_replaced(folder):
    (folder / "out").mkdir()
    (folder / "out" / "clips.tfrecord-00000-of-00001").write_bytes(b"precious")
    with pytest.raises(ChangedInputsError, match="of another tool"):
        convert(folder, MANIFEST, **CUT)
    assert contents(folder / "out") == {"clips.tfrecord-00000-of-00001": b"precious"}


def test_too_many_faults_are_an_error_that_says_how_to_try_again(folder):
    (folder / "videos" / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(TooManySkippedError, match=r"3 files, 1 .33") as caught:
        convert(folder, f"{MANIFEST}videos/bad.mp4,run\n", **CUT)
    assert f"remove {folder / 'out'} or add --overwrite" in str(caught.value)


def test_kills_at_random_moments_leave_no_trace_in_the_bytes(slow_folder):
    convert(slow_folder, MANIFEST, output="unbroken", **CUT)
    generator = random.Random(0)
    for number in range(4):
        command = start_command(
            slow_folder,
            f"--output_dir={slow_folder / 'killed'}",
            "--num_workers=2",
            *CUT_FLAGS,
        )
        work = slow_folder / "killed" / ".conversion"
        wait_for((work / "inputs.json").exists, command)
        if number % 2:  # also late, when shards are being written
            wait_for((work / "plan.jsonl").exists, command)
            wait_for(lambda: list((slow_folder / "killed").glob("clips.*")), command)
        time.sleep(generator.uniform(0.0, 1.0))
        command.kill()
        command.wait()
    convert(slow_folder, MANIFEST, output="killed", num_workers=2, **CUT)
    assert contents(slow_folder / "killed") == contents(slow_folder / "unbroken")


def test_workers_end_when_the_main_process_is_killed(slow_folder):
    command = start_command(
        slow_folder,
        f"--output_dir={slow_folder / 'out'}",
        "--num_workers=2",
        *CUT_FLAGS,
    )
    workers, decoders = wait_for_decoders(command)
    left = workers + decoders
    command.kill()
    command.wait()
    deadline = time.monotonic() + 10
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if os.path.exists(f"/proc/{pid}/cmdline")]
        time.sleep(0.1)
    assert not left


def test_a_worker_killed_from_outside_is_replaced(slow_folder):
    convert(slow_folder, MANIFEST, output="unbroken", **CUT)
    command = start_command(
        slow_folder,
        f"--output_dir={slow_folder / 'out'}",
        "--num_workers=2",
        *CUT_FLAGS,
        stderr=subprocess.PIPE,
    )
    workers, _ = wait_for_decoders(command)
    os.kill(workers[0], signal.SIGKILL)
    _, log = command.communicate(timeout=240)
    assert command.returncode == 0, log
    assert "a worker process was killed" in log
    assert contents(slow_folder / "out") == contents(slow_folder / "unbroken")


def test_a_shard_that_always_kills_its_worker_ends_the_run(folder, monkeypatch):
    # Workers are new processes: what they import is what this path gives them.
    (folder / "deadly.py").write_text(
        "import contextlib, os, signal\n"
        "class Source:\n"
        "    @contextlib.contextmanager\n"
        "    def open(self):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    import deadly

    from tfrecords_tools.planning import ClipPlan
    from tfrecords_tools.runners import run_local
    from tfrecords_tools.shard_job import ShardJob

    job = ShardJob(deadly.Source(), str(folder), 1)
    with pytest.raises(WorkerDiedError, match=r"writing shard 0 was killed 3 times"):
        run_local(job, [(0, [ClipPlan("v", "v", 0)])], num_workers=2, done=0)


def test_a_full_disk_stops_with_a_message_and_leaves_no_half_shard(slow_folder):
    small = slow_folder / "out"
    with small_disk(small, "1m") as enlarge:
        with pytest.raises(StorageFullError, match="no space left while writing clips"):
            convert(slow_folder, MANIFEST, **(CUT | {"num_shards": 1}))
        assert not list(small.glob("clips.*"))
        enlarge()
        info = convert(slow_folder, MANIFEST, **(CUT | {"num_shards": 1}))
        assert info.num_clips == len(clips.ClipDataset(small)) == 12


def test_beam_writes_the_same_bytes(folder):
    pytest.importorskip("apache_beam")
    convert(folder, MANIFEST, output="local", **CUT)
    convert(
        folder,
        MANIFEST,
        output="beam",
        runner="beam",
        beam_args=(
            "--runner=DirectRunner",
            "--direct_running_mode=multi_processing",
            "--direct_num_workers=2",
        ),
        **CUT,
    )
    assert contents(folder / "beam") == contents(folder / "local")


@pytest.mark.parametrize(("kind", "told"), [("missing", True), ("empty", False)])
def test_where_paths_start_is_told_when_no_file_is_there(kind, told):
    skipped = [{"video": "a.mp4", "clip": "", "kind": kind, "reason": "why"}] * 2
    message = nothing_readable(2, skipped)
    assert "a.mp4: why" in message
    assert ("--video_root" in message) == told
