"""Running the shards of a plan: in this machine's processes, or by Apache Beam."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

from absl import logging

from spl_tf import binary
from spl_tf.progress import Progress
from tfrecords_tools.conversion.cutting import ClipPlan
from tfrecords_tools.conversion.shard_job import ShardJob, WorkerDiedError

_MAX_DEATHS = 3
_POLL_SECONDS = 0.5
_BEAM_POLL_SECONDS = 5.0

Tasks = list[tuple[int, list[ClipPlan]]]


_NEVER_BEGAN = (
    f"worker processes ended before they began to work, {_MAX_DEATHS} times: there is "
    "too little memory for so many (fewer --num_workers?), or a program of your own "
    'calls this outside of `if __name__ == "__main__":`. See what they printed above'
)


class _StoppedError(Exception):
    """The main process wants no more."""


def run_local(job: ShardJob, tasks: Tasks, num_workers: int, done: int) -> None:
    """Writes shards in a pool of processes; one worker is this process itself.

    A worker that is killed takes the pool with it: a new one is made, and the shards
    that were not finished are written from their start.

    Args:
        job: Writes a shard and its report.
        tasks: (shard, its clips) for each shard to write.
        num_workers: Number of processes, this one included.
        done: Clips of earlier runs, for the progress bar.

    Raises:
        WorkerDiedError: The worker of the same shard was killed three times, or three
            pools ended before a worker had begun with a shard.
    """
    total = done + sum(len(plans) for _, plans in tasks)
    with Progress(total, "clip", job.doing, initial=done) as progress:
        if num_workers == 1:
            for shard, plans in tasks:
                job.run(shard, plans, progress.update)
            return
        board = _Board(job.num_shards)
        deaths = dict.fromkeys((shard for shard, _ in tasks), 0)
        never_began = 0
        while tasks:
            num_before = len(tasks)
            board.reset(shard for shard, _ in tasks)
            tasks = _run_pool(
                job, tasks, num_workers, board, lambda n: progress.update_to(done + n)
            )
            began = any(board.started[shard] for shard, _ in tasks)
            if len(tasks) == num_before and not began:
                never_began += 1
                if never_began == _MAX_DEATHS:
                    raise WorkerDiedError(_NEVER_BEGAN)
            for shard, _ in tasks:
                deaths[shard] += board.started[shard]
                if deaths[shard] == _MAX_DEATHS:
                    raise WorkerDiedError(
                        f"the process writing shard {shard} was killed {_MAX_DEATHS} "
                        "times, perhaps for using too much memory (fewer "
                        "--num_workers?). Finished shards stay: the same command again "
                        "continues"
                    )
            if tasks:
                logging.warning(
                    "a worker process was killed; %d shards are left", len(tasks)
                )


class _Board:
    """What workers and main process tell each other, without locks.

    Each slot has one writer, so a worker killed at any moment leaves it readable.
    """

    def __init__(self, num_shards: int):
        context = multiprocessing.get_context("spawn")
        self.stop = context.RawValue("b", 0)
        self.started = context.RawArray("b", num_shards)
        self.clips = context.RawArray("q", num_shards)

    def reset(self, shards) -> None:
        for shard in shards:
            self.started[shard] = self.clips[shard] = 0


def _run_pool(job, tasks, num_workers, board, show) -> Tasks:
    """Runs tasks in one pool; returns those left over because a worker died."""
    context = multiprocessing.get_context("spawn")  # forking after TensorFlow hangs
    broken = False
    with concurrent.futures.ProcessPoolExecutor(
        min(num_workers, len(tasks)),
        mp_context=context,
        initializer=_start_worker,
        initargs=(board,),
    ) as pool:
        waiting = {pool.submit(_run_task, job, *task) for task in tasks}
        try:
            while waiting:
                finished, waiting = concurrent.futures.wait(waiting, _POLL_SECONDS)
                show(sum(board.clips))
                for future in finished:
                    future.result()
        except BrokenProcessPool:
            broken = True
        except BaseException:
            board.stop.value = 1  # workers end after the clip at hand
            pool.shutdown(cancel_futures=True, wait=False)
            raise
    left = [task for task in tasks if job.finished(task[0]) is None]
    if left and not broken:
        raise RuntimeError(f"shard {left[0][0]} vanished while others were written")
    return left


_board: _Board | None = None


def _start_worker(board: _Board) -> None:
    global _board
    _board = board
    binary.prepare_worker()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process says when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when the main process dies, also when it is killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _run_task(job: ShardJob, shard: int, plans: list[ClipPlan]) -> None:
    _board.started[shard] = 1

    def advance():
        _board.clips[shard] += 1
        if _board.stop.value:
            raise _StoppedError

    job.run(shard, plans, advance)


def run_beam(
    job: ShardJob, tasks: Tasks, beam_args: tuple[str, ...], done: int
) -> None:
    """Writes shards by an Apache Beam pipeline.

    Args:
        job: Writes a shard and its report.
        tasks: (shard, its clips) for each shard to write.
        beam_args: Beam's own command line, for example `--runner=FlinkRunner`.
        done: Clips of earlier runs, for the progress bar.

    Raises:
        ImportError: Beam is not installed; the message names the extra.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ImportError(
            "--runner=beam needs Apache Beam: pip install 'spl_tf[beam]'"
        ) from error
    with (
        _shown_shards(job, tasks, done),
        beam.Pipeline(options=PipelineOptions(list(beam_args))) as pipeline,
    ):
        _ = (
            pipeline
            | "shards" >> beam.Create(tasks)
            | "spread" >> beam.Reshuffle()
            | "write" >> beam.Map(functools.partial(_run_beam_task, job))
        )


@contextlib.contextmanager
def _shown_shards(job: ShardJob, tasks: Tasks, done: int) -> Iterator[None]:
    """Shows progress by the shards whose reports have appeared in the folder."""
    ended = threading.Event()
    waiting = {shard: len(plans) for shard, plans in tasks}

    def watch(progress: Progress) -> None:
        while waiting:
            last = ended.wait(_BEAM_POLL_SECONDS)
            for shard in [s for s in waiting if job.finished(s) is not None]:
                progress.update(waiting.pop(shard))
            if last:
                return

    total = done + sum(waiting.values())
    with Progress(total, "clip", job.doing, initial=done) as progress:
        thread = threading.Thread(target=watch, args=(progress,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _run_beam_task(job: ShardJob, task: tuple[int, list[ClipPlan]]) -> None:
    shard, plans = task
    job.run(shard, plans, lambda: None)
