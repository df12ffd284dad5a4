"""Prints the sizes of a network, stage by stage; nothing is run.

python -m experiments.model_summary --name=r3d_50_g --input_shape=16,224,224,3
"""

from __future__ import annotations

from absl import flags

from spl_tf import binary
from spl_tf.models import MODEL_NAMES, build_model, format_summary, summarize


def summary(name: str, input_shape: list[str], num_classes: int) -> str:
    """The table of a network.

    Args:
        name: Name of the network, one of `MODEL_NAMES`.
        input_shape: T, H, W and C, as written.
        num_classes: Number of classes that the head tells apart.

    Raises:
        ValueError: There is no such network, or it cannot take such an input.
    """
    try:
        sizes = tuple(int(size) for size in input_shape)
    except ValueError:
        raise ValueError(
            f"input_shape is {','.join(input_shape)}, expected T,H,W,C in whole numbers"
        ) from None
    return format_summary(summarize(build_model(name, num_classes, sizes)))


def main(argv: list[str]) -> None:
    """Reads the flags, prints the table."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    print(summary(values.name, values.input_shape, values.num_classes))


if __name__ == "__main__":
    flags.DEFINE_string("name", None, ", ".join(MODEL_NAMES), required=True)
    flags.DEFINE_list("input_shape", None, "T,H,W,C of a clip.", required=True)
    flags.DEFINE_integer("num_classes", 400, "Classes of the head.")
    binary.run(main)
