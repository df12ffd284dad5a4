"""Runs as training leaves them, and clips with something to see, without training."""

import dataclasses
import io

import numpy as np
from PIL import Image

from spl_tf import training
from spl_tf.runs import checkpoints, run_folder
from tests.conftest import jpeg, make_clip

NUM_FRAMES, STRIDE, CROP = 2, 2, 16


def write_run(
    workdir, class_names, seed=0, crop_size=CROP, modality="rgb", **model_settings
):
    """Writes a run of 2 frames at stride 2, whose weights are random; all of them."""
    config = training.default_config()
    config.model.update(name="r3d_tiny_g", **model_settings)
    config.data.update(num_frames=NUM_FRAMES, stride=STRIDE, crop_size=crop_size)
    config.data.modality = modality
    run_folder.claim_workdir(str(workdir), config, label_names=list(class_names))
    model = run_folder.build_from_config(config, len(class_names))
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.path.endswith(("variance", "gamma")):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        else:
            weight.assign(rng.normal(0, 0.2, weight.shape))
    checkpoints.save_weights(str(workdir), model)
    return str(workdir)


def textured_clip(number, label, names, frames=8, size=(20, 36)):
    """A clip of smooth random images, so that frames and crops differ."""
    rng = np.random.default_rng(number)
    images = []
    for _ in range(frames):
        coarse = rng.integers(0, 256, (3, 5, 3), np.uint8)
        image = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
        images.append(np.asarray(image))
    clip = make_clip(number, label, frames=frames, size=size, names=names)
    return dataclasses.replace(clip, frames=tuple(jpeg(image) for image in images))


def decode(clip):
    """The frames of a clip by PIL, uint8 [T, H, W, 3]."""
    return np.stack(
        [np.asarray(Image.open(io.BytesIO(frame))) for frame in clip.frames]
    )


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)
