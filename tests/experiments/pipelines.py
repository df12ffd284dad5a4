"""A small experiment that tests of the pipeline share, and processes that run it."""

import dataclasses
import json
import os
import signal
import time

from ml_collections import config_dict

from experiments.pipeline import server
from experiments.pipeline.runner import run_pipeline
from experiments.spl.configs import synthetic
from spl_tf.training import STOPPED_EXIT_CODE, TrainingStopped


@dataclasses.dataclass(frozen=True)
class FinishedPipeline:
    """A run, what it returned and what it said."""

    config: config_dict.ConfigDict
    workdir: str
    results: dict
    lines: list[str]


def small_config(*strategies):
    """A world of 24 + 24 clips and 48 web clips, and trainings of a few steps."""
    config = synthetic.get_config()
    config.strategies = strategies
    config.report = False
    config.world.update(
        target_clips_per_class=2,
        validation_clips_per_class=2,
        web_videos_per_class=2,
        segments_per_video=2,
    )
    config.conversion.update(num_shards=2, clips_per_video=2)
    for phase in ("pretrain", "finetune", "scratch"):
        config[phase].data.batch_size = 8
        config[phase].schedule.warmup.steps = 2
        config[phase].schedule.length.steps = 6
        config[phase].runtime.update(
            steps_per_call=2, log_every_steps=2, checkpoint_every_steps=2
        )
    return config


class PipelineProcess:
    """`run_pipeline` in a process of its own, that can be killed."""

    def __init__(self, config, workdir, log, **arguments):
        server.start()  # TensorFlow is imported already in what this is forked from
        self._log = str(log)
        arguments = (json.dumps(config.to_dict()), str(workdir), self._log, arguments)
        self.process = server.CONTEXT.Process(target=_run, args=arguments)
        self.process.start()

    def lines(self):
        if not os.path.exists(self._log):
            return []
        with open(self._log) as file:
            return file.read().splitlines()

    def wait_for(self, text, seconds=240):
        """Waits until a line has the text."""
        deadline = time.monotonic() + seconds
        while not any(text in line for line in self.lines()):
            assert self.process.is_alive(), self.lines()
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.02)

    def exit_code(self, seconds=240):
        self.process.join(seconds)
        assert self.process.exitcode is not None, self.lines()
        return self.process.exitcode


def _run(settings, workdir, log, arguments):
    # A shell starts background commands with SIGINT ignored, and children inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config = config_dict.ConfigDict(json.loads(settings))
    with open(log, "a", buffering=1) as file:
        try:
            run_pipeline(
                config, workdir, echo=lambda line: print(line, file=file), **arguments
            )
        except TrainingStopped:
            raise SystemExit(STOPPED_EXIT_CODE) from None


def stage_processes(place):
    """Ids of the processes whose output goes to a log, or to the logs of a workdir."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            output = os.readlink(f"/proc/{name}/fd/1")
        except OSError:
            continue  # it has ended, or is another user's
        if output == str(place) or output.startswith(os.path.join(place, "logs")):
            found.append(int(name))
    return found


def read_results(workdir):
    with open(os.path.join(workdir, "results.json")) as file:
        return json.load(file)


def table(results):
    """What a run has found, without how long it took."""
    rows = [
        {key: value for key, value in row.items() if key != "seconds"}
        for row in (*results["rows"], *results["curve"])
    ]
    return rows, [seed["noise_ratio"] for seed in results["seeds"]]


def reasons(results, state):
    """Reasons of the stages in a state, by name."""
    return {
        stage["stage"]: stage["reason"]
        for stage in results["stages"]
        if stage["state"] == state
    }
