"""Writes a dataset again with a teacher's predictions in every record.

python -m experiments.predict --checkpoint=runs/teacher --input_dir=clips/web \
    --output_dir=clips/web_teacher

The same command continues one that was stopped. To share the work, start it with the
same folders in several processes; the last to finish completes the dataset. Each finds
its part by itself if `srun` started it in a step of several tasks, or if `TF_CONFIG`
names the processes; else `--num_workers=8 --worker=0` to `--worker=7` say it. Stopped
by SIGTERM, it ends with exit code 75. With `--on_bad_record=skip`, clips that cannot be
read are left out, and listed in the new `dataset.json`.

With `--per_frame`, records also get a 2D teacher's first choice of each frame, by which
a training draws positive and negative frames of untrimmed videos (`clips.kind`).
"""

from __future__ import annotations

from absl import flags

from spl_tf import binary, data
from spl_tf.distribution.cluster import process_place
from spl_tf.inference.prediction import CLASSES
from spl_tf.inference.prediction_folder import BAD_RECORD
from spl_tf.training import STOPPED_EXIT_CODE, TrainingStopped, predict

_OPTIONS = (
    "batch_size",
    "top_k",
    "strategy",
    "num_clips",
    "num_crops",
    "overwrite",
    "on_bad_record",
    "max_bad_records",
    "classes",
    "fully_convolutional",
    "crop_size",
    "short_side",
    "num_frames",
    "per_frame",
    "allow_3d_teacher_on_images",
)


def choose_part(worker: int | None, num_workers: int | None) -> tuple[int, int]:
    """This process's part of the work: its number, and how many there are.

    Args:
        worker: From the command line; None for what the environment says.
        num_workers: Given with it, or not at all.

    Raises:
        ValueError: Only one of them is given.
    """
    if worker is None and num_workers is None:
        return process_place()
    if worker is None or num_workers is None:
        raise ValueError(
            f"--worker is {worker} and --num_workers {num_workers}; give both, or "
            "neither in a step of Slurm or with TF_CONFIG"
        )
    return worker, num_workers


def main(argv: list[str]) -> int:
    """Reads the flags, predicts, prints what was written."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    worker, num_workers = choose_part(values.worker, values.num_workers)
    try:
        info = predict(
            values.checkpoint,
            values.input_dir,
            values.output_dir,
            worker=worker,
            num_workers=num_workers,
            **{name: values[name].value for name in _OPTIONS},
        )
    except TrainingStopped as stopped:
        print(stopped)
        return STOPPED_EXIT_CODE
    if info is None:
        print(
            f"{values.output_dir}: worker {worker} of {num_workers} is done, others "
            "have shards to write"
        )
    else:
        bad = sum(entry["kind"] == BAD_RECORD for entry in info.skipped)
        print(
            f"{values.output_dir}: {info.num_clips} clips in {len(info.shards)} shards"
            + (f", bad records left out: {bad}" if bad else "")
        )
    return 0


if __name__ == "__main__":
    flags.DEFINE_multi_string(
        "checkpoint",
        None,
        "The teacher's workdir; given more than once, of teachers that vote.",
        required=True,
    )
    flags.DEFINE_string("input_dir", None, "Dataset to label.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
    flags.DEFINE_integer("batch_size", 32, "Clips per replica.")
    flags.DEFINE_integer("top_k", 5, "Classes to keep per clip.")
    flags.DEFINE_string("strategy", "auto", "auto, one or mirrored.")
    flags.DEFINE_integer("num_clips", 1, "Runs of frames per clip; views are averaged.")
    flags.DEFINE_integer("num_crops", 1, "Crops of each run: 1, 3 or 10.")
    flags.DEFINE_bool("per_frame", False, "Also a 2D teacher's choice of each frame.")
    flags.DEFINE_bool(
        "allow_3d_teacher_on_images",
        False,
        "Let a 3D teacher label images all the same.",
    )
    flags.DEFINE_enum(
        "classes", "same", CLASSES, "dataset: the teacher knows more than those of it."
    )
    binary.define_view_flags()
    flags.DEFINE_integer("worker", None, "This process, from 0.")
    flags.DEFINE_integer("num_workers", None, "Processes that share the work.")
    flags.DEFINE_bool("overwrite", False, "Replace a prediction in --output_dir.")
    flags.DEFINE_enum(
        "on_bad_record", "error", ("error", "skip"), "skip: leave the clip out."
    )
    flags.DEFINE_integer(
        "max_bad_records", data.MAX_BAD_RECORDS, "With skip, more are an error."
    )
    binary.run(main, errors=(FloatingPointError,))
