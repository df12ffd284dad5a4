"""Lists the pairs of classes whose confusion changed most between two evaluations.

python -m experiments.confusing_pairs --before=runs/target_only/val/predictions.npz \
    --after=runs/joint/val/predictions.npz --output=runs/joint/pairs.csv

The confusion score of two classes is the share of their clips that is taken for the
other one, of those that are taken for either (OmniSource, Figure 5). Both files must be
of the same clips. Writes a CSV file of all pairs whose score changed, the largest
change first.
"""

from __future__ import annotations

import csv
import io
import os

from absl import flags

from spl_tf import binary, clips
from spl_tf.inference.fusion import check_same_clips
from spl_tf.inference.scores import Scores
from spl_tf.metrics import ConfusionChange, EvaluationConfusion, confusion_changes


def confusing_pairs(before: str, after: str, output: str) -> list[ConfusionChange]:
    """Compares two evaluations and writes the pairs.

    Args:
        before: The `predictions.npz` of the model to start from.
        after: The `predictions.npz` of another model, for the same clips.
        output: CSV file to write; a former one is replaced.

    Returns:
        The pairs whose score changed, the largest change first.

    Raises:
        FileNotFoundError: A file is not there.
        ValueError: Clips, classes or labels differ, or clips have several labels.
    """
    names = (before, after)
    both = [Scores.load(path) for path in names]
    check_same_clips(both, names)
    if both[0].labels.ndim == 2:
        raise ValueError(
            f"clips of {before} have several labels; confusion is of clips with one"
        )
    counts = [EvaluationConfusion(scores.class_names) for scores in both]
    for confusion, scores in zip(counts, both, strict=True):
        confusion.update(scores.labels, scores.probabilities)
    changes = confusion_changes(*counts)
    changes.sort(key=lambda pair: -abs(pair.after - pair.before))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*ConfusionChange._fields, "change"])
    writer.writerows([*pair, pair.after - pair.before] for pair in changes)
    os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
    clips.write_atomically(output, text.getvalue().encode())
    return changes


def summary(changes: list[ConfusionChange], shown: int) -> str:
    """The pairs that changed most, for a reader."""
    lines = [f"{len(changes):,} pairs changed", "before   after  change"]
    lines += [
        f"{pair.before:6.1%}  {pair.after:6.1%}  {pair.after - pair.before:+6.1%}  "
        f"{pair.first} / {pair.second}"
        for pair in changes[:shown]
    ]
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Reads the flags, compares, prints the pairs."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    changes = confusing_pairs(values.before, values.after, values.output)
    print(f"{summary(changes, values.shown)}\n\nwrote {values.output}")


if __name__ == "__main__":
    flags.DEFINE_string("before", None, "predictions.npz of a model.", required=True)
    flags.DEFINE_string("after", None, "The same of another model.", required=True)
    flags.DEFINE_string("output", None, "CSV file to write.", required=True)
    flags.DEFINE_integer("shown", 10, "Pairs to print.", lower_bound=0)
    binary.run(main)
