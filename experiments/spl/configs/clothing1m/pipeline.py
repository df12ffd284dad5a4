"""Clothing1M: Table 6, from image files to the report.

python -m experiments.run_pipeline \
    --config=experiments/spl/configs/clothing1m/pipeline.py \
    --workdir=runs/clothing1m

Reads, in `data/clothing1m`, `classes.txt` (14 classes), `target.csv` with the clean
images (splits train, of 47,570, and test), `web.csv` with the million noisy ones, and
the dataset's own folder, with all images, as `target/`. 8 GPUs are assumed for the 256
images of a pre-training step. The switch `anchor` adds a row with anchor loss; `smoke`
needs no data.

Forward correction takes its transitions from the teacher's predictions. To count them
from images with both labels instead, run `experiments.build_labels` on their pairs and
give `--config.variants.forward_correction.pretrain.loss.transition=DIR/confusion`.

Numbers to expect, none of them reproduced here, top-1 of Table 6: none 79.43 (noisy
labels as they are, row `weak`), Forward 80.38, CleanNet 79.90, NoiseRank 79.57, SPL
with 196 labels 80.50. The first four are other people's, from networks that may have
started from ImageNet.
"""

from experiments.spl.configs import pipelines
from experiments.spl.configs.clothing1m import finetune, pretrain, teacher

# Top-1, Table 6.
_PAPER = {"weak": 0.7943, "forward_correction": 0.8038, "spl": 0.8050}


def get_config(argument: str = ""):
    """The rows of Table 6 that are trained here, and the usual baselines.

    Args:
        argument: Switches with commas between, see `pipelines`.
    """
    switches = pipelines.parse_switches(argument)
    config = pipelines.on_images("clothing1m")
    config.title = "Clothing1M"
    config.scratch = teacher.recipe()
    config.pretrain = pretrain.recipe()
    config.finetune = finetune.recipe()
    config.data.web.root = config.data.target_train.root
    config.strategies = ("none", "weak", "agreement", "forward_correction", "spl")
    config.paper = {
        "source": "Table 6 (Clothing1M; weak is its row None)",
        "rows": {row: {"top_1": value} for row, value in _PAPER.items()},
    }
    return pipelines.finish(config, switches)
