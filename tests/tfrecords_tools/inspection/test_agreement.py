"""What conversion accepts, validation finds whole and loading reads is the same."""

import io
import os
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from spl_tf import clips, data
from spl_tf.clips import keys
from tfrecords_tools.conversion.conversion import FileSettings, RunOptions
from tfrecords_tools.convert_images import convert_images
from tfrecords_tools.inspection.reindexing import reindex
from tfrecords_tools.inspection.validation import validate

ONE_FRAME = data.ClipSampling(1, 1)
# The first runs with every test; the second is the thorough one.
AMOUNTS = [150, pytest.param(1000, marks=pytest.mark.slow)]


def originals():
    small = np.random.default_rng(0).integers(0, 256, (20, 26, 3), np.uint8)
    image = Image.fromarray(small).resize((160, 120), Image.Resampling.NEAREST)
    for mode, options in (
        ("RGB", {"quality": 90}),
        ("RGB", {"progressive": True}),
        ("RGB", {"restart_marker_blocks": 3}),
        ("RGB", {"subsampling": 0, "optimize": True}),
        ("RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0", "comment": b"a comment"}),
        ("L", {}),
        ("CMYK", {}),
    ):
        buffer = io.BytesIO()
        image.convert(mode).save(buffer, "JPEG", **options)
        yield buffer.getvalue()


def mutated(number, random):
    """A JPEG with random damage: changed, cut off, lost, or additional bytes."""
    whole = list(originals())
    content = bytearray(whole[number % len(whole)])
    place, count = random.integers(len(content)), random.integers(1, 60)
    kind = number // len(whole) % 7
    if kind == 0:
        for where in random.integers(0, len(content), random.integers(1, 6)):
            content[where] = random.integers(256)
    elif kind == 1:
        del content[place:]
    elif kind == 2:
        content[place : place + count] = random.bytes(count)
    elif kind == 3:
        del content[place : place + count]
    elif kind == 4:
        content[place:place] = random.bytes(count)
    elif kind == 5:  # in the headers
        content[random.integers(min(700, len(content)))] = random.integers(256)
    else:
        content += random.bytes(count)
    return bytes(content)


def mutations(amount):
    random = np.random.default_rng(16)
    return [mutated(number, random) for number in range(amount)]


def pillow_or_tensorflow_reads(content):
    try:
        with warnings.catch_warnings(action="ignore"), io.BytesIO(content) as file:
            Image.open(file).convert("RGB")
        return True
    except Exception:  # of whatever kind
        pass
    try:
        return tf.io.decode_jpeg(content, channels=3).shape.rank == 3
    except tf.errors.OpError:
        return False


def unreadable_rows(dataset):
    """The rows that the readers refuse."""
    skipped = data.SkippedRecords(dataset.directory, len(dataset))
    batches = data.eval_batches(dataset, ONE_FRAME, 1, 16, skipped=skipped)
    good = [batch["index"][batch["mask"]] for batch in batches.as_numpy_iterator()]
    rows = {row for row in range(len(dataset)) if row in skipped}
    assert sorted({*np.concatenate(good).tolist(), *rows}) == list(range(len(dataset)))
    assert sum(map(len, good)) + len(rows) == len(dataset)
    return rows


@pytest.mark.parametrize("amount", AMOUNTS)
def test_validation_finds_what_the_readers_refuse_and_nothing_else(tmp_path, amount):
    records = []
    for frame in mutations(amount):
        example = tf.train.SequenceExample()
        example.context.feature[keys.LABEL_INDEX].int64_list.value.append(0)
        example.context.feature[keys.LABEL_TEXT].bytes_list.value.append(b"a")
        steps = example.feature_lists.feature_list[keys.IMAGE_ENCODED]
        steps.feature.add().bytes_list.value.append(frame)
        records.append((example.SerializeToString(), 1, 0, -1))
    clips.write_shard(tmp_path, clips.shard_name(0, 1), records)
    reindex(str(tmp_path), "weak", num_workers=1)
    dataset = clips.ClipDataset(tmp_path)
    faults = validate(tmp_path, num_workers=1)
    found = {fault.record for fault in faults if fault.record is not None}
    refused = unreadable_rows(dataset)
    assert 0.2 * amount < len(refused) < 0.9 * amount
    # Only so many faults are listed; the rest is counted.
    assert sum(fault.count for fault in faults) == len(refused)
    assert found <= refused
    assert {fault.kind for fault in faults} == {"jpeg"}


@pytest.mark.parametrize("amount", AMOUNTS)
def test_what_conversion_accepts_validates_and_loads(tmp_path, amount):
    readable = set()
    (tmp_path / "images" / "a").mkdir(parents=True)
    for number, content in enumerate(mutations(amount)):
        name = f"a/{number:04}.jpg"
        (tmp_path / "images" / name).write_bytes(content)
        if pillow_or_tensorflow_reads(content):
            readable.add(name)
    (tmp_path / "classes.txt").write_text("a\n")
    info = convert_images(
        str(tmp_path / "classes.txt"),
        str(tmp_path / "clips"),
        str(tmp_path / "images"),
        settings=FileSettings(short_side=0, drop_duplicates=False),
        run=RunOptions(num_workers=1, max_skipped_fraction=1.0),
    )
    left_out = {entry["video"]: entry["reason"] for entry in info.skipped}
    assert 0.5 * amount < len(readable) < 0.95 * amount
    assert readable == {
        f"a/{name}" for name in os.listdir(tmp_path / "images" / "a")
    } - set(left_out)
    assert not any(" at 0x" in reason for reason in left_out.values())
    assert validate(tmp_path / "clips", num_workers=1) == []
    assert not unreadable_rows(clips.ClipDataset(tmp_path / "clips"))
