r"""Makes a label map from (weak label, teacher prediction) pairs of any framework.

python -m experiments.build_labels --pairs=pairs.csv --classes=classes.txt \
    --strategy=spl_b --output_dir=labels/

The pairs are a CSV with a header (`-` reads standard input; gzip, bzip2, xz and zstd
are recognized) or a Parquet file. Columns named weak, weak_label, query or label, and
teacher, teacher_label, prediction or pred are found; of two columns the first is the
weak label; for others say --weak_column and --teacher_column. Each holds class names or
class indices, and a value that is a name counts as one before it counts as an index.
They are streamed, so they need not fit in memory. `--dataset=DIR` takes the counts of
a dataset of clips with teacher predictions instead.

In the output folder: `label_map/` (`spl_tf.labels.LabelMap.load`), `confusion/`
(`ConfusionMatrix.load`), `confusion.png`, `distribution.png` and, with
`--labels_csv`, `labels.csv` with the columns row (1 is the first row after the
header) and label (-1: discard the clip).
"""

import contextlib
import dataclasses
import os
import secrets
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import tqdm
from absl import flags

from experiments.pair_files import read_pairs
from spl_tf import binary
from spl_tf.analysis.label_plots import plot_class_distribution, plot_confusion
from spl_tf.files import replacing
from spl_tf.labels import (
    STRATEGIES,
    ConfusionMatrix,
    LabelMap,
    build_label_map,
    choose_num_labels,
    read_class_names,
)
from spl_tf.labels.mapping import SIZED_STRATEGIES

# Pairs per chunk of the second pass.
_CHUNK = 1 << 20

# The maps whose distributions are drawn beside the chosen one.
_LABELS_CSV = "labels.csv"
_DRAWN = ("spl_b", "spl_m", "spl_d", "weak")


@dataclasses.dataclass(frozen=True)
class BuildResult:
    """What `build_labels` made.

    Attributes:
        confusion: Counts of all pairs, weak label x teacher.
        label_map: The map of the chosen strategy.
        label_maps: The maps of all strategies by name; without `spl` if its N * N
            labels do not fit in int32.
        table: The comparison of all strategies, as text.
        notes: Warnings about the maps, such as a num_labels that cannot be reached.
    """

    confusion: ConfusionMatrix
    label_map: LabelMap
    label_maps: dict[str, LabelMap]
    table: str
    notes: tuple[str, ...]


def build_labels(
    output_dir: str | os.PathLike,
    strategy: str,
    pairs: str | None = None,
    classes: str | os.PathLike | None = None,
    dataset: str | os.PathLike | None = None,
    num_labels: int | None = None,
    sample_cover_ratio: float | None = None,
    weak_column: str | None = None,
    teacher_column: str | None = None,
    labels_csv: bool = False,
) -> BuildResult:
    """Counts the pairs, builds the label map and writes everything to a folder.

    Args:
        output_dir: Where the results go; made if it is not there.
        strategy: Name of the strategy to map labels by, one of `STRATEGIES`.
        pairs: File of pairs, see `read_pairs`; needs `classes`.
        classes: Path of the classes file, see `read_class_names`.
        dataset: Folder of clips with teacher predictions, in place of both.
        num_labels: Size of the label space of `spl_m` and `spl_d`.
        sample_cover_ratio: Instead: the share of clips to cover.
        weak_column: Name of the weak labels' column; None looks for it.
        teacher_column: Name of the predictions' column; None looks for it.
        labels_csv: Whether to write the label of every row to `labels.csv`.

    Raises:
        FileNotFoundError: An input is not there; nothing is written then.
        ValueError: Bad arguments or input; nothing is written then.
    """
    _check_inputs(pairs, classes, dataset, labels_csv)
    _check_size(strategy, num_labels, sample_cover_ratio)
    output_dir = Path(output_dir)
    with contextlib.ExitStack() as stack:
        spool = None
        if dataset is not None:
            confusion = confusion_of_dataset(dataset)
        else:
            confusion = ConfusionMatrix(read_class_names(classes))
            output_dir.mkdir(parents=True, exist_ok=True)
            if labels_csv:
                spool = stack.enter_context(_spool_file(output_dir))
            columns = (weak_column, teacher_column)
            _count_pairs(confusion, pairs, columns, classes, spool)
        if sample_cover_ratio is not None:
            num_labels = choose_num_labels(confusion, sample_cover_ratio)
        result = compare_strategies(confusion, strategy, num_labels)
        _write_results(result, output_dir)
        if spool is not None:
            _write_labels_csv(result.label_map, spool, output_dir / _LABELS_CSV)
    return result


def compare_strategies(
    confusion: ConfusionMatrix, strategy: str, num_labels: int | None = None
) -> BuildResult:
    """Builds the maps of all strategies and the table that sets them side by side.

    Args:
        confusion: Counts of the clips to pre-train on.
        strategy: Which map is the result, one of `STRATEGIES`.
        num_labels: Size of the label space of `spl_m` and `spl_d`, see
            `build_label_map`.

    Raises:
        ValueError: What `build_label_map` refuses, of `spl` only if that is the
            strategy.
    """
    label_maps = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in STRATEGIES:
            size = num_labels if name in SIZED_STRATEGIES else None
            try:
                label_maps[name] = build_label_map(confusion, name, size)
            except ValueError:
                # More ids than int32 holds spoil only the strategy itself.
                if name == strategy or name != "spl":
                    raise
    table = _format_table(confusion, label_maps, strategy)
    notes = tuple(str(warning.message) for warning in caught)
    return BuildResult(confusion, label_maps[strategy], label_maps, table, notes)


def _check_inputs(pairs, classes, dataset, labels_csv) -> None:
    if (pairs is None) == (dataset is None):
        raise ValueError("give either pairs (a file) or dataset (a folder of clips)")
    if pairs is not None and classes is None:
        raise ValueError("pairs needs classes: a file with one class name a line")
    if dataset is not None and classes is not None:
        raise ValueError("dataset knows its class names; leave classes out")
    if dataset is not None and labels_csv:
        raise ValueError(
            "labels_csv needs pairs: a dataset holds the counts, not the rows"
        )


def _check_size(strategy, num_labels, sample_cover_ratio) -> None:
    if strategy not in STRATEGIES:
        raise ValueError(
            f"unknown strategy {strategy!r}, expected one of {', '.join(STRATEGIES)}"
        )
    if num_labels is not None and sample_cover_ratio is not None:
        raise ValueError("give num_labels or sample_cover_ratio, not both")
    sized = num_labels is not None or sample_cover_ratio is not None
    if sized and strategy not in SIZED_STRATEGIES:
        raise ValueError(
            f"strategy {strategy!r} fixes the number of labels; num_labels and "
            f"sample_cover_ratio are only for {' and '.join(SIZED_STRATEGIES)}"
        )


def confusion_of_dataset(directory: str | os.PathLike) -> ConfusionMatrix:
    """Reads the counts of weak label x teacher from a dataset's description.

    Raises:
        ValueError: The dataset has no teacher predictions.
    """
    # Here and not above: it imports TensorFlow, which pairs do not need.
    from spl_tf.clips import DatasetInfo

    info = DatasetInfo.load(directory)
    if info.teacher is None:
        raise ValueError(
            f"the clips of dataset {os.fspath(directory)} have no teacher "
            "predictions; run `python -m experiments.predict` on it first"
        )
    cells = info.teacher["confusion"]
    return ConfusionMatrix.from_cells(
        info.class_names, cells["weak"], cells["teacher"], cells["count"]
    )


def _count_pairs(
    confusion: ConfusionMatrix,
    pairs: str,
    columns: tuple[str | None, str | None],
    classes: str | os.PathLike,
    spool: BinaryIO | None,
) -> None:
    # None shows progress on a terminal only.
    with tqdm.tqdm(unit=" pairs", unit_scale=True, disable=None) as progress:
        names = confusion.class_names
        for weak, teacher in read_pairs(pairs, names, *columns, classes):
            confusion.update(weak, teacher)
            if spool is not None:
                np.stack([weak, teacher], axis=1).tofile(spool)
            progress.update(len(weak))


@contextlib.contextmanager
def _spool_file(output_dir: Path) -> Iterator[BinaryIO]:
    path = output_dir / f".pairs.{secrets.token_hex(6)}.tmp"
    try:
        with open(path, "xb+") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


def _write_results(result: BuildResult, output_dir: Path) -> None:
    output_dir.mkdir(parents=True, exist_ok=True)
    # One of another label map must not be taken for this one's.
    (output_dir / _LABELS_CSV).unlink(missing_ok=True)
    result.confusion.save(output_dir / "confusion")
    result.label_map.save(output_dir / "label_map")
    plot_confusion(result.confusion, output_dir / "confusion.png")
    drawn = [name for name in _DRAWN if name != result.label_map.strategy][:3]
    plot_class_distribution(
        [result.label_map, *(result.label_maps[name] for name in drawn)],
        output_dir / "distribution.png",
    )


def _write_labels_csv(label_map: LabelMap, spool: BinaryIO, path: Path) -> None:
    schema = pa.schema([("row", pa.int64()), ("label", pa.int32())])
    spool.seek(0)
    next_row = 1
    options = pyarrow.csv.WriteOptions(quoting_header="none")
    with (
        replacing(path) as temporary,
        pyarrow.csv.CSVWriter(temporary, schema, write_options=options) as writer,
    ):
        while True:
            chunk = np.fromfile(spool, np.int32, 2 * _CHUNK).reshape(-1, 2)
            if not len(chunk):
                return
            labels = label_map.lookup(*np.ascontiguousarray(chunk.T))
            rows = np.arange(next_row, next_row + len(labels))
            writer.write_batch(
                pa.record_batch([pa.array(rows), pa.array(labels)], schema=schema)
            )
            next_row += len(labels)


def _format_table(
    confusion: ConfusionMatrix, label_maps: dict[str, LabelMap], chosen: str
) -> str:
    header = ("", "strategy", "labels", "clips kept", "kept", "cover", "largest")
    rows = [(*header, "smallest")]
    for name in STRATEGIES:
        mark = ">" if name == chosen else ""
        label_map = label_maps.get(name)
        if label_map is None:
            size = confusion.num_classes**2
            rows.append((mark, name, f"{size:,}", "more ids than int32", *[""] * 4))
            continue
        counts = label_map.used_label_counts
        has_empty = len(counts) < label_map.num_labels
        rows.append(
            (
                mark,
                name,
                f"{label_map.num_labels:,}",
                f"{label_map.num_kept:,}",
                _percent(label_map.kept_ratio),
                _percent(label_map.sample_cover_ratio),
                f"{counts.max(initial=0):,}",
                f"{0 if has_empty else counts.min():,}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"{confusion.total:,} clips, {confusion.num_classes:,} classes, noise ratio "
        f"{_percent(confusion.noise_ratio)}",
        "",
    ]
    for row in rows:
        cells = [f"{row[0]:<1}", f"{row[1]:<{widths[1]}}"]
        cells += [
            f"{value:>{width}}"
            for value, width in zip(row[2:], widths[2:], strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    lines += [
        "",
        "> chosen; cover: clips whose cell of the confusion matrix has its own label;",
        "  largest, smallest: clips of the label with the most and the fewest",
    ]
    return "\n".join(lines)


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2%}"


def _define_flags() -> None:
    # Not at import: other binaries import this module and have flags of their own.
    flags.DEFINE_string("pairs", None, "CSV or Parquet file of pairs; - is stdin")
    flags.DEFINE_string("classes", None, "file of class names, one a line")
    flags.DEFINE_string("dataset", None, "folder of clips, instead of --pairs")
    flags.DEFINE_enum("strategy", "spl_b", STRATEGIES, "which label map to write")
    flags.DEFINE_string("output_dir", None, "folder for the results", required=True)
    flags.DEFINE_integer("num_labels", None, "label space of spl_m and spl_d")
    flags.DEFINE_float(
        "sample_cover_ratio", None, "instead of --num_labels: share of clips to cover"
    )
    flags.DEFINE_string(
        "weak_column", None, "default: weak, query, ..., or the first of two columns"
    )
    flags.DEFINE_string(
        "teacher_column", None, "default: teacher, pred, ..., or the second of two"
    )
    flags.DEFINE_bool("labels_csv", False, "write the label of every row to labels.csv")


_ARGUMENTS = (
    "output_dir",
    "strategy",
    "pairs",
    "classes",
    "dataset",
    "num_labels",
    "sample_cover_ratio",
    "weak_column",
    "teacher_column",
    "labels_csv",
)


def main(argv: list[str]) -> None:
    """Runs `build_labels` with the flags and prints its table."""
    binary.no_arguments(argv)
    arguments = {name: flags.FLAGS[name].value for name in _ARGUMENTS}
    try:
        result = build_labels(**arguments)
    except (ValueError, OSError) as error:
        raise SystemExit(f"build_labels: {error}") from error
    print(result.table)
    for note in result.notes:
        print(f"note: {note}")
    print(f"\nwrote {Path(arguments['output_dir'])}")


if __name__ == "__main__":
    _define_flags()
    binary.run(main)
