"""Writes a dataset of clips again, with the optical flow of each.

python -m tfrecords_tools.add_flow --input_dir=clips --output_dir=clips_flow \
    --method=dis_medium

Each record gets an image per frame under `FORWARD_FLOW/image/encoded`: the flow to the
next frame, to the right and down, of which 20 pixels are the most. All else in it is
kept byte for byte. A clip that is damaged, or takes too long, is left out and listed in
`dataset.json`. A run that was stopped goes on with the same command.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from absl import flags, logging

from spl_tf import binary, clips
from spl_tf.files import same_path
from spl_tf.labels import ConfusionMatrix
from spl_tf.motion import flow_encoding, optical_flow
from tfrecords_tools.conversion import conversion, options, resuming
from tfrecords_tools.conversion.flow_job import FlowJob, FlowSettings, flow_folder


def add_flow(
    input_dir: str,
    output_dir: str,
    settings: FlowSettings | None = None,
    run: resuming.RunOptions | None = None,
    replace_flow: bool = False,
) -> clips.DatasetInfo:
    """Writes a dataset again with the optical flow of its clips, or continues to.

    The output has as many shards, named as a conversion names them, and the clips in
    the same order; how the flow was made stands in its `source["flow"]`.

    Args:
        input_dir: Folder of the dataset.
        output_dir: Folder of the dataset with flow; made if it is not there.
        settings: How flow is found and written; None for the defaults.
        run: Runner, processes and what may be left out; None for the defaults.
        replace_flow: Whether flow that records have is found anew.

    Returns:
        The dataset's description, as written to `dataset.json`.

    Raises:
        ImportError: This OpenCV lacks the method.
        ValueError: The input has flow or no clip from which it can be found, or the
            output's folder holds something else.
        TooManySkippedError: More was left out than allowed; all else is written.
        StorageFullError, WorkerDiedError: It cannot go on; the same call again
            continues.
    """
    settings = settings or FlowSettings()
    run = run or resuming.RunOptions()
    for path in (input_dir, output_dir):
        clips.usable_path(path)
    if same_path(input_dir, output_dir):
        raise ValueError(f"--output_dir is the --input_dir, {input_dir}; give another")
    dataset = clips.ClipDataset(input_dir)
    optical_flow.flow_finder(settings.method)  # an error before any work
    inputs = {
        **dataclasses.asdict(settings),
        "max_flow": flow_encoding.MAX_FLOW,
        "dataset": conversion.digest_of_file(os.path.join(input_dir, "dataset.json")),
    }
    if settings.format == "png":
        del inputs["quality"]
    folder = flow_folder(output_dir)

    def finished() -> clips.DatasetInfo | None:
        if not folder.holds("dataset.json"):
            return None
        info = clips.DatasetInfo.load(output_dir)
        folder.check_inputs(info.source.get("flow", {}), inputs)
        return info

    def write() -> clips.DatasetInfo:
        resuming.claim(folder, inputs)
        num_shards = len(dataset.index.shard_names)
        job = FlowJob(input_dir, output_dir, num_shards, settings, replace_flow)
        rows = [np.flatnonzero(dataset.index.shard == s) for s in range(num_shards)]
        shards = [each.tolist() for each in rows]
        reports = resuming.write_shards(folder, job, shards, run)
        return _finish(folder, dataset, reports, inputs)

    info = resuming.resumed(folder, run.overwrite, finished, write)
    _check_skipped(output_dir, dataset, info, run.max_skipped_fraction)
    return info


def _finish(folder, dataset, reports, inputs) -> clips.DatasetInfo:
    """Writes the index and, last, the description."""
    skipped = [entry for report in reports for entry in report.skipped]
    index = clips.ClipIndex.from_shards([report.summary for report in reports])
    if not len(index):
        resuming.remove_shards(folder)  # so that the next run looks again
        raise ValueError(
            f"{dataset.directory}: none of the {len(dataset)} clips gives flow"
            + (f"; the first: {skipped[0]['reason']}" if skipped else "")
        )
    info = dataclasses.replace(
        dataset.info,
        shards=[report.summary.entry for report in reports],
        source=dataset.info.source | {"flow": inputs},
        skipped=dataset.info.skipped + skipped,
    )
    if info.teacher and skipped:
        confusion = ConfusionMatrix(info.class_names)
        seen = (index.label >= 0) & (index.teacher >= 0)
        confusion.update(index.label[seen], index.teacher[seen])
        info.teacher = info.teacher | {"confusion": confusion.cell_lists()}
    index.save(folder.directory)
    info.save(folder.directory)
    return info


def _check_skipped(output_dir, dataset, info, limit: float) -> None:
    skipped = info.skipped[len(dataset.info.skipped) :]
    if not skipped:
        return
    share = len(skipped) / len(dataset)
    message = (
        f"of {len(dataset)} clips, {len(skipped)} ({share:.1%}) were left out, the "
        f"first: {skipped[0]['clip'] or skipped[0]['video']}: {skipped[0]['reason']}; "
        "all are listed in dataset.json"
    )
    if share > limit:
        raise conversion.TooManySkippedError(
            f"{message}. The limit, --max_skipped_fraction, is {limit:.1%}; to try "
            f"again, remove {output_dir} or add --overwrite"
        )
    logging.warning("%s", message)


def _define_flags() -> None:
    flags.DEFINE_string("input_dir", None, "Folder of the dataset.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
    flags.DEFINE_bool("replace_flow", False, "Find flow that records have anew.")
    options.define_flags(FlowSettings)
    options.define_flags(resuming.RunOptions)


def main(argv: list[str]) -> None:
    """Reads the flags, adds flow, prints what was written."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    info = add_flow(
        values.input_dir,
        values.output_dir,
        options.from_flags(FlowSettings),
        options.from_flags(resuming.RunOptions),
        values.replace_flow,
    )
    print(conversion.result_line(values.output_dir, info))


if __name__ == "__main__":
    _define_flags()
    binary.run(main, conversion.FAILURES)
