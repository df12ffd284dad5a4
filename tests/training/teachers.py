"""Teachers that tests predict with, and what a folder holds."""

import numpy as np

from spl_tf import training
from spl_tf.runs import run_folder
from spl_tf.runs.checkpoints import save_weights

# A network that looks at frames alone.
TWO_D = {"name": "resnet_18", "width": 0.05, "depth": 1e-9}


def write_teacher(workdir, class_names="abc", seed=12, model=None, **data_settings):
    """Writes a finished run of a small network whose weights are drawn from a seed."""
    config = training.default_config()
    config.model.name = "r3d_tiny_g"
    config.model.update(model or {})
    config.data.update({"num_frames": 2, "stride": 2, "crop_size": 16} | data_settings)
    run_folder.claim_workdir(str(workdir), config, label_names=list(class_names))
    model = run_folder.build_from_config(config, len(class_names))
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        layer.set_weights([_drawn(generator, each) for each in layer.get_weights()])
    save_weights(str(workdir), model)
    return str(workdir)


def _drawn(generator, weight):
    if weight.ndim < 2:  # biases and what normalizes stay as they are
        return weight
    return generator.normal(0, 2 / np.sqrt(weight[..., 0].size), weight.shape)


def contents(directory):
    """Every file below a folder with its bytes."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
