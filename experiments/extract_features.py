"""Writes a network's features of all clips of a dataset, one `.npz` file.

python -m experiments.extract_features --checkpoint=runs/motion --dataset=clips/web \
    --output=runs/motion/web.npz --num_clips=4

The network is any finished run, also one that `experiments.import_weights` made; of
each clip the mean over its views counts. `experiments.cluster_features` and
`experiments.retrieve` take the file.

The same command continues one that was stopped; what is finished is kept, shard by
shard, in a hidden folder beside the output. Several processes share the work as those
of `experiments.predict` do. Stopped by SIGTERM, it ends with exit code 75.
"""

from __future__ import annotations

import inspect

from absl import flags

from experiments.predict import choose_part
from spl_tf import binary, data
from spl_tf.inference.feature_extraction import extract_features
from spl_tf.training import STOPPED_EXIT_CODE, TrainingStopped

_PARTS = ("worker", "num_workers")


def main(argv: list[str]) -> int:
    """Reads the flags, extracts, prints what was written."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    worker, num_workers = choose_part(values.worker, values.num_workers)
    names = inspect.signature(extract_features).parameters
    try:
        found = extract_features(
            worker=worker,
            num_workers=num_workers,
            **{name: values[name].value for name in names if name not in _PARTS},
        )
    except TrainingStopped as stopped:
        print(stopped)
        return STOPPED_EXIT_CODE
    if found is None:
        print(
            f"{values.output}: worker {worker} of {num_workers} is done, others have "
            "shards to look at"
        )
    else:
        clips, numbers = found.features.shape
        bad = len(found.skipped)
        print(
            f"{values.output}: {numbers:,} numbers of each of {clips:,} clips"
            + (f", bad records left out: {bad}" if bad else "")
        )
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("checkpoint", None, "Workdir of a run.", required=True)
    flags.DEFINE_string("dataset", None, "Folder of the clips.", required=True)
    flags.DEFINE_string("output", None, "The .npz file to write.", required=True)
    flags.DEFINE_integer("num_clips", 1, "Runs of frames per clip; views are averaged.")
    flags.DEFINE_integer("num_crops", 1, "Crops of each run: 1, 3 or 10.")
    flags.DEFINE_integer("batch_size", 8, "Clips per replica.", lower_bound=1)
    flags.DEFINE_string("strategy", "auto", "auto, one or mirrored.")
    binary.define_view_flags(positions=False)
    flags.DEFINE_integer("worker", None, "This process, from 0.")
    flags.DEFINE_integer("num_workers", None, "Processes that share the work.")
    flags.DEFINE_bool("overwrite", False, "Replace the features in --output.")
    flags.DEFINE_enum(
        "on_bad_record", "error", ("error", "skip"), "skip: leave the clip out."
    )
    flags.DEFINE_integer(
        "max_bad_records", data.MAX_BAD_RECORDS, "With skip, more are an error."
    )
    binary.run(main)
