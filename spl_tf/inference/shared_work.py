"""A network's work on a dataset that independent processes share."""

from __future__ import annotations

from spl_tf.data.sampling import NUM_CROPS


def check_options(
    batch_size: int,
    num_clips: int,
    num_crops: int,
    strategy: str,
    worker: int,
    num_workers: int,
    overwrite: bool,
) -> None:
    """Raises ValueError for what cannot be done, before any work; see `predict`."""
    for name, value, is_possible, expected in (
        ("batch_size", batch_size, batch_size >= 1, "1 or more"),
        ("num_clips", num_clips, num_clips >= 1, "1 or more"),
        ("num_crops", num_crops, num_crops in NUM_CROPS, f"one of {NUM_CROPS}"),
        ("num_workers", num_workers, num_workers >= 1, "1 or more"),
        ("worker", worker, 0 <= worker < num_workers, f"0 to {num_workers - 1}"),
    ):
        if not is_possible:
            raise ValueError(f"{name} is {value}, expected {expected}")
    if strategy == "multi_worker":
        raise ValueError(
            "strategy is 'multi_worker', but this needs no communication: start it in "
            "each process with its worker and num_workers instead"
        )
    if overwrite and num_workers > 1:
        raise ValueError(
            "overwrite is for one process: of several workers, one would remove what "
            "another has written. Remove the output first"
        )
