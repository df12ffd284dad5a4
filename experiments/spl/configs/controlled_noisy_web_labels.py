"""Controlled Noisy Web Labels from TFDS: mini-ImageNet with real noise from the web.

python -m experiments.run_pipeline \
    --config=experiments/spl/configs/controlled_noisy_web_labels.py:80 \
    --workdir=runs/controlled_noisy_web_labels_80

The argument is the share of wrong labels in percent: 0, 5, 10, 15, 20, 30, 40, 50, 60
or 80 (80 without one). First `tfds build controlled_noisy_web_labels`, which needs the
images by hand, as TFDS says. 100 classes, images of 84 x 84 pixels. `80,smoke` needs no
data.

One GPU is assumed to do. The SPL papers have no numbers for it, and nothing has been
measured here. Every choice below is this project's: ResNet-18, the schedule, and a
fifth of the clean training images as the target set. Some of these are also in the
noisy set, with the same right labels.
"""

from experiments.spl.config import PHASES, default_config
from experiments.spl.configs import pipelines, recipes

_NOISE = (0, 5, 10, 15, 20, 30, 40, 50, 60, 80)
_NAME = "controlled_noisy_web_labels/mini_imagenet_red"


def get_config(argument: str = ""):
    """Weak labels, filtering, forward correction and SPL on one share of noise.

    Args:
        argument: The share in percent, and switches, see `pipelines`.

    Raises:
        ValueError: TFDS has no such share of noise.
    """
    noise, switches = pipelines.parse_argument(argument)
    noise = noise or "80"
    if noise not in map(str, _NOISE):
        raise ValueError(f"the noise is {noise!r} %, expected one of {_NOISE}")
    config = pipelines.on_images("controlled_noisy_web_labels")
    config.title = f"Controlled Noisy Web Labels, {noise} % noise"
    config.strategies = ("none", "weak", "agreement", "forward_correction", "spl_b")
    splits = {
        "target_train": "train_00[:20%]",
        "target_val": "validation",
        "web": f"train_{int(noise):02d}",
    }
    config.data = default_config().data  # no manifests
    for name, split in splits.items():
        config.data[name].update(kind="tfds", name=_NAME, split=split)
    config.conversion.short_side = 0  # they are 84 x 84
    config.scratch = recipes.image_teacher()
    config.pretrain = recipes.image_pretraining()
    config.finetune = recipes.image_finetuning()
    for phase in PHASES:
        config[phase].model.name = "resnet_18"
        config[phase].data.crop_size = 80
        config[phase].init.inflate = ""
    return pipelines.finish(config, switches)
