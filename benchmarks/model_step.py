"""Forward pass and training step of a network, against the same one in PyTorch.

python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch==2.14.1 numpy
python -m benchmarks.model_step --network=r3d_50_g --torch_python=/tmp/torch/bin/python

A training step is loss, gradients and an SGD update with momentum; bfloat16 is Keras'
`mixed_bfloat16` and PyTorch's autocast. On a CPU the rival is eager in
`channels_last_3d`, on a GPU it is `torch.compile`d. `KERAS_BACKEND=jax` measures ours
on JAX.

Both are processes of their own, and take turns. Before that they get the same weights
and batch, and must count the same parameters and compute the same losses.
On a machine with other programs, whose turns on a core make threads wait for each
other, `taskset -c 0 python -m ...` gives each one thread.
`--recompute` adds ours with activations computed twice (`model.recompute`).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags

from benchmarks.worker import Worker
from spl_tf.cores import usable_cores

_TORCH = "torch==2.14.1"
# Frames, and rows and columns, of a clip.
_NETWORKS = {
    "r3d_50_g": (16, 224),
    "r2plus1d_34": (8, 112),
    "slow_only_50": (8, 224),
}
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
# There both multiply in TensorFloat-32 by default.
_GPU_TOLERANCES = _TOLERANCES | {"float32": (2e-3, 5e-2)}
# Arithmetic in forward passes; the gradients of inputs and of weights cost one each.
_PASSES = {"infer": 1, "train": 3}
_NAMES = ("ours", "PyTorch", "recomputed")
_TITLES = {"infer": "forward", "train": "training"}


def write_batch(path: str, batch_size: int, frames: int, size: int) -> None:
    """Writes clips of noise in [-1, 1], and labels."""
    generator = np.random.default_rng(0)
    shape = (batch_size, frames, size, size, 3)
    clip = generator.uniform(-1, 1, shape).astype(np.float32)
    labels = generator.integers(0, 400, batch_size, np.int32)
    np.savez(path, clip=clip, labels=labels)


def ask_all(workers: list[Worker], task: str, *arguments) -> list:
    """Answers of all to the same task, at once: on a GPU the first call compiles."""
    with concurrent.futures.ThreadPoolExecutor(len(workers)) as pool:
        return list(pool.map(lambda worker: worker.ask(task, *arguments), workers))


def check_equal(
    ours: list[Worker], rival: Worker, tolerances: np.ndarray, directory: str
) -> None:
    """Gives the rival our weights, and compares counts and the first two losses.

    The second loss follows from the first step's gradients. PyTorch's can be no number:
    then it is not compared, and ours must be one.

    Args:
        ours: Our processes.
        rival: PyTorch's.
        tolerances: Largest relative difference of either loss.
        directory: Where to hand over the weights.

    Raises:
        AssertionError: They are not the same network.
    """
    path = os.path.join(directory, "weights.npz")
    ours[0].ask("save", path)
    rival.ask("load", path)
    workers = [rival, *ours]
    found = zip(ask_all(workers, "count"), ask_all(workers, "train", 2), strict=True)
    found = [(count, losses) for count, (_, losses) in found]
    for count, losses in found[1:]:
        counts, losses = (count, found[0][0]), (losses, found[0][1])
        known = np.isfinite(losses[1])
        gaps = np.abs(np.divide(*losses) - 1)[known]
        close = known[0] and np.isfinite(losses[0]).all()
        close = close and (gaps < tolerances[known]).all()
        if counts[0] != counts[1] or not close:
            raise AssertionError(
                f"the networks differ: parameters and statistics {counts[0]} and "
                f"{counts[1]}, losses {losses[0]} and {losses[1]}"
            )
        trained, fixed = counts[0]
        print(
            f"both have {trained:,} parameters, {trained + fixed:,} with the "
            f"statistics of batch norm; losses {_format(losses[0])} and "
            f"{_format(losses[1])}",
            flush=True,
        )


def _format(losses: list[float]) -> str:
    return ", ".join(f"{loss:.4f}" for loss in losses)


def compare(workers: list[Worker], task: str, rounds: int, steps: int) -> np.ndarray:
    """Wall and CPU seconds per step, `[rounds, workers, 2]`."""
    turns = [[worker.ask(task, steps)[0] for worker in workers] for _ in range(rounds)]
    return np.array(turns) / steps


def report(dtype, task, seconds, batch_size: int, flop: int) -> None:
    """Prints medians, and the ratio of the first two with its range over the rounds."""
    for name, median in zip(_NAMES, np.median(seconds[..., 0], 0), strict=False):
        print(
            f"{dtype:<9} {_TITLES[task]:<9} {name:<10} {median:8.3f} s "
            f"{batch_size / median:8.2f} clips/s "
            f"{_PASSES[task] * flop * batch_size / median / 1e9:8.0f} GFLOP/s"
        )
    print(
        f"{'':<20} ours is {_ratio(seconds, 1, 0)} times as fast, "
        f"limit {_LIMITS[dtype, task]}",
        flush=True,
    )


def _ratio(seconds, column: int, other: int) -> str:
    """Median, minimum and maximum over the rounds; of the CPU time in brackets."""
    ratios = seconds[:, column] / seconds[:, other]
    wall, cpu = (
        f"{np.median(r):.2f} ({r.min():.2f} to {r.max():.2f})" for r in ratios.T
    )
    return f"{wall} [CPU {cpu}]"


def measure(dtype: str, batch: str, values) -> None:
    """Compares training steps, memory and forward passes in one precision.

    Args:
        dtype: Precision of the network, one of the flag's.
        batch: Path of a file of `write_batch`.
        values: The parsed flags.
    """
    network, turns = values.network, (values.rounds, values.steps)
    own = (sys.executable, "benchmarks.keras_network", network, dtype, batch)
    other = (values.torch_python, "benchmarks.torch_network", network, dtype, batch)
    with contextlib.ExitStack() as stack:
        ours = [stack.enter_context(Worker(*own))]
        rival = stack.enter_context(Worker(*other))
        if values.recompute:
            ours.append(stack.enter_context(Worker(*own, "recompute")))
        on = ours[0].ask("describe")
        print(f"\n{dtype}: {on}; {rival.ask('describe')}")
        tolerances = _GPU_TOLERANCES if on.endswith("gpu") else _TOLERANCES
        check_equal(ours, rival, np.array(tolerances[dtype]), os.path.dirname(batch))
        flop = ours[0].ask("flop")
        workers = [ours[0], rival, *ours[1:]]
        # The check has warmed up.
        seconds = compare(workers, "train", *turns)
        report(dtype, "train", seconds, values.batch_size, flop)
        peaks = [worker.ask("peak") / 1e9 for worker in workers]
        print(f"{'':<20} peak memory {peaks[0]:.2f} GB, PyTorch {peaks[1]:.2f} GB")
        if values.recompute:
            print(
                f"{'':<20} recomputed {peaks[2]:.2f} GB, "
                f"in {_ratio(seconds, 2, 0)} times the time"
            )
        ask_all(workers[:2], "infer", 1)
        seconds = compare(workers[:2], "infer", *turns)
        report(dtype, "infer", seconds, values.batch_size, flop)


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
    """Measures the chosen network in each precision in turn."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    values = flags.FLAGS
    check_torch(values.torch_python)
    frames, size = _NETWORKS[values.network]
    frames, size = values.frames or frames, values.size or size
    print(
        f"{values.network}: {values.rounds} rounds of {values.steps} steps, "
        f"{values.batch_size} clips of {frames} x {size} x {size}, "
        f"{usable_cores()} cores"
    )
    with tempfile.TemporaryDirectory() as directory:
        batch = os.path.join(directory, "batch.npz")
        write_batch(batch, values.batch_size, frames, size)
        for dtype in values.dtype:
            measure(dtype, batch, values)


if __name__ == "__main__":
    flags.DEFINE_enum("network", "r3d_50_g", list(_NETWORKS), "What is measured.")
    flags.DEFINE_bool("recompute", False, "Adds ours with `model.recompute`.")
    flags.DEFINE_integer(
        "frames", None, "Frames of a clip, if not the network's.", lower_bound=1
    )
    flags.DEFINE_integer(
        "size",
        None,
        "Rows and columns of a frame, if not the network's.",
        lower_bound=32,
    )
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
