"""Trains a model: a teacher, a pre-training or a fine-tuning.

python -m experiments.train --config=experiments/configs/r3d_50_g.py \
    --config.data.train=clips/target --config.data.validation=clips/val \
    --workdir=runs/teacher

The same command continues a run that was stopped.
"""

from __future__ import annotations

import json

from absl import app, flags
from ml_collections import config_flags

from spl_tf import binary
from spl_tf.training import STOPPED_EXIT_CODE, TrainingStopped, train


def main(argv: list[str]) -> int:
    """Reads the flags, trains, prints the results."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    try:
        results = train(flags.FLAGS.config, flags.FLAGS.workdir)
    except TrainingStopped as stopped:
        print(stopped)
        return STOPPED_EXIT_CODE
    print(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "See spl_tf.training.config.")
    flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
    flags.mark_flag_as_required("config")
    binary.run(main)
