"""Shows what a dataset of clips holds, checks it, or makes its index anew.

python -m tfrecords_tools.inspect_records clips/web
python -m tfrecords_tools.inspect_records clips/web --validate
python -m tfrecords_tools.inspect_records clips/web --contact_sheet=web.png
python -m tfrecords_tools.inspect_records shards --reindex --label_kind=clean

Without a flag it prints a summary. `--validate` reads every record, decodes every
frame, and ends with a non-zero status when there is a fault; with `--crop_size=224`
that frames are smaller is one. `--reindex` makes a dataset of SequenceExample shards
that another tool wrote, or repairs the index of our own.
"""

from __future__ import annotations

from absl import app, flags

from spl_tf import binary, clips
from spl_tf.clips.frame_shape import CropSize, height_and_width
from tfrecords_tools.conversion.shard_job import WorkerDiedError
from tfrecords_tools.inspection.contact_sheet import draw_contact_sheet
from tfrecords_tools.inspection.reindexing import reindex
from tfrecords_tools.inspection.summary import format_summary
from tfrecords_tools.inspection.validation import format_faults, validate


def _define_flags() -> None:
    flags.DEFINE_bool("all_classes", False, "List every class in the summary.")
    flags.DEFINE_bool("validate", False, "Check every record, the index and counts.")
    flags.DEFINE_list(
        "crop_size",
        "",
        "With --validate: frames must not be smaller; a side, or height,width.",
    )
    flags.DEFINE_integer(
        "max_faults", 20, "Faults of each kind to print.", lower_bound=1
    )
    flags.DEFINE_string("contact_sheet", "", "PNG file for a picture of some clips.")
    flags.DEFINE_integer("rows", 8, "Classes in the picture.", lower_bound=1)
    flags.DEFINE_integer("columns", 6, "Clips per class there.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Decides which clips are there.", lower_bound=0)
    flags.DEFINE_bool("reindex", False, "Make index.npz and dataset.json.")
    flags.DEFINE_string(
        "label_kind",
        "",
        "weak or clean; --reindex needs it where dataset.json does not tell.",
    )
    flags.DEFINE_string("classes", "", "File of class names, for --reindex.")
    flags.DEFINE_string("pattern", "*.tfrecord*", "Shards' file names, for --reindex.")
    flags.DEFINE_bool("overwrite", False, "Let --reindex replace dataset.json.")
    flags.DEFINE_integer(
        "num_workers", 0, "Processes; 0 for one per core.", lower_bound=0
    )


def _crop_size(words: list[str]) -> CropSize:
    """The flag's value; 0 without it."""
    if words in ([], ["0"]):
        return 0
    try:
        sides = [int(word) for word in words]
        return height_and_width(sides * 2 if len(sides) == 1 else sides)
    except ValueError as error:
        raise ValueError(
            f"--crop_size is {','.join(words)}, expected the side of a square in "
            "pixels, or height,width"
        ) from error


def main(argv: list[str]) -> int:
    """Reads the flags, does what they ask for; returns 1 when there are faults."""
    if len(argv) != 2:
        raise app.UsageError(f"expected one folder, got {argv[1:]}")
    directory = argv[1]
    values = flags.FLAGS
    if values.reindex:
        reindex(
            directory,
            values.label_kind,
            values.classes,
            values.pattern,
            values.overwrite,
            values.num_workers,
        )
    if values.validate:
        crop_size = _crop_size(values.crop_size)
        faults = validate(directory, values.num_workers, crop_size)
        print(f"{directory}: {format_faults(faults, values.max_faults)}")
        if faults:
            return 1
    if values.contact_sheet:
        draw_contact_sheet(
            clips.ClipDataset(directory),
            values.contact_sheet,
            values.rows,
            values.columns,
            values.seed,
        )
        print(f"{values.contact_sheet}: written")
    if not values.validate and not values.contact_sheet:
        print(format_summary(clips.ClipDataset(directory), values.all_classes))
    return 0


if __name__ == "__main__":
    _define_flags()
    binary.run(main, (WorkerDiedError,))
