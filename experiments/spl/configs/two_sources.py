"""Target and web clips in one training, after `make demo`, on a CPU in minutes.

python -m experiments.train --config=experiments/spl/configs/two_sources.py \
    --workdir=runs/two_sources

A batch of 32 has 8 of the target's clips and 24 of those web clips whose teacher agrees
with their query; items are mixed in pairs within each source. Another teacher's clips:
`--config.data.sources.web.dataset=clips/web_teacher`; all its keys are in
`spl_tf.training.config.default_source`.
"""

from experiments.spl.configs import tiny
from spl_tf.training.config import default_source


def get_config():
    """The tiny recipe with two sources, a filter, and soft labels."""
    config = tiny.recipe(learning_rate=0.1, steps=2800)
    target, web = default_source(), default_source()
    target.update(dataset="runs/demo/seed_0/clips/target_train", share=1.0)
    web.update(dataset="runs/demo/seed_0/clips/web_teacher", share=3.0)
    web.filter.agreement = True
    config.data.sources = {"target": target, "web": web}
    config.data.validation = "runs/demo/seed_0/clips/target_val"
    config.data.mixup = 0.2
    return config
