"""Writes a trained model as a SavedModel that takes uint8 clips.

python -m experiments.export --checkpoint=runs/finetuned --output_dir=served

The SavedModel loads where only TensorFlow is installed:

    serve = tf.saved_model.load("served").serve
    best = serve(clips)  # uint8 [B, T, H, W, 3], RGB
    best["class_names"], best["probabilities"]  # [B, k], best first
"""

from __future__ import annotations

from absl import flags

from spl_tf import binary
from spl_tf.inference.export import export


def main(argv: list[str]) -> None:
    """Reads the flags, exports, prints what was written."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    names = export(values.checkpoint, values.output_dir, values.top_k)
    print(f"{values.output_dir}: a SavedModel of {len(names)} classes")


if __name__ == "__main__":
    flags.DEFINE_string("checkpoint", None, "Workdir of the run.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder to make.", required=True)
    flags.DEFINE_integer("top_k", 5, "Classes to name per clip.", lower_bound=1)
    binary.run(main)
