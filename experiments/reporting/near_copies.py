"""What `find_duplicates` wrote, with the frames of the pairs, for a page."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Mapping

from spl_tf import clips, data
from spl_tf.analysis.report import Duplicates, ShownClip, ShownPair
from spl_tf.analysis.report.sprites import make_sprite
from spl_tf.runs import run_folder

PAIRS, RESULTS = "pairs.csv", "results.json"
SAMPLING = data.ClipSampling(num_frames=1, stride=1, segments=True)  # evenly spread
_SIDE = 96  # of a frame on the page, in pixels


def compared_frames(length: int, frames: int) -> list[int]:
    """Which frames of a clip are compared, evenly spread.

    Args:
        length: Number of frames of the clip.
        frames: Number of frames that are compared.
    """
    return SAMPLING.uniform_frames(length, frames)[:, 0].tolist()


def read_duplicates(
    folder: str, shown: int, dataset: str = "", against: str = ""
) -> Duplicates:
    """Reads the pairs that `find_duplicates` found, and their clips.

    Args:
        folder: The `output_dir` of `find_duplicates`.
        shown: Largest number of pairs to read, the most similar ones.
        dataset: Where its `dataset` is now; empty for where it was.
        against: Where its `against` is now; empty for where it was.

    Raises:
        FileNotFoundError: `find_duplicates` has not run, or a dataset is not there.
        ValueError: A file is damaged, or a dataset is another one by now.
    """
    results = run_folder.read_json(os.path.join(folder, RESULTS))
    settings = results["settings"]
    left = clips.ClipDataset(dataset or settings["dataset"])
    right = clips.ClipDataset(against or settings["against"])
    path = os.path.join(folder, PAIRS)
    with (
        open(path, newline="", encoding="utf-8") as file,
        left.reader() as ours,
        right.reader() as theirs,
    ):
        rows = csv.DictReader(file)
        if not {"row", "against_row"} <= set(rows.fieldnames or ()):
            raise ValueError(
                f"{path} has the columns {rows.fieldnames}, expected row and "
                "against_row among them: find the duplicates again"
            )
        pairs = [
            ShownPair(
                float(row["similarity"]),
                _clip(left, ours, row, "", results["frames"][0]),
                _clip(right, theirs, row, "against_", results["frames"][1]),
            )
            for row in itertools.islice(rows, shown)
        ]
    return Duplicates(
        pairs=pairs,
        count=results["pairs"],
        threshold=settings["threshold"],
        names=(settings["dataset"], settings["against"]),
        excluded=results["excluded_media"],
    )


def _clip(
    dataset: clips.ClipDataset,
    reader: clips.RecordReader,
    row: Mapping[str, str],
    side: str,
    frames: int,
) -> ShownClip:
    place = int(row[f"{side}row"])
    clip = clips.parse_clip(reader.read(place)) if place < len(dataset) else None
    if clip is None or clip.id != row[f"{side}id"]:
        raise ValueError(
            f"{dataset.directory}, row {place}: expected the clip "
            f"{row[f'{side}id']!r}; the dataset was made anew since the duplicates in "
            "it were found"
        )
    chosen = compared_frames(len(clip.frames), frames)
    sprite = make_sprite([[clip.frames[each] for each in chosen]], len(chosen), _SIDE)
    most_alike = chosen.index(int(row[f"{side}frame"]))
    return ShownClip(clip.id, clip.label_name, sprite, most_alike)
