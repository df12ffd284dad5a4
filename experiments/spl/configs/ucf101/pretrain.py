"""UCF-101: pre-training, which is that of Kinetics-200.

The same as `kinetics200/pretrain.py`, with its arguments and its workdir. The paper
takes spl_b on 285K videos for this target.
"""

from experiments.spl.configs.kinetics200.pretrain import get_config

__all__ = ["get_config"]
