"""Writes a dataset again with a teacher's predictions in every record.

python -m experiments.predict --checkpoint=runs/teacher --input_dir=clips/web \
    --output_dir=clips/web_teacher
"""

from __future__ import annotations

from absl import app, flags

from spl_tf import binary
from spl_tf.training import predict


def main(argv: list[str]) -> None:
    """Reads the flags, predicts, prints what was written."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    values = flags.FLAGS
    info = predict(
        values.checkpoint,
        values.input_dir,
        values.output_dir,
        batch_size=values.batch_size,
        top_k=values.top_k,
        strategy=values.strategy,
    )
    print(f"{values.output_dir}: {info.num_clips} clips in {len(info.shards)} shards")


if __name__ == "__main__":
    flags.DEFINE_string("checkpoint", None, "The teacher's workdir.", required=True)
    flags.DEFINE_string("input_dir", None, "Dataset to label.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
    flags.DEFINE_integer("batch_size", 32, "Clips per replica.")
    flags.DEFINE_integer("top_k", 5, "Classes to keep per clip.")
    flags.DEFINE_string("strategy", "auto", "auto, one or mirrored.")
    binary.run(main)
