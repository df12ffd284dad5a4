"""The command, on clips of which some are copies, recompressed, scaled or mirrored."""

import csv
import dataclasses
import io
import json
import os

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

from experiments.find_duplicates import find_duplicates
from experiments.reporting.near_copies import read_duplicates
from spl_tf.clips import ClipDataset
from spl_tf.labels.filters import ClipFilter
from tests import warm_python
from tests.conftest import jpeg, write_dataset
from tests.training.finished_run import textured_clip, write_run
from tfrecords_tools.conversion.manifest import read_ids

SCRIPT = "<script>alert(1)</script>"
NAMES = [SCRIPT, "b", "c"]
FILES = ["exclude_ids.csv", "index.html", "pairs.csv", "results.json"]


def changed(clip, number, name, change):
    """A clip of another medium, whose frames are those of a clip, changed."""
    images = [change(Image.open(io.BytesIO(frame))) for frame in clip.frames]
    width, height = images[0].size
    return dataclasses.replace(
        textured_clip(number, number % 3, NAMES),
        id=f"{name}@0-1000000",
        media_id=name,
        frames=tuple(jpeg(np.asarray(image)) for image in images),
        height=height,
        width=width,
    )


def recompressed(image):
    return Image.open(io.BytesIO(jpeg(np.asarray(image), quality=60)))


def enlarged(image):
    return image.resize((60, 34), Image.Resampling.BICUBIC)


def target_clips(count=12):
    return [textured_clip(n, n % 3, NAMES) for n in range(count)]


def web_clips():
    """20 clips of their own, then a copy, and changed copies of targets 0 to 4."""
    target = target_clips()
    trimmed = dataclasses.replace(
        textured_clip(300, 0, NAMES),
        id="trimmed@0-1",
        media_id="trimmed",
        frames=target[4].frames[2:],
        timestamps=target[4].timestamps[2:],
    )
    return [
        *[textured_clip(n, n % 3, NAMES) for n in range(100, 120)],
        changed(target[0], 200, "cöpy, exact", lambda image: image),
        changed(target[1], 201, "recompressed", recompressed),
        changed(target[2], 202, "enlarged", enlarged),
        changed(target[3], 203, "mirrored", ImageOps.mirror),
        trimmed,
    ]


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", NAMES)


@pytest.fixture
def target(tmp_path):
    return write_dataset(tmp_path / "target", target_clips(), NAMES, 1).directory


@pytest.fixture
def web(tmp_path):
    unlabelled = [
        dataclasses.replace(clip, label_index=-1, label_name="") if n < 3 else clip
        for n, clip in enumerate(web_clips())
    ]
    return write_dataset(tmp_path / "web", unlabelled, NAMES, 2).directory


def read_pairs(folder):
    with open(folder / "pairs.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_command_finds_copies_and_both_readers_take_its_list(
    run, web, target, tmp_path
):
    output = tmp_path / "output"
    flags = [f"--{n}={v}" for n, v in (("dataset", web), ("against", target))]
    flags += [f"--checkpoint={run}", f"--output_dir={output}", "--mirrored"]
    flags += ["--threshold=0.7"]
    done = warm_python.run("-m", "experiments.find_duplicates", *flags)
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(os.listdir(output)) == FILES
    results = json.loads((output / "results.json").read_text())
    assert results["settings"]["threshold"] == 0.7

    pairs = read_pairs(output)
    expected = {
        ("cöpy, exact", "video0"),
        ("recompressed", "video1"),
        ("enlarged", "video2"),
        ("mirrored", "video3"),
        ("trimmed", "video4"),
    }
    found = {(row["media_id"], row["against_media_id"]) for row in pairs}
    assert found == expected
    similarity = [float(row["similarity"]) for row in pairs]
    assert similarity == sorted(similarity, reverse=True)
    assert similarity[0] == pytest.approx(
        1, abs=1e-4
    )  # the trimmed one's JPEGs are the same
    (trimmed,) = (row for row in pairs if row["media_id"] == "trimmed")
    assert int(trimmed["frame"]) + 2 == int(trimmed["against_frame"])
    assert f"{len(pairs)} pairs of 25 clips" in done.stdout

    path = str(output / "exclude_ids.csv")
    ids = {media for media, _ in expected}
    assert read_ids(path) == ids
    index = ClipDataset(web).index
    kept = ClipFilter(read_ids(path)).keeps(index.label, {"group": index.group})
    assert kept.sum() == 20

    page = (output / "index.html").read_text()
    assert SCRIPT not in page
    assert page.count("data:image/webp;base64,") == 2 * len(pairs)


def test_within_one_dataset_one_of_each_medium_stays(run, tmp_path):
    first, second = textured_clip(0, 0, NAMES), textured_clip(1, 1, NAMES)
    own_part = dataclasses.replace(first, id="video0@1-2")  # of one medium
    others = [textured_clip(n, 0, NAMES) for n in range(2, 14)]
    again = [
        changed(first, 20, "again", recompressed),
        changed(first, 21, "third", enlarged),
    ]
    nameless = dataclasses.replace(second, id="x", media_id="")
    all_clips = [second, first, own_part, *others, *again, nameless]
    folder = write_dataset(tmp_path / "web", all_clips, NAMES, 1).directory
    results = find_duplicates(
        folder, f"{folder}/", str(tmp_path / "out"), run, threshold=0.7, shown=2
    )
    found = {(row["id"], row["against_id"]) for row in read_pairs(tmp_path / "out")}
    assert found == {
        ("again@0-1000000", "video0@0-1000000"),
        ("again@0-1000000", "video0@1-2"),
        ("third@0-1000000", "video0@0-1000000"),
        ("third@0-1000000", "video0@1-2"),
        ("third@0-1000000", "again@0-1000000"),
        ("x", "video1@0-1000000"),
    }
    assert (tmp_path / "out" / "exclude_ids.csv").read_text() == "again\nthird\n"
    assert results["pairs"] == 6
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("data:image/webp;base64,") == 4
    assert "Shown are the 2 most similar" in page


def test_what_was_found_is_not_replaced_unless_told_to(run, target, tmp_path):
    output = tmp_path / "out"
    strict = {"checkpoint": run, "threshold": 1.0, "num_frames": 1}
    find_duplicates(target, target, str(output), **strict)
    assert (output / "exclude_ids.csv").read_text() == ""
    assert read_ids(str(output / "exclude_ids.csv")) == set()
    former = (output / "results.json").read_bytes()
    with pytest.raises(FileExistsError, match=r"out is not empty; .* --overwrite"):
        find_duplicates(target, target, str(output), **strict)
    # A run that fails leaves the former results whole.
    with pytest.raises(FileNotFoundError):
        find_duplicates(target, target, str(output), "no run", overwrite=True)
    assert (output / "results.json").read_bytes() == former
    find_duplicates(
        target, target, str(output), **strict | {"num_frames": 2}, overwrite=True
    )
    assert (output / "results.json").read_bytes() != former
    (output / "mine.txt").touch()
    with pytest.raises(FileExistsError, match=r"holds mine\.txt, which is none of"):
        find_duplicates(target, target, str(output), **strict, overwrite=True)
    assert not [name for name in os.listdir(tmp_path) if "incomplete" in name]


def test_what_was_found_can_be_shown_elsewhere(run, target, web, tmp_path):
    out = str(tmp_path / "out")
    settings = {"checkpoint": run, "threshold": 0.7, "mirrored": True}
    find_duplicates(web, target, out, **settings)
    moved = str(tmp_path / "moved")
    os.rename(web, moved)
    with pytest.raises(FileNotFoundError, match="web"):
        read_duplicates(out, 3)
    found = read_duplicates(out, 3, dataset=moved)
    rows = read_pairs(tmp_path / "out")
    assert (found.count, len(found.pairs)) == (len(rows), 3)
    assert found.excluded == 5
    for pair, row in zip(found.pairs, rows, strict=False):
        assert (pair.first.clip_id, pair.second.clip_id) == (
            row["id"],
            row["against_id"],
        )
        assert pair.similarity == float(row["similarity"])
    with pytest.raises(ValueError, match=r"target, row \d+: expected the clip '.*made"):
        read_duplicates(out, 3, dataset=target)
    pairs = tmp_path / "out" / "pairs.csv"
    pairs.write_text(pairs.read_text().replace("against_row", "other"))
    with pytest.raises(ValueError, match=r"pairs\.csv has the columns .*find the dup"):
        read_duplicates(out, 3, dataset=moved)


def test_what_cannot_be_compared_is_refused_before_any_work(run, web, tmp_path):
    empty = write_dataset(tmp_path / "empty", [], NAMES, 1).directory
    out = str(tmp_path / "out")
    for datasets in ((web, empty), (empty, web)):
        with pytest.raises(ValueError, match="empty has no clips to compare"):
            find_duplicates(*datasets, out, run)
    with pytest.raises(ValueError, match="threshold is -2, expected a cosine"):
        find_duplicates(web, web, out, run, threshold=-2)
    with pytest.raises(ValueError, match="num_frames is 0"):
        find_duplicates(web, web, out, run, num_frames=0)
    with pytest.raises(FileNotFoundError, match="no run"):
        find_duplicates(web, web, out, "no run")
    assert not os.path.exists(out)


def test_bad_records_can_be_left_out(run, target, tmp_path):
    copies = web_clips()[18:23]
    copies[1] = dataclasses.replace(copies[1], frames=(b"no picture",) * 8)
    web = write_dataset(tmp_path / "web", copies, NAMES, 1).directory
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="row 1"):
        find_duplicates(web, target, str(out), run)
    results = find_duplicates(web, target, str(out), run, on_bad_record="skip")
    assert results["clips"] == 4
    assert (
        0 < results["settings"]["threshold"] < 0.7
    )  # of crops, as far as these are alike
    found = {(row["media_id"], row["against_media_id"]) for row in read_pairs(out)}
    assert {("cöpy, exact", "video0"), ("enlarged", "video2")} <= found


@pytest.mark.slow
def test_features_may_be_of_keras_resnet_in_a_file(target, tmp_path):
    keras.utils.set_random_seed(0)
    path = str(tmp_path / "resnet.weights.h5")
    keras.applications.ResNet50(include_top=False, weights=None).save_weights(path)
    copy = [changed(target_clips()[5], 30, "copy", recompressed)]
    web = write_dataset(tmp_path / "web", copy, NAMES, 1).directory
    results = find_duplicates(
        web, target, str(tmp_path / "out"), path, num_frames=2, crop_size=32
    )
    assert results["settings"]["short_side"] == 37
    best = read_pairs(tmp_path / "out")[0]
    assert (best["media_id"], best["against_media_id"]) == ("copy", "video5")
