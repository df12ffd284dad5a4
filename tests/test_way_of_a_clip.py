"""One clip goes through the functions that CONTRIBUTING.md lists, in that order."""

import importlib
import pathlib
import re

import numpy as np
import tensorflow as tf

from spl_tf import clips, data, training
from spl_tf.data.decoding import ClipLoader, View
from spl_tf.data.label_lookup import LabelLookup
from spl_tf.data.sampling import random_window
from spl_tf.models import build_model
from spl_tf.training.objectives import Objective
from spl_tf.training.step import mix_pairs
from tests.conftest import counting_images, write_video
from tfrecords_tools.conversion.cutting import cut_clips
from tfrecords_tools.conversion.manifest import read_manifest
from tfrecords_tools.decoding.video import encode_frames, probe

ROOT = pathlib.Path(__file__).parents[1]
SIZES = {"n": 3, "B": 2, "V": 1, "T": 4, "H": 32, "W": 32, "C": 2}


def steps():
    """(file, function, what it gives) of the table."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = text.split("## The way of a clip")[1].split("##")[0]
    return [
        (cells[0].strip("`"), cells[1].strip("`"), cells[2])
        for line in table.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 3
        and cells[0].startswith("`")
    ]


def shapes_of(text):
    """The `dtype [dimensions]` in a cell, with numbers for letters."""
    found = re.findall(r"`((?:int|uint|float)\d+) \[([^]]*)\]`", text)
    return [
        (dtype, [eval(each, {}, SIZES) for each in dimensions.split(",")])
        for dtype, dimensions in found
    ]


def shape(array):
    array = np.asarray(array)
    return str(array.dtype), list(array.shape)


def test_every_function_of_the_way_is_where_the_table_says():
    for file, function, _ in steps():
        module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        found = module
        for name in function.split("."):
            found = getattr(found, name)


def test_a_clip_goes_the_way_with_the_shapes_of_the_table(tmp_path):
    gives = {function: shapes_of(text) for _, function, text in steps()}
    assert sum(map(len, gives.values())) >= 11

    write_video(tmp_path / "v.mp4", counting_images(24, 32, 40))
    (tmp_path / "m.csv").write_text("video,label\nv.mp4,run\n")
    (row,) = read_manifest(str(tmp_path / "m.csv"), ["jump", "run"])
    found = probe(tmp_path / "v.mp4")
    plans = cut_clips(
        row, found.duration, 3, 1.0, "uniform", 0, found.frame_rate, found.start
    )
    records = []
    for plan in plans:
        frames = list(
            encode_frames(tmp_path / plan.video, plan.start, plan.end, 0, 0, 95, 1)
        )
        clip = clips.Clip(
            id=plan.id,
            frames=[frame.jpeg for frame in frames],
            timestamps=[frame.timestamp for frame in frames],
            frame_rate=plan.frame_rate,
            height=frames[0].height,
            width=frames[0].width,
            label_index=plan.label,
            label_name="run",
            media_id=plan.media_id,
            data_path=plan.video,
            start=plan.start,
            end=plan.end,
        )
        records.append((clips.encode_clip(clip), len(frames), plan.label, -1))
    name = clips.shard_name(0, 1)
    summary = clips.write_shard(tmp_path, name, records)
    index = clips.ClipIndex.from_shards([summary])
    assert [shape(index.label)] == gives["ClipIndex.from_shards"]
    clips.finish_dataset(tmp_path, [summary], ["jump", "run"], "clean", {})
    dataset = clips.ClipDataset(tmp_path)

    sampling = data.ClipSampling(SIZES["T"], 1)
    source = data.TrainInput(dataset, None, sampling, SIZES["H"], False, 0, mixup=0.3)
    rows, labels = data.clips_kept(source)
    assert [shape(rows), shape(labels)] == gives["clips_kept"]
    plan = data.TrainPlan(rows, SIZES["B"], seed=0)
    planned = plan.batch(0)
    assert list(map(shape, planned)) == gives["TrainPlan.batch"]
    chosen = sampling.random_frames(8, np.float32([0.5]))
    assert [shape(chosen)] == gives["ClipSampling.random_frames"]

    moves = data.ImageClips("translate_random", step=0.1)
    draws, crop = np.float32([0.1, 0.2]), (SIZES["H"], SIZES["W"])
    window = (0, 0, *crop)
    warps = moves.warps(SIZES["T"], (32, 40), window, crop, False, draws, label=0)
    assert [shape(warps)] == gives["ImageClips.warps"]

    def choose_views(length, height, width, draws):
        window = random_window(height, width, SIZES["H"], draws)
        return [View(sampling.random_frames(length, draws[:1]), window)]

    ((dtype, dimensions),) = gives["ClipLoader.load"]
    out = np.zeros(dimensions, dtype)
    loader = ClipLoader(dataset, choose_views, SIZES["H"])
    _, label, teacher = loader.load(int(rows[0]), np.float32([0.5, 0.5]), out)
    assert (label, teacher) == (1, -1)
    assert out.any()
    columns = (*tf.constant([[1, 1], [-1, -1]], tf.int64), tf.constant(["a", "b"]))
    looked_up = LabelLookup(None, 2)(*columns)
    assert [shape(looked_up)] == gives["LabelLookup"]

    (batch,) = data.train_batches(source, SIZES["B"], stop_step=1)
    assert [shape(batch["clip"])] == gives["train_batches"]
    pixels = data.augment(batch["clip"], batch["draws"], data.Augmentation())
    assert [shape(pixels)] == gives["augment"]
    assert 0 <= np.min(pixels) < np.max(pixels) <= 1
    mixed = mix_pairs(pixels, batch["mix"], batch["partner"], SIZES["V"])
    assert [shape(mixed)] == gives["mix_pairs"]
    model = build_model(
        "r3d_tiny_g", SIZES["C"], batch["clip"].shape[1:], normalization="symmetric"
    )
    logits = model(mixed)
    assert [shape(logits)] == gives["build_model"]
    objective = Objective(training.default_config().loss, SIZES["C"], dataset)
    of_items = tf.reshape(logits, [SIZES["B"], SIZES["V"], SIZES["C"]])
    losses = objective(batch, of_items, tf.constant(0.0))
    assert [shape(losses)] == gives["Objective"]
    assert np.isfinite(losses).all()
