"""UCF-101's optical flow: the second stream of Table 6, after `ucf101_images.py`.

for split in target_train target_val; do
    python -m tfrecords_tools.add_flow --input_dir=runs/ucf101_images/clips/$split \
        --output_dir=runs/ucf101_flow/$split --method=tvl1
done
python -m experiments.train --config=experiments/omnisource/configs/ucf101_flow.py \
    --config.data.train=runs/ucf101_flow/target_train --workdir=runs/ucf101_flow/tsn
python -m experiments.evaluate --checkpoint=runs/ucf101_flow/tsn \
    --dataset=runs/ucf101_flow/target_val --output_dir=runs/ucf101_flow/evaluation \
    --num_frames=25 --num_crops=10
python -m experiments.evaluate --weights=1,1 --output_dir=runs/two_streams \
    --predictions=runs/ucf101_images/seed_0/evaluation/images/predictions.npz,\
runs/ucf101_flow/evaluation/predictions.npz

Web images have no flow, so both rows have the same second stream: 93.47 without and
94.58 with images in the paper, not reproduced here. Open: a frame of a segment has its
own flow here, in two channels; TSN stacks that of five frames. ImageNet's first kernel
is the mean over its colours, once per channel.
"""

from __future__ import annotations

from experiments.omnisource.configs import recipes


def get_config():
    """TSN on the flow of three segments."""
    config = recipes.tsn()
    config.model.normalization = "symmetric"  # flow, at most 20 pixels, in [-1, 1]
    config.data.modality = "flow"
    return config
