"""A whole experiment by one command, from video files to a report.

python -m experiments.run_pipeline --config=experiments/spl/configs/synthetic.py \
    --workdir=runs/demo --jobs=2

`config.experiment` names the paper whose stages run, a folder of `experiments/`. Those
of `spl`: render -> convert -> teacher -> predict -> for each strategy: build_labels ->
pretrain -> finetune -> evaluate -> report. The same command continues a run that was
stopped. After a change of the config or of an input it runs again what depends on that,
and says why; rendered and converted data, runs and predictions that are replaced stay
in `stale/`. `--dry_run` shows what would run, how long it takes and how much disk.

`--stages=pretrain,'seed_0/spl_b/*'`, `--strategies=none,spl_b` and `--seeds=0,1` choose
what may run. Exit code 0: all there; 1: a stage failed, its log is named, or could
not run, and the others' results are in the table; 75: stopped by SIGTERM, and saved.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from absl import app, flags
from ml_collections import config_flags

from experiments.pipeline import server
from spl_tf import binary
from spl_tf.cores import usable_cores


def main(argv: list[str]) -> int:
    """Reads the flags, runs the pipeline, prints the table."""
    binary.no_arguments(argv)
    # Here and not above: it imports TensorFlow, which the server does meanwhile.
    from experiments.pipeline import registry, runner
    from spl_tf.distribution.interruption import WorkdirBusyError
    from spl_tf.training import STOPPED_EXIT_CODE, TrainingStopped

    values = flags.FLAGS
    arguments = {
        "stages": tuple(values.stages),
        "rows": tuple(values.strategies),
        "seeds": parse_seeds(values.seeds),
        "jobs": values.jobs or usable_cores(),
    }
    if values.dry_run:
        print(runner.describe_plan(values.config, values.workdir, **arguments))
        return 0
    try:
        found = runner.run_pipeline(
            values.config, values.workdir, threads=values.threads, **arguments
        )
    except TrainingStopped as stopped:
        print(stopped)
        return STOPPED_EXIT_CODE
    except WorkdirBusyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{registry.find(values.config).format_table(found)}\n")
    for name in ("results.json", "report/index.html"):
        path = os.path.join(values.workdir, name)
        if os.path.exists(path):
            print(path)
    return int(any(map(runner.is_unfinished, found["stages"])))


def parse_seeds(texts: Iterable[str]) -> tuple[int, ...]:
    """The numbers of `--seeds`.

    Raises:
        UsageError: One of the texts is no number.
    """
    seeds = []
    for text in texts:
        try:
            seeds.append(int(text))
        except ValueError:
            raise app.UsageError(f"--seeds: {text!r} is no number") from None
    return tuple(seeds)


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "The experiment.")
    flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
    flags.DEFINE_list("stages", [], "Run only these: names, last parts, or patterns.")
    flags.DEFINE_list("strategies", [], "Run only these rows of the table.")
    flags.DEFINE_list("seeds", [], "Run only these; may be others than the config's.")
    flags.DEFINE_integer(
        "jobs", 1, "Stages at a time; 0 for one per core.", lower_bound=0
    )
    flags.DEFINE_integer(
        "threads", 0, "TensorFlow's in each stage; 0 shares the cores.", lower_bound=0
    )
    flags.DEFINE_bool("dry_run", False, "Show what would run; touch nothing.")
    flags.mark_flag_as_required("config")
    server.start()
    binary.run(main)
