"""UCF-101 with web images: the RGB stream of Table 6.

python -m experiments.run_pipeline \
    --config=experiments/omnisource/configs/ucf101_images.py \
    --workdir=runs/ucf101_images

Reads, in `data/ucf101`, `classes.txt`, `target.csv` (one official division into train
and val), `google_images.csv`, and the files in `target/` and `google_images/`; `smoke`
needs no data. Top-1, not reproduced here: 86.04 without, 88.74 with images. Open: the
paper's network is BN-Inception, here it is ResNet-50.

The second stream sees optical flow, see `ucf101_flow.py`; its saved predictions are
fused with those of a row (93.47 and 94.58 in the paper).
"""

from __future__ import annotations

from experiments.omnisource.config import TARGET
from experiments.omnisource.configs import files, recipes
from experiments.pipeline.rules import set_rows

_PAPER = {TARGET: (0.8604,), "images": (0.8874,)}


def get_config(argument: str = ""):
    """The rows of the RGB stream.

    Args:
        argument: "", or "smoke" for a run of a minute.
    """
    _, is_smoke = files.parse_argument(argument, ("images",))
    config = files.experiment("ucf101", "UCF-101 with web images", ("google_images",))
    config.train = recipes.tsn()
    rows = {TARGET: {}, "images": {"sources": ("google_images",)}}
    set_rows(config, rows)
    config.paper = files.paper("Table 6, RGB", _PAPER)
    return files.finish(config, is_smoke)
