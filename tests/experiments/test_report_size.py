"""The report of as many classes and clips as the paper has."""

import io
import json
import os
import time

import numpy as np
import pytest
from PIL import Image

from experiments.report import build_report
from spl_tf import clips
from spl_tf.inference.evaluation import Scores
from spl_tf.labels import ConfusionMatrix, build_label_map
from tests.experiments.report_workdir import write_json

CLASSES, CLIPS = 400, 100_000
STRATEGIES = ["none", "weak", "teacher", "agreement", "spl", "spl_m", "spl_d", "spl_b"]
MOST_BYTES = 20_000_000


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    names = [f"a class with quite a long name {n}" for n in range(CLASSES)]
    # A long tail of disagreements, as in the paper: 60 % of the clips.
    weak = rng.integers(0, CLASSES, CLIPS)
    shift = np.minimum(rng.zipf(1.3, CLIPS), CLASSES - 1)
    teacher = np.where(rng.random(CLIPS) < 0.4, weak, (weak + shift) % CLASSES)
    confusion = ConfusionMatrix(names)
    confusion.update(weak, teacher)
    write_clips(workdir / "clips", weak, teacher, confusion, rng)
    rows = []
    for number, strategy in enumerate(STRATEGIES):
        row = {"strategy": strategy, "seed": 0, "top_1": 0.5 + 0.01 * number}
        row |= {"label_map": None, "evaluation": f"evaluation/{strategy}"}
        labels = np.repeat(np.arange(CLASSES, dtype=np.int32), 4)
        probabilities = rng.random((len(labels), CLASSES), dtype=np.float32)
        ids = np.array([str(n) for n in range(len(labels))])
        Scores(np.arange(len(labels)), ids, labels, probabilities, tuple(names)).save(
            workdir / row["evaluation"] / "predictions.npz"
        )
        if strategy != "none":
            sized = {"num_labels": 4500} if strategy in ("spl_m", "spl_d") else {}
            label_map = build_label_map(confusion, strategy, **sized)
            row["label_map"] = f"labels/{strategy}"
            label_map.save(workdir / row["label_map"])
        rows.append(row)
    seeds = [{"seed": 0, "web_teacher": "clips"}]
    results = {"title": "Large", "strategies": STRATEGIES, "seeds": seeds}
    write_json(workdir / "results.json", results | {"rows": rows})
    return workdir


def write_clips(folder, weak, teacher, confusion, rng):
    """Two frames a clip, as hard to compress as real ones of this size or harder."""
    folder.mkdir()
    frames = []
    for _ in range(200):
        coarse = Image.fromarray(rng.integers(0, 256, (18, 24, 3), np.uint8))
        buffer = io.BytesIO()
        coarse.resize((96, 72), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        frames.append(buffer.getvalue())

    def records():
        for number, (label, seen) in enumerate(zip(weak, teacher, strict=True)):
            clip = clips.Clip(
                id=f"a_media_id_{number}@0-10000000",
                frames=(frames[number % 200], frames[(7 * number + 1) % 200]),
                timestamps=(0, 5_000_000),
                frame_rate=0.2,
                height=72,
                width=96,
                label_index=int(label),
                label_name=confusion.class_names[label],
                media_id=f"a_media_id_{number}",
                data_path="",
                start=0,
                end=10_000_000,
                teacher_index=(int(seen),),
                teacher_confidence=(0.5,),
            )
            yield clips.encode_clip(clip), 2, int(label), int(seen)

    summary = clips.write_shard(folder, clips.shard_name(0, 1), records())
    names = confusion.class_names
    info = clips.finish_dataset(folder, [summary], names, "weak", {"tool": "test"})
    weak, teacher, count = (column.tolist() for column in confusion.cells())
    info.teacher = {"confusion": {"weak": weak, "teacher": teacher, "count": count}}
    info.save(folder)


@pytest.mark.slow
def test_a_large_report_is_small_and_says_what_it_left_out(workdir):
    started = time.monotonic()
    path = build_report(str(workdir))
    seconds = time.monotonic() - started
    size = os.path.getsize(path)
    print(f"\n{size:,} bytes in {seconds:.1f} s")
    assert size < MOST_BYTES
    assert seconds < 120
    with open(path, encoding="utf-8") as file:
        text = file.read()
    start = text.index('id="pictures">') + len('id="pictures">')
    pictures = json.loads(text[start : text.index("</script>", start)])
    shown = sum(len(cell["clips"]) for cell in pictures)
    assert f"{shown:,} of {CLIPS:,} clips were sampled" in text
    # Both sides of the diagonal are there to see, its most frequent cells first.
    diagonal = sum(cell["weak"] == cell["teacher"] for cell in pictures)
    assert min(diagonal, len(pictures) - diagonal) > 100
