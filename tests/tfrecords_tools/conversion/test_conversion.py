"""Stopping, killing and continuing a conversion."""

import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from spl_tf import clips
from spl_tf.clips.shard_folder import ChangedInputsError
from spl_tf.files import FolderBusyError
from tests.conftest import small_disk, write_video
from tests.tfrecords_tools.conftest import (
    contents,
    convert,
    noise_images,
    start_command,
)
from tfrecords_tools.conversion.conversion import (
    RunOptions,
    TooManySkippedError,
    nothing_readable,
)
from tfrecords_tools.conversion.cutting import ClipPlan
from tfrecords_tools.conversion.runners import run_local
from tfrecords_tools.conversion.shard_job import (
    ShardJob,
    StorageFullError,
    WorkerDiedError,
)
from tfrecords_tools.convert_videos import ConversionSettings, convert_videos
from tfrecords_tools.inspection.shard_reading import map_shards

ROOT = pathlib.Path(__file__).parents[2]

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
    deadline = time.monotonic() + 240  # ends a hang; it takes a second
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


@pytest.mark.parametrize("name", ["out[1]", "out*", "ou?1"])
def test_overwriting_touches_no_folder_whose_name_the_pattern_fits(folder, name):
    for output in (name, "out1"):
        convert(folder, MANIFEST, output=output, **CUT)
    before = contents(folder / "out1")
    convert(folder, MANIFEST, output=name, overwrite=True, **(CUT | {"num_shards": 1}))
    assert contents(folder / "out1") == before
    assert sorted(contents(folder / name)) == [
        "clips.tfrecord-00000-of-00001",
        "dataset.json",
        "index.npz",
    ]


def test_a_second_conversion_into_a_folder_is_refused_while_one_works(slow_folder):
    output = slow_folder / "out"
    command = start_command(slow_folder, f"--output_dir={output}", *CUT_FLAGS)
    wait_for((output / ".conversion" / "plan.jsonl").exists, command)
    os.kill(command.pid, signal.SIGSTOP)  # so that it is not done before the second
    try:
        for overwrite in (False, True):
            with pytest.raises(
                FolderBusyError, match=rf"id {command.pid}\) of .* works"
            ):
                convert(slow_folder, MANIFEST, overwrite=overwrite, **CUT)
    finally:
        command.kill()
        command.wait()
    assert convert(slow_folder, MANIFEST, **CUT).num_clips == 12
    assert sorted(path.name for path in output.iterdir()) == [
        *(clips.shard_name(shard, 4) for shard in range(4)),
        "dataset.json",
        "index.npz",
    ]


def replace_video(folder, name):
    """Puts other bytes of the same size and content in its place."""
    path = folder / "videos" / name
    content, before = path.read_bytes(), path.stat()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def test_videos_that_were_replaced_are_named_until_overwritten(folder):
    info = convert(folder, MANIFEST, **CUT)
    sizes = {
        name: f"{os.stat(folder / name).st_size} {os.stat(folder / name).st_mtime_ns}"
        for name in ("videos/one.mp4", "videos/two words.mp4")
    }
    assert info.files == sizes
    replace_video(folder, "two words.mp4")
    before = contents(folder / "out")
    with pytest.raises(ChangedInputsError, match=r"replaced since.*: videos/two words"):
        convert(folder, MANIFEST, **CUT)
    assert contents(folder / "out") == before
    convert(folder, MANIFEST, overwrite=True, **CUT)
    assert convert(folder, MANIFEST, **CUT).num_clips == 12


def test_a_file_that_was_missing_and_came_is_named(folder):
    manifest = f"{MANIFEST}videos/late.mp4,run\n"
    convert(folder, manifest, max_skipped_fraction=0.5, **CUT)
    (folder / "videos" / "late.mp4").write_bytes(b"")
    with pytest.raises(ChangedInputsError, match=r"replaced since.*: videos/late\.mp4"):
        convert(folder, manifest, max_skipped_fraction=0.5, **CUT)


def test_a_finished_dataset_needs_its_videos_no_more(folder):
    info = convert(folder, MANIFEST, **CUT)
    os.remove(folder / "videos" / "one.mp4")
    assert convert(folder, MANIFEST, **CUT) == info


def test_a_dataset_from_before_files_were_compared_is_still_finished(folder):
    info = convert(folder, MANIFEST, **CUT)
    path = folder / "out" / "dataset.json"
    content = json.loads(path.read_text())
    del content["files"]
    path.write_text(json.dumps(content))
    replace_video(folder, "one.mp4")
    assert convert(folder, MANIFEST, **CUT) == dataclasses.replace(info, files={})


def test_a_video_replaced_before_the_end_is_named(slow_folder):
    output = slow_folder / "out"
    command = start_command(slow_folder, f"--output_dir={output}", *CUT_FLAGS)
    wait_for((output / ".conversion" / "plan.jsonl").exists, command)
    command.kill()
    command.wait()
    replace_video(slow_folder, "one.mp4")
    with pytest.raises(ChangedInputsError, match=r"replaced since.*: videos/one\.mp4"):
        convert(slow_folder, MANIFEST, **CUT)
    # As it was left by a version that did not compare files.
    os.remove(output / ".conversion" / "files.json")
    assert convert(slow_folder, MANIFEST, **CUT).num_clips == 12


def test_a_report_that_names_a_file_elsewhere_is_refused(folder):
    job = ShardJob(None, str(folder / "out"), 1)
    work = folder / "out" / ".conversion"
    work.mkdir(parents=True)
    (folder / "victim").write_bytes(b"")
    summary = clips.ShardSummary("a", [], [], [], [])
    report = {"summary": vars(summary) | {"name": "../victim"}, "skipped": []}
    (work / "shard-00000.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match=r"shard-00000\.json names the file '\.\./vic"):
        job.finished(0)


def test_the_same_folders_may_be_spelled_otherwise(folder, monkeypatch):
    (folder / "m.csv").write_text(MANIFEST.replace("videos/", ""))
    monkeypatch.chdir(folder)

    def run(root, output):
        return convert_videos(
            "m.csv",
            "./classes.txt",
            output,
            root,
            ConversionSettings(short_side=0, **CUT),
            RunOptions(num_workers=1),
        )

    info = run(str(folder / "videos"), str(folder / "o" / "j"))
    before = contents(folder / "o")
    for root, output in [
        ("videos", "o/j/"),
        ("./videos/", "./o//j"),
        (f"/{folder}/videos", "o/../o/j"),
    ]:
        assert run(root, output) == info
    assert contents(folder / "o") == before


def test_workers_that_never_begin_end_the_run(folder, monkeypatch):
    # The first that a new process imports, if it is there.
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if '--multiprocessing-fork' in sys.orig_argv:\n"
        "    os._exit(1)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    job = ShardJob(None, str(folder), 2)
    tasks = [(shard, [ClipPlan("v", "v", 0)]) for shard in range(2)]
    with pytest.raises(WorkerDiedError, match="ended before they began to work, 3 tim"):
        run_local(job, tasks, num_workers=2, done=0)
    with pytest.raises(WorkerDiedError, match=r"killed while a was next.*__main__"):
        list(map_shards(str, ["a", "b"], num_workers=2))


@pytest.mark.slow
def test_a_script_without_a_main_guard_ends_and_is_told_why(folder):
    convert(folder, MANIFEST, output="unused", **CUT)
    script = folder / "script.py"
    script.write_text(
        "from tfrecords_tools.conversion import RunOptions\n"
        "from tfrecords_tools import convert_videos\n"
        "convert_videos.convert_videos('m.csv', 'classes.txt', 'out',\n"
        "    settings=convert_videos.ConversionSettings(\n"
        "    clips_per_video=2, clip_seconds=0.5), run=RunOptions(num_workers=2))\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1
    assert 'outside of `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


def test_decoders_that_never_answer_end_the_run(folder, monkeypatch):
    # It comes before the real package in the decoder's own process.
    broken = folder / "broken" / "av"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise MemoryError\n")
    for number in range(30):
        (folder / "videos" / f"{number}.mp4").write_bytes(b"no video")
    rows = "".join(f"videos/{number}.mp4,run\n" for number in range(30))
    monkeypatch.setenv("PYTHONPATH", str(folder / "broken"))
    with pytest.raises(WorkerDiedError, match="none of 20 files can be looked at"):
        convert(folder, f"video,label\n{rows}", **CUT)


def test_a_finished_dataset_is_returned_from_a_disk_that_cannot_be_written(folder):
    with small_disk(folder / "out", "9m"):
        info = convert(folder, MANIFEST, **CUT)
        mount = ["mount", "-o", "remount,ro", str(folder / "out")]
        subprocess.run(mount, check=True)
        assert convert(folder, MANIFEST, **CUT) == info
        with pytest.raises(OSError, match="Read-only file system"):
            convert(folder, MANIFEST, overwrite=True, **CUT)
