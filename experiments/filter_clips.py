"""Tells what a filter keeps of each class of a dataset, before it is trained with.

python -m experiments.filter_clips --dataset=clips/web_teacher --agreement \
    --output_dir=runs/filter/web

The rules are those of a training's source (`config.data.sources.NAME.filter`), and look
at what `python -m experiments.predict` has written. A clip counts as one of the class
that it is labelled with, or with `--labels=teacher` of the one that the teacher sees.

Filtering makes classes less even (OmniSource, section 3.6). Writes `classes.csv`, the
clips of each class before and after; `classes.svg`, the same as a picture (Figure 3);
and `results.json`, with the share that is kept and how even the classes are. A class
that loses all its clips is warned of.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Mapping
from typing import Any

from absl import flags, logging

from spl_tf import binary, clips, data
from spl_tf.analysis.report.filtering import filter_chart
from spl_tf.analysis.report.shell import picture_file
from spl_tf.labels.filters import ClipFilter, KeptClips, counts_per_class, read_filter
from spl_tf.runs import run_folder

LABELS = ("record", "teacher")
_CLASSES, _PICTURE, _RESULTS = "classes.csv", "classes.svg", "results.json"
_RULES = [field.name for field in dataclasses.fields(ClipFilter)]


def filter_clips(
    dataset: str, output_dir: str, rules: Mapping[str, Any], labels: str = "record"
) -> KeptClips:
    """Applies a filter and writes what it keeps.

    Args:
        dataset: Folder of the clips to filter.
        output_dir: Folder for the files, which are replaced.
        rules: Rules by name, as in `config.data.sources.NAME.filter`, see
            `read_filter`.
        labels: What says which class a clip is of: "record", the label in it, of
            several the first; or "teacher", the teacher's first choice.

    Raises:
        FileNotFoundError: The dataset, or the list of excluded ids, is not there.
        ValueError: A rule is impossible, the dataset lacks what it looks at, a label is
            no class, or no clip is kept.
    """
    if labels not in LABELS:
        raise ValueError(f"labels is {labels!r}, expected one of {LABELS}")
    clip_filter = read_filter(rules)
    opened = clips.ClipDataset(dataset)
    column = "teacher" if labels == "teacher" else "label"
    if labels == "teacher":
        data.check_predicted(opened, "labels 'teacher'")
    data.check_labels(opened, column)
    passed = data.apply_filter(opened, clip_filter, "the filter")
    if not passed.any():
        raise ValueError(
            f"{dataset}: the filter keeps none of {len(opened)} clips; make its rules "
            "less strict"
        )
    names = opened.info.class_names
    kept = KeptClips(counts_per_class(opened.index.column(column), passed, names))
    if emptied := kept.emptied:
        logging.warning(
            "the filter keeps no clip of %d classes of %s: %s",
            *(len(emptied), dataset, ", ".join(emptied)),
        )
    settings = {"dataset": dataset, "labels": labels, "filter": dict(rules)}
    _write(output_dir, kept, settings)
    return kept


def read_kept(output_dir: str) -> KeptClips:
    """What `filter_clips` found.

    Raises:
        FileNotFoundError: `filter_clips` has not run there.
        ValueError: Its `results.json` is damaged.
    """
    counts = run_folder.read_json(os.path.join(output_dir, _RESULTS))["counts"]
    return KeptClips({name: tuple(pair) for name, pair in counts.items()})


def _write(output_dir: str, kept: KeptClips, settings: dict[str, Any]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "before", "after"])
    writer.writerows([name, *pair] for name, pair in kept.counts.items())
    picture = picture_file(filter_chart("classes", "", kept))
    os.makedirs(output_dir, exist_ok=True)
    for name, content in ((_CLASSES, text.getvalue()), (_PICTURE, picture)):
        clips.write_atomically(os.path.join(output_dir, name), content.encode())
    balance = map(dataclasses.asdict, kept.balance)
    results = {
        **settings,
        "clips": kept.before,
        "kept": kept.after,
        "share": kept.share,
        "balance": dict(zip(("before", "after"), balance, strict=True)),
        "emptied": kept.emptied,
        "counts": kept.counts,
    }
    run_folder.write_json(os.path.join(output_dir, _RESULTS), results)


def summary(kept: KeptClips, shown: int) -> str:
    """What is kept, for a reader; of many classes those that lose most."""
    losses = sorted(kept.counts.items(), key=lambda each: each[1][1] - each[1][0])
    lines = [f"{'before':>9}  {'after':>9}  {'kept':>6}  class"]
    for name, (before, after) in losses[:shown]:
        share = f"{after / before:.1%}" if before else "-"
        lines.append(f"{before:9,}  {after:9,}  {share:>6}  {name}")
    if len(losses) > shown:
        lines.append(f"... and {len(losses) - shown:,} classes that lose fewer")
    lines.append(f"{kept.before:9,}  {kept.after:9,}  {kept.share:6.1%}  all")
    before, after = (dataclasses.asdict(each) for each in kept.balance)
    lines.append("\n   before      after")
    lines += [
        f"{before[key]:9.4g}  {after[key]:9.4g}  {key.replace('_', ' ')}"
        for key in before
    ]
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Reads the flags, filters, prints what is kept."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    kept = filter_clips(
        values.dataset,
        values.output_dir,
        {name: values[name].value for name in _RULES},
        values.labels,
    )
    print(f"{summary(kept, values.shown)}\n\nwrote {values.output_dir}")


if __name__ == "__main__":
    flags.DEFINE_string("dataset", None, "Folder of the clips.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    flags.DEFINE_bool("agreement", False, "Teacher and label must be the same.")
    flags.DEFINE_float("min_confidence", 0.0, "Least, of the teacher's first choice.")
    flags.DEFINE_float("min_label_confidence", 0.0, "Least, that it gives the label.")
    flags.DEFINE_float("keep_fraction", 1.0, "Of what is left, the most confident.")
    flags.DEFINE_bool("per_class", True, "Whether that is of each label's clips.")
    flags.DEFINE_string(
        "exclude_ids", "", "File of media ids to leave out, one a line."
    )
    flags.DEFINE_enum("labels", "record", LABELS, "Of which class a clip is.")
    flags.DEFINE_integer("shown", 20, "Classes to print.", lower_bound=0)
    binary.run(main)
