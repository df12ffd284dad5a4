"""Mini-Kinetics-200 with the web data that the authors released.

python -m experiments.run_pipeline \
    --config=experiments/omnisource/configs/mini_kinetics200.py:slow_only \
    --workdir=runs/mini_kinetics200_slow_only

Reads, in `data/mini_kinetics200`, `classes.txt`, `target.csv` (splits train and val),
`google_images.csv`, `instagram_images.csv`, `instagram_videos.csv`, `untrimmed.csv`,
and the files in folders of these names. The argument is `slow_only` (SlowOnly-8x8, from
scratch) or `tsn` (TSN-8seg, from ImageNet); `smoke` after it needs no data. The
released networks' top-1, not reproduced here:

| | target | Google images | all images | videos | untrimmed | all |
| --- | --- | --- | --- | --- | --- | --- |
| TSN-8seg | 77.4 | 78.0 | 78.6 | 80.6 | 78.6 | 81.3 |
| SlowOnly-8x8 | 78.6 | 80.8 | 81.3 | 82.4 | 80.3 | 82.9 |
"""

from __future__ import annotations

from experiments.omnisource.config import TARGET
from experiments.omnisource.configs import files, kinetics400, recipes

_ROWS = (TARGET, "google", "images", "videos", "untrimmed", "all")
_PAPER = {
    "slow_only": (0.786, 0.808, 0.813, 0.824, 0.803, 0.829),
    "tsn": (0.774, 0.780, 0.786, 0.806, 0.786, 0.813),
}


def get_config(argument: str = ""):
    """The rows of the released networks.

    Args:
        argument: A network, and `smoke`, see above.
    """
    network, is_smoke = files.parse_argument(argument, tuple(_PAPER))
    config = kinetics400.get_config("tsn" if network == "tsn" else "slow_only")
    config.title = f"Mini-Kinetics-200, {network}"
    files.move(config, "kinetics400", "mini_kinetics200")
    if network == "tsn":
        config.train = recipes.tsn(8, learning_rate=0.00375, batch_size=96)
        # 24 : 64 : 12 : 12; half of the images from each of the two.
        for name in kinetics400.IMAGES:
            config.sources[name].share = 64 / 12 / 2
    else:
        config.train = recipes.slow_only(8, 8)
        config.train.data.global_batch_size = 96
        config.train.optimizer.update(learning_rate=0.15, reference_batch_size=96)
        config.train.schedule.warmup.epochs = 0.0
        config.train.schedule.length.epochs = 256.0
    config.strategies = _ROWS
    numbers = {row: (top_1,) for row, top_1 in zip(_ROWS, _PAPER[network], strict=True)}
    config.paper = files.paper("released networks", numbers)
    return files.finish(config, is_smoke)
