"""R3D-50-G with the paper's pre-training recipe (section 4.2), on your own clips.

python -m experiments.train --config=experiments/spl/configs/r3d_50_g.py \
    --config.data.train=clips/web_teacher --config.data.label_map=labels/label_map \
    --workdir=runs/pretrain

The learning rate is for a global batch of 384 (64 replicas x 6 clips: an assumption,
the paper gives the batch per replica only) and is scaled to the replicas at hand. The
paper's accuracies have not been reproduced with it.
"""

from experiments.spl.configs import recipes


def get_config():
    """Ten epochs of warm-up and 150 more, from random weights."""
    return recipes.video(epochs=150.0)
