"""UCF-101 and HMDB-51 after Kinetics-400, with and without web data: Table 4.

python -m experiments.run_pipeline \
    --config=experiments/omnisource/configs/transfer.py:ucf101 \
    --workdir=runs/ucf101_omnisource

Reads `data/ucf101` or `data/hmdb51` (`classes.txt`, `target.csv` with one official
division into train and val, the videos in `target/`), and the runs `target` and `all`
of `runs/kinetics400_slow_only`, which must be there
(`--config.teachers.with_web=DIR` for another). Top-1 without / with, not reproduced
here: UCF-101 94.7 / 96.0, HMDB-51 69.4 / 70.7 (SlowOnly-4x16 from ImageNet; with TSN
91.5 / 93.3 and 63.5 / 65.9, from scratch 94.1 / 96.0 and 65.8 / 71.0).
"""

from __future__ import annotations

from experiments.omnisource.configs import files, recipes
from experiments.pipeline.rules import set_rows

_PAPER = {
    "ucf101": {"without_web": (0.947,), "with_web": (0.960,)},
    "hmdb51": {"without_web": (0.694,), "with_web": (0.707,)},
}
_RUNS = "runs/kinetics400_slow_only/seed_0/runs"


def get_config(argument: str = ""):
    """Two rows, which start from networks trained without and with web data.

    Args:
        argument: `ucf101` or `hmdb51`, and `smoke`, which starts from the smoke run of
            Kinetics-400 in `runs/kinetics400_slow_only_smoke`.
    """
    dataset, is_smoke = files.parse_argument(argument, tuple(_PAPER))
    config = files.experiment(dataset, f"{dataset}, after Kinetics-400")
    runs = _RUNS.replace("slow_only", "slow_only_smoke") if is_smoke else _RUNS
    teachers = {"without_web": f"{runs}/target", "with_web": f"{runs}/all"}
    config.teachers = teachers
    set_rows(config, {name: {"start": name} for name in teachers})
    config.train = recipes.fine_tuning()
    config.paper = files.paper("Table 4, SlowOnly-4x16", _PAPER[dataset])
    return files.finish(config, is_smoke)
