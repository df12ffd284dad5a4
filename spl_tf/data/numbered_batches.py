"""Numbered batches as a tf.data.Dataset: loaded in parallel, handed over in order."""

from __future__ import annotations

import concurrent.futures
import functools
import weakref
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from spl_tf.clips import ClipDataset
from spl_tf.cores import usable_cores
from spl_tf.data.closing import ends_in_time

# Decoding JPEGs of up to this many bytes takes less time than the Python around it, of
# which the interpreter runs one thread at a time: a second thread makes it 0.6 times as
# fast at 1.5 kB, 0.8 at 3.2 kB and 1.1 at 6.6 kB.
_ONE_THREAD_BYTES = 5000
_PREFETCHED_BATCHES = 2
RECORD_FIELDS = ("id", "label", "teacher")  # as `ClipLoader.load` gives them


def check_place(batch_sizes, worker: int, num_workers: int, replicas: int) -> None:
    """Raises for a batch size, or a place among workers, that is impossible."""
    if min(batch_sizes) < 1 or replicas < 1 or not 0 <= worker < num_workers:
        raise ValueError(
            f"batch size {min(batch_sizes)}, worker {worker} of {num_workers}, "
            f"{replicas} replicas: expected 1 or more clips and replicas, and a worker "
            "from 0 to below their number"
        )


def record_spec(size: int) -> dict[str, tf.TensorSpec]:
    """What a batch of `size` records has of `RECORD_FIELDS`."""
    dtypes = (tf.string, tf.int64, tf.int64)
    return {
        name: tf.TensorSpec([size], dtype)
        for name, dtype in zip(RECORD_FIELDS, dtypes, strict=True)
    }


def decoding(datasets: Sequence[ClipDataset]) -> tuple[int, Callable[..., Iterable]]:
    """How many threads decode, and what maps a function over the clips of a batch."""
    num_bytes = sum(int(dataset.index.length.sum()) for dataset in datasets)
    frames = sum(int(dataset.index.frames.sum()) for dataset in datasets)
    if num_bytes <= _ONE_THREAD_BYTES * frames:
        return 0, map
    return usable_cores(), _decoders().map


@functools.cache
def _decoders() -> concurrent.futures.ThreadPoolExecutor:
    """The threads that decode, one per core for all pipelines of the process."""
    return concurrent.futures.ThreadPoolExecutor(usable_cores(), "decode")


def in_order(plan, start: int, stop: int) -> tf.data.Dataset:
    """Batches `start` to before `stop` of a plan.

    Args:
        plan: With `load(number)`, which gives a batch's arrays by name, `spec`, what
            they are, `finish(batch)`, which does the rest in the graph, and `threads`,
            which `load` uses.
        start: Number of the first batch.
        stop: Number behind that of the last batch.
    """
    # TensorFlow never lets go of what `numpy_function` calls; the dataset holds the
    # plan, by `load_in_graph`.
    weak_plan = weakref.ref(plan)

    def load(number):
        with ends_in_time():
            columns = weak_plan().load(int(number))
            return [_column(columns[name], spec) for name, spec in specs.items()]

    specs = plan.spec

    @tf.autograph.experimental.do_not_convert  # it has none to convert, and takes long
    def load_in_graph(number):
        dtypes = [spec.dtype for spec in specs.values()]
        columns = tf.numpy_function(load, [number], dtypes, stateful=False)
        batch = {
            name: tf.ensure_shape(column, spec.shape)
            for (name, spec), column in zip(specs.items(), columns, strict=True)
        }
        return plan.finish(batch)

    # While the last clips of one batch are decoded, the next one has begun; batches
    # smaller than the pool need more at a time to keep it busy. Without a pool the call
    # itself decodes.
    calls = 1 + -(-plan.threads // specs["id"].shape[0])
    numbers = tf.data.Dataset.range(start, stop)
    batches = numbers.map(load_in_graph, num_parallel_calls=calls)
    options = tf.data.Options()
    options.deterministic = True
    # A pipeline with autotuning waits, when it is closed, for a thread that sleeps up
    # to a minute between its turns.
    options.autotune.enabled = False
    # Rewriting the graph would copy what the function looks labels up in.
    options.experimental_optimization.apply_default_optimizations = False
    # A call waits for its clips and keeps its thread; TensorFlow's own pool has one
    # per core, and they are for computing.
    options.threading.private_threadpool_size = calls + 1
    # Sharing out the work is the plan's job, not tf.distribute's.
    policy = tf.data.experimental.AutoShardPolicy.OFF
    options.experimental_distribute.auto_shard_policy = policy
    return batches.prefetch(_PREFETCHED_BATCHES).with_options(options)


def _column(values, spec: tf.TensorSpec) -> np.ndarray:
    # As bytes: NumPy's own strings would lose zeros at their end.
    dtype = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
    return np.asarray(values, dtype)
