"""What our step loop, the input pipeline and prediction cost beside the bare model.

python -m benchmarks.train_loop

Contenders of a round, in turn:

- bare: a `tf.function` step in a Python loop over batches in memory: augmentation,
  forward pass, gradients, Keras' SGD;
- loop: `train` on the same batches: also metrics, logs, the stop wish, checkpoints;
- input: `train_batches` alone;
- train: `train` on the dataset;
- forward: a `tf.function` of the model alone, on batches in memory;
- predict: `predict` on the dataset, less what it takes for a single batch.

The bars: loop at least 97 % of bare; train at least 93 % of the slower of loop and
input; predict at least 93 % of forward. On a machine without a GPU the model gets all
cores but one, and the input pipeline that one: on shared cores they could only add up.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from ml_collections import config_dict
from PIL import Image

from benchmarks.input_pipeline import make_frames
from spl_tf import clips, data
from spl_tf.runs.run_folder import build_from_config
from spl_tf.training import default_config, loop, make_strategy, predict, train
from spl_tf.training.assembly import assemble

_CLASSES = 10
_MEMORY_BATCHES = 8
_JPEG_QUALITY = 90


@dataclasses.dataclass(frozen=True)
class Setting:
    """A network and its clips.

    Attributes:
        model: Name of the network in `build_model`.
        num_frames: Frames of a clip that it sees.
        crop_size: Side of the square that it sees, in pixels.
        stored: Frames, rows and columns of a stored clip.
        batch_size: Clips per step.
        num_clips: How many clips the dataset has.
        steps: Measured per turn, as many as are passed over before.
    """

    model: str
    num_frames: int
    crop_size: int
    stored: tuple[int, int, int]
    batch_size: int
    num_clips: int
    steps: int


SETTINGS = {
    "tiny_clips": Setting("r3d_tiny_g", 4, 24, (8, 28, 28), 32, 4096, 400),
    "larger_clips": Setting("r3d_tiny_g", 16, 112, (32, 128, 171), 8, 512, 25),
}


def write_clips(directory: str, setting: Setting) -> None:
    """Writes the dataset: pans over pictures, see `make_frames`."""
    os.makedirs(directory)
    frames, height, width = setting.stored
    videos = []
    for video in range(4):
        jpegs = []
        for jpeg in make_frames(video, _JPEG_QUALITY)[:frames]:
            buffer = io.BytesIO()
            image = Image.open(io.BytesIO(jpeg)).resize((width, height))
            image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
            jpegs.append(buffer.getvalue())
        videos.append(jpegs)

    def records():
        for number in range(setting.num_clips):
            label = number % _CLASSES
            clip = clips.Clip(
                id=f"clip{number}",
                frames=videos[number % len(videos)],
                timestamps=[40_000 * t for t in range(frames)],
                frame_rate=25.0,
                height=height,
                width=width,
                label_index=label,
                label_name=f"class {label}",
                media_id=f"clip{number}",
                data_path="",
                start=0,
                end=40_000 * frames,
            )
            yield clips.encode_clip(clip), frames, label, -1

    summaries = [clips.write_shard(directory, clips.shard_name(0, 1), records())]
    names = [f"class {number}" for number in range(_CLASSES)]
    clips.finish_dataset(directory, summaries, names, "clean", {"tool": "benchmark"})


def make_config(setting: Setting, dataset: str) -> config_dict.ConfigDict:
    """A run of twice the measured steps, which logs after each half."""
    config = default_config()
    config.model.update(name=setting.model, dropout=0.0)
    config.data.update(
        train=dataset,
        num_frames=setting.num_frames,
        stride=1,
        crop_size=setting.crop_size,
        batch_size=setting.batch_size,
    )
    config.optimizer.update(learning_rate=0.01, reference_batch_size=setting.batch_size)
    config.schedule.update(
        warmup={"steps": 1, "epochs": 0.0},
        length={"steps": 2 * setting.steps - 1, "epochs": 0.0},
    )
    config.runtime.update(
        steps_per_call=min(50, setting.steps),
        log_every_steps=setting.steps,
        checkpoint_every_steps=setting.steps,
    )
    return config


class _MemoryRun(loop.Loop):
    """The run of `train`, on batches in memory."""

    def _batches(self, start_step: int, stop_step: int):
        rows = np.arange(_MEMORY_BATCHES) * (stop_step // _MEMORY_BATCHES)
        few = [
            batch
            for row in rows
            for batch in super(_MemoryRun, self)._batches(int(row), int(row) + 1)
        ]
        columns = {name: tf.stack([batch[name] for batch in few]) for name in few[0]}
        batches = tf.data.Dataset.from_tensor_slices(columns).cache().repeat()
        options = tf.data.Options()
        options.autotune.enabled = False
        return batches.take(stop_step - start_step).prefetch(2).with_options(options)


class Contenders:
    """What takes turns; each gives its clips per second."""

    def __init__(self, setting: Setting, directory: str):
        """Writes the dataset and trains the teacher of `predict`."""
        self._setting, self._directory = setting, directory
        self._dataset = os.path.join(directory, "clips")
        self._few = os.path.join(directory, "few")
        write_clips(self._dataset, setting)
        write_clips(
            self._few, dataclasses.replace(setting, num_clips=setting.batch_size)
        )
        self._config = make_config(setting, self._dataset)
        self._parts = assemble(self._config, replicas=1)
        self._source = self._parts.sources.inputs[0]
        self._teacher = os.path.join(directory, "teacher")
        short = dataclasses.replace(setting, steps=1)
        train(make_config(short, self._dataset), self._teacher)
        batches = data.train_batches(
            self._source, setting.batch_size, stop_step=_MEMORY_BATCHES
        )
        self._memory = list(batches)
        self._bare_step = self._make_bare_step()
        model = build_from_config(self._config, _CLASSES)
        self._forward_step = tf.function(
            lambda clip: tf.nn.softmax(model(data.unit_pixels(clip), training=False))
        )

    def _make_bare_step(self) -> Callable:
        model = build_from_config(self._config, _CLASSES)
        optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
        optimizer.build(model.trainable_variables)
        variables = [variable.value for variable in model.trainable_variables]
        strengths = data.Augmentation(**self._config.augmentation)

        @tf.function
        def step(batch):
            clip = data.augment(batch["clip"], batch["draws"], strengths)
            with tf.GradientTape() as tape:
                logits = model(clip, training=True)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    batch["label"], logits
                )
                loss = tf.reduce_mean(losses) + tf.add_n(model.losses)
            optimizer.apply(tape.gradient(loss, variables), model.trainable_variables)
            return loss

        return step

    def bare(self) -> float:
        """The step in a loop; the loss is read now and then, as the logs do."""
        return self._timed(self._bare_step, self._setting.steps)

    def forward(self) -> float:
        """The model's forward pass in a loop."""
        steps = len(clips.ClipDataset(self._dataset)) // self._setting.batch_size
        return self._timed(lambda batch: self._forward_step(batch["clip"]), steps)

    def _timed(self, step: Callable, steps: int) -> float:
        step(self._memory[0])
        start = time.perf_counter()
        for number in range(steps):
            result = step(self._memory[number % _MEMORY_BATCHES])
        result.numpy()
        return steps * self._setting.batch_size / (time.perf_counter() - start)

    def loop(self) -> float:
        """Clips per second of a run of `train` on batches in memory."""
        workdir = self._empty("loop")
        os.makedirs(workdir)
        strategy = make_strategy("one")
        run = _MemoryRun(self._parts, workdir, strategy)
        run.train()
        return _logged_rate(workdir)

    def train(self) -> float:
        """Clips per second of a run of `train` on the dataset."""
        workdir = self._empty("train")
        train(self._config, workdir)
        return _logged_rate(workdir)

    def input(self) -> float:
        """The pipeline that `train` reads from, into nothing."""
        steps = self._setting.steps
        batches = iter(
            data.train_batches(
                self._source, self._setting.batch_size, stop_step=steps + 4
            )
        )
        for _ in range(4):
            next(batches)
        start = time.perf_counter()
        for _ in range(steps):
            next(batches)
        return steps * self._setting.batch_size / (time.perf_counter() - start)

    def predict(self) -> float:
        """Clips per second of `predict`, without its start."""
        start, whole = (self._predict(path) for path in (self._few, self._dataset))
        num_clips = self._setting.num_clips - self._setting.batch_size
        return num_clips / (whole - start)

    def _predict(self, dataset: str) -> float:
        output, start = self._empty("predicted"), time.perf_counter()
        predict(
            self._teacher, dataset, output, self._setting.batch_size, strategy="one"
        )
        return time.perf_counter() - start

    def _empty(self, name: str) -> str:
        path = os.path.join(self._directory, name)
        shutil.rmtree(path, ignore_errors=True)
        return path


def _logged_rate(workdir: str) -> float:
    """Clips per second of the second half of a run, as it logged them."""
    with open(os.path.join(workdir, "metrics.jsonl"), encoding="utf-8") as file:
        return json.loads(file.readlines()[-1])["clips_per_second"]


# Contender, what it is compared with (the slowest of them), least ratio.
_BARS = (
    ("loop", ("bare",), 0.97),
    ("train", ("loop", "input"), 0.93),
    ("predict", ("forward",), 0.93),
)


def report(name: str, rates: list[dict[str, float]]) -> None:
    """Prints the median rates, and the ratios with their range over the rounds."""
    for contender in rates[0]:
        median = statistics.median(rate[contender] for rate in rates)
        print(f"{name:<13} {contender:<8} {median:9.1f} clips/s")
    for contender, rivals, least in _BARS:
        ratios = [rate[contender] / min(rate[r] for r in rivals) for rate in rates]
        print(
            f"{name:<13} {contender} / {' or '.join(rivals)}: "
            f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}),"
            f" limit {least}",
            flush=True,
        )


def main(argv: list[str]) -> None:
    """Measures the settings that the flags choose, and prints rates and ratios."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    values = flags.FLAGS
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    if not on_gpu:
        threads = max((os.cpu_count() or 1) - 1, 1)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        print(f"{threads} cores for the model, 1 for its input")
    for name in values.settings:
        with tempfile.TemporaryDirectory() as directory:
            contenders = Contenders(SETTINGS[name], directory)
            order = ("bare", "loop", "input", "train", "forward", "predict")
            rates = [
                {contender: getattr(contenders, contender)() for contender in order}
                for _ in range(values.rounds)
            ]
        report(name, rates)


if __name__ == "__main__":
    flags.DEFINE_multi_enum(
        "settings", list(SETTINGS), list(SETTINGS), "What to measure."
    )
    flags.DEFINE_integer("rounds", 3, "Rounds.", lower_bound=1)
    app.run(main)
