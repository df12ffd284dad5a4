"""Forward pass and training step of R3D-50-G, against the same network in PyTorch.

python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch==2.13.0 numpy
python -m benchmarks.model_step --torch_python=/tmp/torch/bin/python

A training step is loss, gradients and an SGD update with momentum; bfloat16 is Keras'
`mixed_bfloat16` and PyTorch's autocast. On a CPU the rival is eager in
`channels_last_3d`, on a GPU it is `torch.compile`d. `KERAS_BACKEND=jax` measures ours
on JAX.

Both are processes of their own, and take turns. Before that they get the same weights
and batch, and must count the same parameters and compute the same losses.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags

from benchmarks.worker import Worker

_TORCH = "torch==2.13.0"
# Least speed relative to PyTorch, on a CPU.
_LIMITS = {
    ("float32", "train"): 1.5,
    ("float32", "infer"): 1.0,
    ("bfloat16", "train"): 1.25,
    ("bfloat16", "infer"): 1.0,
}
# Between the losses of both in the first step and in the second, relative. Rounding
# flips some ReLUs, so gradients differ by more: in float32, on small clips, PyTorch's
# are 3 % away from its own in float64.
_TOLERANCES = {"float32": (1e-4, 1e-2), "bfloat16": (1e-2, 5e-2)}
# Arithmetic in forward passes; the gradients of inputs and of weights cost one each.
_PASSES = {"infer": 1, "train": 3}
_TITLES = {"infer": "forward", "train": "training"}


def write_batch(path: str, batch_size: int, frames: int, size: int) -> None:
    """Writes clips of noise in [-1, 1], and labels."""
    generator = np.random.default_rng(0)
    shape = (batch_size, frames, size, size, 3)
    clip = generator.uniform(-1, 1, shape).astype(np.float32)
    labels = generator.integers(0, 400, batch_size, np.int32)
    np.savez(path, clip=clip, labels=labels)


def check_equal(ours: Worker, rival: Worker, dtype: str, directory: str) -> None:
    """Gives the rival our weights, and compares counts and the first two losses.

    The second loss follows from the first step's gradients.

    Raises:
        AssertionError: They are not the same network.
    """
    path = os.path.join(directory, "weights.npz")
    ours.ask("save", path)
    rival.ask("load", path)
    counts = ours.ask("count"), rival.ask("count")
    losses = ours.ask("train", 2)[1], rival.ask("train", 2)[1]
    gaps = [abs(a - b) / b for a, b in zip(*losses, strict=True)]
    close = all(g < t for g, t in zip(gaps, _TOLERANCES[dtype], strict=True))
    if counts[0] != counts[1] or not close:
        raise AssertionError(
            f"the networks differ: parameters and statistics {counts[0]} and "
            f"{counts[1]}, losses {losses[0]} and {losses[1]} in {dtype}"
        )
    trained, rest = counts[0]
    print(
        f"{dtype}: both have {trained:,} parameters, {trained + rest:,} with the "
        f"statistics of batch norm; losses {_format(losses[0])} and "
        f"{_format(losses[1])}",
        flush=True,
    )


def _format(losses: list[float]) -> str:
    return ", ".join(f"{loss:.4f}" for loss in losses)


def compare(
    ours: Worker, rival: Worker, task: str, rounds: int, steps: int
) -> list[tuple[float, float]]:
    """Seconds per step of ours and of the rival, by round."""
    return [
        tuple(worker.ask(task, steps)[0] / steps for worker in (ours, rival))
        for _ in range(rounds)
    ]


def report(dtype, task, seconds, batch_size: int, flop: int) -> None:
    """Prints medians, and the ratio with its range over the rounds."""
    ratios = [rival / ours for ours, rival in seconds]
    columns = [statistics.median(column) for column in zip(*seconds, strict=True)]
    for name, median in zip(("ours", "PyTorch"), columns, strict=True):
        print(
            f"{dtype:<9} {_TITLES[task]:<9} {name:<8} {median:8.3f} s "
            f"{batch_size / median:8.2f} clips/s "
            f"{_PASSES[task] * flop * batch_size / median / 1e9:8.0f} GFLOP/s"
        )
    print(
        f"{'':<20} ours is {statistics.median(ratios):.2f} times as fast "
        f"({min(ratios):.2f} to {max(ratios):.2f}), limit {_LIMITS[dtype, task]}",
        flush=True,
    )


def measure(
    dtype: str, batch: str, batch_size: int, torch_python: str, rounds: int, steps: int
) -> None:
    """Compares training steps, memory and forward passes in one precision."""
    with (
        Worker(sys.executable, "benchmarks.keras_r3d", dtype, batch) as ours,
        Worker(torch_python, "benchmarks.torch_r3d", dtype, batch) as rival,
    ):
        print(f"\n{ours.ask('describe')}; {rival.ask('describe')}")
        check_equal(ours, rival, dtype, os.path.dirname(batch))
        flop = ours.ask("flop")
        # The check has warmed up.
        seconds = compare(ours, rival, "train", rounds, steps)
        report(dtype, "train", seconds, batch_size, flop)
        peaks = [worker.ask("peak") / 1e9 for worker in (ours, rival)]
        print(f"{'':<20} peak memory {peaks[0]:.2f} GB, PyTorch {peaks[1]:.2f} GB")
        compare(ours, rival, "infer", 1, 1)
        seconds = compare(ours, rival, "infer", rounds, steps)
        report(dtype, "infer", seconds, batch_size, flop)


def check_torch(torch_python: str) -> None:
    """Makes sure that the rival can run.

    Raises:
        app.UsageError: That interpreter has no PyTorch.
    """
    found = subprocess.run(
        [torch_python, "-c", "import torch, numpy"], capture_output=True, text=True
    )
    if found.returncode:
        reason = found.stderr.strip().splitlines()[-1:]
        raise app.UsageError(
            f"{torch_python} cannot import torch and numpy ({''.join(reason)}); run\n"
            f"  python3 -m venv /tmp/torch && /tmp/torch/bin/pip install {_TORCH} "
            "numpy\nand pass --torch_python=/tmp/torch/bin/python"
        )


def main(argv: list[str]) -> None:
    """Measures each precision in turn."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    values = flags.FLAGS
    check_torch(values.torch_python)
    print(
        f"{values.rounds} rounds of {values.steps} steps, {values.batch_size} clips of "
        f"{values.frames} x {values.size} x {values.size}, {os.cpu_count()} cores"
    )
    with tempfile.TemporaryDirectory() as directory:
        batch = os.path.join(directory, "batch.npz")
        write_batch(batch, values.batch_size, values.frames, values.size)
        for dtype in values.dtype:
            measure(
                dtype,
                batch,
                values.batch_size,
                values.torch_python,
                values.rounds,
                values.steps,
            )


if __name__ == "__main__":
    flags.DEFINE_integer("frames", 16, "Frames of a clip.", lower_bound=1)
    flags.DEFINE_integer("size", 224, "Rows and columns of a frame.", lower_bound=32)
    flags.DEFINE_integer("batch_size", 2, "Clips of a step.", lower_bound=1)
    flags.DEFINE_integer("rounds", 5, "Turns of each contender.", lower_bound=1)
    flags.DEFINE_integer("steps", 1, "Steps per turn; more on a GPU.", lower_bound=1)
    flags.DEFINE_list("dtype", list(_TOLERANCES), "Precisions.")
    flags.register_validator(
        "dtype",
        lambda names: set(names) <= set(_TOLERANCES),
        f"expected names of {', '.join(_TOLERANCES)}, separated by commas",
    )
    flags.DEFINE_string("torch_python", sys.executable, "An interpreter with PyTorch.")
    app.run(main)
