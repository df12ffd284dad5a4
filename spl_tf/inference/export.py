"""A trained model as a SavedModel that needs nothing of this project."""

from __future__ import annotations

import os
import shutil

import keras
import tensorflow as tf

from spl_tf import data
from spl_tf.clips import write_atomically
from spl_tf.distribution.strategies import make_strategy
from spl_tf.files import move_into_place, temporary_name
from spl_tf.inference.evaluation import open_run
from spl_tf.inference.outputs import is_multi_label, probabilities_of

_CLASSES = os.path.join("assets.extra", "classes.txt")


def export(checkpoint: str, output_dir: str, top_k: int = 5) -> tuple[str, ...]:
    """Writes the model of a finished run as a SavedModel.

    Its function `serve`, which is also the signature `serving_default`, takes `clips`,
    uint8 [B, T, H, W, C], RGB for C = 3. They are neither scaled nor cropped:
    T frames at the stride of training and crops of the size of training are what the
    model knows; others work too. It returns

    - `class_names`, strings [B, k], the k classes of highest probability, best first;
    - `probabilities`, float32 [B, k], theirs;
    - `all_probabilities`, float32 [B, C], in class order, which is that of the lines
      of `assets.extra/classes.txt`.

    Args:
        checkpoint: Workdir of the finished run.
        output_dir: Folder of the SavedModel to make.
        top_k: Classes per clip, k; all if there are fewer.

    Returns:
        The class names, in the order of the outputs.

    Raises:
        FileExistsError: `output_dir` exists.
        FileNotFoundError: There is no finished run.
        ValueError: `top_k` is below 1.
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}, expected 1 or more")
    if os.path.exists(output_dir):
        raise FileExistsError(
            f"{output_dir} exists; choose another folder, or delete it"
        )
    config, names, model = open_run(checkpoint, make_strategy("one"))

    def serve(clips):
        logits = model(data.unit_pixels(clips), training=False)
        every = probabilities_of(tf.cast(logits, tf.float32), is_multi_label(config))
        best, places = tf.math.top_k(every, min(top_k, len(names)))
        return {
            "class_names": tf.gather(tf.constant(names), places),
            "probabilities": best,
            "all_probabilities": every,
        }

    archive = keras.export.ExportArchive()
    archive.track(model)
    clips = tf.TensorSpec([None] * 4 + [model.input_shape[-1]], tf.uint8, name="clips")
    archive.add_endpoint("serve", serve, input_signature=[clips])
    temporary = temporary_name(os.path.normpath(output_dir))
    try:
        archive.write_out(temporary, verbose=False)
        os.makedirs(os.path.dirname(os.path.join(temporary, _CLASSES)))
        lines = "".join(f"{name}\n" for name in names)
        write_atomically(os.path.join(temporary, _CLASSES), lines.encode())
        move_into_place(temporary, output_dir)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return tuple(names)
