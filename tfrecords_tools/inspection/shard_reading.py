"""Reading shards from front to back, without an index."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from spl_tf import binary
from spl_tf.clips.framing import FOOTER_BYTES, HEADER_BYTES, masked_crc
from spl_tf.cores import usable_cores
from tfrecords_tools.conversion.shard_job import WorkerDiedError

_Result = TypeVar("_Result")

_GZIP_MAGIC = b"\x1f\x8b"


class FramingError(ValueError):
    """Where a record should start there is none, so the rest of the shard is lost."""


def record_length(header: bytes, available: int) -> int:
    """Returns the bytes of a record's data, from the header in front of them.

    Args:
        header: The first `HEADER_BYTES` of the record.
        available: Bytes from the start of the header to the end of the shard.

    Raises:
        FramingError: The header is damaged, or the shard ends within the record.
    """
    if available < HEADER_BYTES + FOOTER_BYTES or len(header) < HEADER_BYTES:
        raise FramingError(
            f"the shard ends after {available} bytes of a record, expected at least "
            f"{HEADER_BYTES + FOOTER_BYTES}"
        )
    length, checksum = struct.unpack("<QI", header)
    if checksum != masked_crc(header[:8]):
        if header.startswith(_GZIP_MAGIC):
            raise FramingError(
                "the shard is compressed with GZIP, so that no record of it can be "
                "found by its offset; write it again without compression"
            )
        raise FramingError(
            "the checksum of the length field is wrong: the shard is damaged, "
            "compressed or no TFRecord file"
        )
    if HEADER_BYTES + length + FOOTER_BYTES > available:
        raise FramingError(
            f"the shard ends after {available} bytes of a record that has "
            f"{HEADER_BYTES + length + FOOTER_BYTES}"
        )
    return length


def map_shards(
    function: Callable[[str], _Result], names: Sequence[str], num_workers: int
) -> Iterator[_Result]:
    """Yields `function(name)` of every shard, in order, as they come.

    Args:
        function: Called in the workers, so it must be picklable.
        names: File names of the shards, one call each.
        num_workers: Processes; 0 for one per core, 1 for this process alone.

    Raises:
        WorkerDiedError: A process was killed, by the system or from outside.
    """
    workers = min(num_workers or usable_cores(), len(names))
    if workers <= 1:
        yield from map(function, names)
        return
    context = multiprocessing.get_context("spawn")  # forking after TensorFlow hangs
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, context, binary.prepare_worker
    )
    done = 0
    try:
        with pool:
            for result in pool.map(function, names):
                yield result
                done += 1
    except BrokenProcessPool as error:
        raise WorkerDiedError(
            f"a worker process was killed while {names[done]} was next, perhaps for "
            "using too much memory: try fewer --num_workers; a program of your own "
            'must call this below `if __name__ == "__main__":`'
        ) from error
