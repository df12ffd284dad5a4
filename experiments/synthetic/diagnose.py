r"""Says how right teacher and weak labels are in a synthetic world.

python -m experiments.synthetic.diagnose --world=runs/x/seed_0/world \
    --clips=runs/x/seed_0/clips/web_teacher \
    --label_map=runs/x/seed_0/labels/spl_b/label_map

It compares clips with what they really show, which only a synthetic world knows. This
is for diagnosis: nothing that trains or chooses a model may see it.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
from absl import flags

from experiments.synthetic import manifests, world
from experiments.synthetic.manifests import ShownSegment
from spl_tf import binary, clips
from spl_tf.labels import DISCARD, LabelMap
from tfrecords_tools.decoding.video import MICROSECONDS

NOTE = "diagnosis only: nothing in training sees this"
_NONE = -1


@dataclasses.dataclass(frozen=True)
class ClipTruth:
    """What web clips are labelled with and what they show; arrays of one row per clip.

    Attributes:
        class_names: Names of the classes, in index order.
        weak: int [n], the weak label.
        teacher: int [n], the teacher's first choice.
        kind: str [n], what the segment shows, of `world.SEGMENT_KINDS`.
        scene: str [n], the scene that is shown; "" for filler.
        shown: int [n], the class that is shown; -1 where there is none.
    """

    class_names: list[str]
    weak: np.ndarray
    teacher: np.ndarray
    kind: np.ndarray
    scene: np.ndarray
    shown: np.ndarray


def diagnose(
    world_dir: str | os.PathLike,
    clips_dir: str | os.PathLike,
    label_map: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """Measures labels against the hidden truth.

    Args:
        world_dir: Folder of the world, as `render` wrote it.
        clips_dir: Dataset of its web clips with the teacher's predictions.
        label_map: A `LabelMap` to describe, if any.

    Returns:
        What JSON can hold: `note`, `clips`, `noise_ratio`; `weak` and `teacher`, see
        `label_accuracy`; `agreement` (share of the clips, and its accuracy on them);
        `kinds` (per kind of segment its share, the share of agreement, and both
        accuracies); and `labels` with a label map, see `label_contents`.

    Raises:
        FileNotFoundError: A folder is not what it should be.
        ValueError: The clips are of another world or have no teacher's predictions.
    """
    truth = read_clip_truth(world_dir, clips_dir)
    agree = truth.weak == truth.teacher
    everything = np.ones(len(agree), bool)
    results = {
        "note": NOTE,
        "clips": len(agree),
        "noise_ratio": float(1 - agree.mean()),
        "weak": label_accuracy(truth, truth.weak, everything),
        "teacher": label_accuracy(truth, truth.teacher, everything),
        "agreement": {
            "share": float(agree.mean()),
            **label_accuracy(truth, truth.weak, agree),
        },
        "kinds": {},
    }
    for kind in world.SEGMENT_KINDS:
        of_kind = truth.kind == kind
        results["kinds"][kind] = {
            "share": float(of_kind.mean()),
            "agreement": _mean(agree, of_kind),
            "weak": label_accuracy(truth, truth.weak, of_kind),
            "teacher": label_accuracy(truth, truth.teacher, of_kind),
        }
    if label_map is not None:
        results["labels"] = label_contents(truth, LabelMap.load(label_map))
    return results


def read_clip_truth(
    world_dir: str | os.PathLike, clips_dir: str | os.PathLike
) -> ClipTruth:
    """Joins web clips with the hidden truth; see `diagnose` for arguments and errors.

    A clip shows the segment in which its middle lies, an image its only one.
    """
    hidden = manifests.read_hidden_truth(pathlib.Path(world_dir))
    dataset = clips.ClipDataset(clips_dir)
    if not len(dataset) or (dataset.index.teacher < 0).any():
        raise ValueError(
            f"{dataset.directory} has clips without the teacher's prediction; give the "
            "folder that experiments.predict wrote"
        )
    segments = []
    with dataset.reader() as reader:
        for row in range(len(dataset)):
            clip = clips.parse_clip(reader.read(row))
            segments.append(_segment_of(clip, hidden, world_dir))
    names = dataset.info.class_names
    index_of = {name: index for index, name in enumerate(names)}
    return ClipTruth(
        class_names=names,
        weak=dataset.index.label,
        teacher=dataset.index.teacher,
        kind=np.array([segment.shown for segment in segments]),
        scene=np.array([segment.scene for segment in segments]),
        shown=np.array([index_of.get(s.class_name, _NONE) for s in segments]),
    )


def label_accuracy(
    truth: ClipTruth, label: np.ndarray, where: np.ndarray
) -> dict[str, float | None]:
    """Returns how often classes that clips are labelled with are right.

    Args:
        truth: What the clips really show.
        label: int [n], a class per clip.
        where: bool [n], the clips that count.

    Returns:
        `precision`: of all these clips, the share that shows the label's class (no
        clip of scene alone or filler does). `scene`, of those that show a scene, and
        `motion` and `class`, of those that show a class: the share whose label has
        the right one. None where there is no such clip.
    """
    scenes, motions = _scenes_and_motions(truth.class_names)
    acts = truth.shown != _NONE
    right = label == truth.shown
    return {
        "precision": _mean(right, where),
        "scene": _mean(scenes[label] == truth.scene, where & (truth.scene != "")),
        "motion": _mean(motions[label] == motions[truth.shown], where & acts),
        "class": _mean(right, where & acts),
    }


def label_contents(truth: ClipTruth, label_map: LabelMap) -> list[dict[str, Any]]:
    """Returns what the clips of each label really show.

    Args:
        truth: What the clips really show, and their labels.
        label_map: Gives each clip its label for pre-training.

    Returns:
        Per label that has clips: `label`, `name`, `clips`, the share of each kind of
        segment as `kinds`, and what is shown most, a class or else a scene alone or
        filler, as `mostly` with its share `mostly_share`.
    """
    labels = label_map.lookup(truth.weak, truth.teacher)
    contents = np.array(
        [
            truth.class_names[shown] if shown != _NONE else scene or world.FILLER
            for shown, scene in zip(truth.shown, truth.scene, strict=True)
        ]
    )
    rows = []
    for label in np.unique(labels[labels != DISCARD]):
        of_label = labels == label
        shown, counts = np.unique(contents[of_label], return_counts=True)
        kinds = truth.kind[of_label]
        rows.append(
            {
                "label": int(label),
                "name": label_map.label_names[int(label)],
                "clips": int(of_label.sum()),
                "mostly": str(shown[counts.argmax()]),
                "mostly_share": float(counts.max() / counts.sum()),
                "kinds": {k: float((kinds == k).mean()) for k in world.SEGMENT_KINDS},
            }
        )
    return rows


def format_diagnosis(results: dict[str, Any]) -> str:
    """The results of `diagnose` as tables for the terminal."""
    columns = ("precision", "scene", "motion", "class")
    head = f"{'':<22}{'clips':>8}" + "".join(f"{column:>11}" for column in columns)
    lines = [
        results["note"],
        f"{results['clips']:,} clips, noise ratio {results['noise_ratio']:.1%}",
        "",
        head,
    ]

    def add(name: str, share: float, accuracy: dict[str, float | None]) -> None:
        cells = "".join(f"{_percent(accuracy[c]):>11}" for c in columns)
        lines.append(f"{name:<22}{round(share * results['clips']):>8,}{cells}")

    add("weak label", 1.0, results["weak"])
    add("teacher", 1.0, results["teacher"])
    add("where they agree", results["agreement"]["share"], results["agreement"])
    for kind, values in results["kinds"].items():
        add(f"weak on {kind}", values["share"], values["weak"])
        add(f"teacher on {kind}", values["share"], values["teacher"])
    if "labels" in results:
        kinds = "".join(f"{kind:>11}" for kind in world.SEGMENT_KINDS)
        lines += ["", f"{'label':<48}{'clips':>7}{kinds}  mostly"]
    for row in results.get("labels", ()):
        shares = "".join(f"{row['kinds'][k]:>11.1%}" for k in world.SEGMENT_KINDS)
        mostly = f"{row['mostly']} ({row['mostly_share']:.0%})"
        lines.append(f"{row['name']:<48}{row['clips']:>7,}{shares}  {mostly}")
    return "\n".join(lines)


def _segment_of(clip: clips.Clip, hidden, world_dir) -> ShownSegment:
    middle = (clip.start + clip.end) / 2 / MICROSECONDS
    for segment in hidden.get(clip.data_path, ()):
        if segment.start <= middle < segment.end or not segment.end:
            return segment
    raise ValueError(
        f"clip {clip.id!r}: {world_dir} has no web video {clip.data_path!r} that lasts "
        f"{middle:g} s; give the world that the clips were cut from"
    )


def _scenes_and_motions(class_names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    scenes, motions = zip(*(name.rsplit(" ", 1) for name in class_names), strict=True)
    return np.array(scenes), np.array(motions)


def _mean(values: np.ndarray, where: np.ndarray) -> float | None:
    return float(values[where].mean()) if where.any() else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _define_flags() -> None:
    flags.DEFINE_string("world", None, "Folder of the world.", required=True)
    flags.DEFINE_string("clips", None, "Web clips with teacher.", required=True)
    flags.DEFINE_string("label_map", "", "Folder of a label map to describe.")


def main(argv: list[str]) -> None:
    """Reads the flags, prints the tables."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    print(
        format_diagnosis(diagnose(values.world, values.clips, values.label_map or None))
    )


if __name__ == "__main__":
    _define_flags()
    binary.run(main)
