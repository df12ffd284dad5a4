"""Training on a CPU in minutes: a small network for clips of 28 x 28 pixels.

python -m experiments.train --config=experiments/spl/configs/tiny.py \
    --config.data.train=clips/target --config.data.validation=clips/val \
    --workdir=runs/teacher

2,640 steps of 32 clips took 31 seconds on one core. For a GPU and real videos there is
`r3d_50_g.py`.
"""

from spl_tf import training


def get_config():
    """A recipe for the target clips and the web clips of the synthetic world."""
    return recipe(learning_rate=0.1, steps=2800)


def recipe(learning_rate: float, steps: int):
    """A network of 30,000 parameters on 4 frames of 24 x 24, and its schedule."""
    config = training.default_config()
    config.model.name = "r3d_tiny_g"
    config.model.dropout = 0.0
    config.data.update(num_frames=4, stride=2, crop_size=24, batch_size=32)
    config.augmentation.update(brightness=0.1, contrast=0.2, saturation=0.2, hue=0.05)
    config.optimizer.update(
        learning_rate=learning_rate, reference_batch_size=32, weight_decay=1e-4
    )
    config.schedule.update(
        warmup={"steps": steps // 10, "epochs": 0.0},
        length={"steps": steps - steps // 10, "epochs": 0.0},
        warmup_start=0.0,
    )
    config.runtime.cache_gb = 0.5
    return config
