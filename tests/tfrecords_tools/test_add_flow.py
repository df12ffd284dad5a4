"""Records again with optical flow, from real records, also after kills."""

import dataclasses
import json
import time

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from spl_tf import clips
from spl_tf.clips.shard_folder import ChangedInputsError
from spl_tf.motion import flow_encoding
from spl_tf.motion.flow_encoding import from_image_file
from tests.conftest import jpeg, make_clip, write_dataset
from tests.tfrecords_tools.conftest import contents
from tests.warm_python import WarmProcess
from tfrecords_tools.add_flow import add_flow
from tfrecords_tools.conversion.conversion import TooManySkippedError
from tfrecords_tools.conversion.flow_job import FlowSettings
from tfrecords_tools.conversion.resuming import RunOptions

FLOW = "FORWARD_FLOW/image/encoded"
# What DMVR asks for, written out as its users would (dmvr/modalities.py).
DMVR_CONTEXT = {"clip/label/index": tf.io.VarLenFeature(tf.int64)}
DMVR_SEQUENCE = {
    name: tf.io.FixedLenSequenceFeature([], tf.string)
    for name in ("image/encoded", FLOW)
}
ONE = RunOptions(num_workers=1)


def moving_clip(number, label, speed=(0, 0), frames=4, size=(48, 64), **changes):
    """A clip of noise that moves by so many pixels a frame, right and down."""
    noise = np.random.default_rng(number).normal(size=(size[0] * 2, size[1] * 2))
    image = ndimage.gaussian_filter(noise, 1.5, mode="wrap")
    image = (128 + 40 * image / image.std()).clip(0, 255).astype(np.uint8)
    images = [
        np.roll(image, (t * speed[1], t * speed[0]), (0, 1))[: size[0], : size[1]]
        for t in range(frames)
    ]
    clip = make_clip(number, label, frames=frames, size=size, names="abc", teacher=[2])
    encoded = tuple(jpeg(np.repeat(each[..., None], 3, axis=-1)) for each in images)
    return dataclasses.replace(clip, frames=encoded, **changes)


def dataset_of(directory, *changed, count=6):
    """Clips in 2 shards, of which clip n moves by n pixels to the right."""
    made = [moving_clip(n, n % 3, (n, 0)) for n in range(count)]
    for number, changes in changed:
        made[number] = dataclasses.replace(made[number], **changes)
    return write_dataset(directory, made, ["a", "b", "c"])


def records_of(directory):
    dataset = clips.ClipDataset(directory)
    with dataset.reader() as reader:
        return [reader.read(row) for row in range(len(dataset))]


def without_flow(record):
    """The record as the protobuf library writes it when its flow is taken out."""
    example = tf.train.SequenceExample.FromString(record)
    del example.feature_lists.feature_list[FLOW]
    return example.SerializeToString(deterministic=True)


@pytest.mark.parametrize("image_format", flow_encoding.FORMATS)
def test_records_parse_with_dmvrs_specification_and_show_the_motion(
    tmp_path, image_format
):
    source = dataset_of(tmp_path / "in")
    settings = FlowSettings(format=image_format)
    add_flow(str(tmp_path / "in"), str(tmp_path / "out"), settings, ONE)
    numbers = [0, 2, 4, 1, 3, 5]  # shard by shard
    for number, record in zip(numbers, records_of(tmp_path / "out"), strict=True):
        context, lists = tf.io.parse_single_sequence_example(
            record, DMVR_CONTEXT, DMVR_SEQUENCE
        )
        assert context["clip/label/index"].values.numpy().tolist() == [number % 3]
        images = [tf.io.decode_image(each).numpy() for each in lists[FLOW]]
        assert np.shape(images) == (4, 48, 64, 3)
        flow = 20 * (np.array(images)[..., :2].astype(float) / 255 * 2 - 1)
        inner = flow[:, 10:-10, 10:-10]
        assert np.abs(inner.mean(axis=(1, 2)) - [number, 0]).max() < 0.2
        np.testing.assert_array_equal(images[3], images[2])
        if number == 0:
            assert np.abs(flow).max() <= 20 / 255 + 1e-5
    assert len(source) == 6


def test_all_but_the_flow_is_kept_byte_for_byte(tmp_path):
    source = dataset_of(tmp_path / "in")
    source.info.teacher = {"checkpoint": "t", "confusion": {"weak": [0]}}
    source.info.skipped = [{"video": "v", "clip": "", "kind": "k", "reason": "r"}]
    source.info.save(source.directory)
    info = add_flow(source.directory, str(tmp_path / "out"), run=ONE)
    before, after = records_of(source.directory), records_of(tmp_path / "out")
    assert list(map(without_flow, after)) == before
    expected = dataclasses.asdict(source.info)
    found = dataclasses.asdict(clips.DatasetInfo.load(tmp_path / "out"))
    assert found == dataclasses.asdict(info)
    flow = found["source"].pop("flow")
    assert (flow["method"], flow["max_flow"]) == ("dis_medium", 20.0)
    assert (flow["format"], flow["quality"]) == ("jpeg", 95)
    assert [each.pop("num_bytes") for each in found["shards"]] == [
        sum(map(len, after[:3])),
        sum(map(len, after[3:])),
    ]
    for shard in expected["shards"]:
        del shard["num_bytes"]
    assert found == expected
    index = clips.ClipIndex.load(tmp_path / "out")
    for column in ("shard", "frames", "label", "teacher", "group", "confidence"):
        np.testing.assert_array_equal(index.column(column), source.index.column(column))


def test_a_finished_dataset_is_not_written_again(tmp_path):
    dataset_of(tmp_path / "in")
    add_flow(*_folders(tmp_path), run=ONE)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    add_flow(*_folders(tmp_path), run=ONE)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert before == after


def test_a_killed_run_is_continued_to_the_same_bytes(tmp_path):
    made = [moving_clip(n, n % 3, (n, 1), 12, (120, 160)) for n in range(16)]
    write_dataset(tmp_path / "in", made, ["a", "b", "c"], num_shards=8)
    add_flow(str(tmp_path / "in"), str(tmp_path / "whole"), run=ONE)
    flags = [f"--input_dir={tmp_path / 'in'}", f"--output_dir={tmp_path / 'out'}"]
    for shards in (0, 3):
        command = WarmProcess(
            *("-m", "tfrecords_tools.add_flow", "--num_workers=1", *flags)
        )
        while len(list((tmp_path / "out").glob("clips.*"))) <= shards:
            assert command.poll() is None, command.communicate()
            time.sleep(0.005)
        command.kill()
        command.wait()
    assert not (tmp_path / "out" / "dataset.json").exists()
    with pytest.raises(ChangedInputsError, match=r"method \(was 'dis_medium', is 'dis"):
        add_flow(*_folders(tmp_path), FlowSettings(method="dis_fast"), ONE)
    add_flow(*_folders(tmp_path), run=ONE)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_processes_and_beam_write_the_same_bytes(tmp_path):
    pytest.importorskip("apache_beam")
    dataset_of(tmp_path / "in")
    arguments = (
        "--runner=DirectRunner",
        "--direct_running_mode=multi_processing",
        "--direct_num_workers=2",
    )
    for name, run in (
        ("one", ONE),
        ("two", RunOptions(num_workers=2)),
        ("beam", RunOptions("beam", arguments)),
    ):
        add_flow(str(tmp_path / "in"), str(tmp_path / name), run=run)
        assert contents(tmp_path / name) == contents(tmp_path / "one")


def _folders(tmp_path):
    return str(tmp_path / "in"), str(tmp_path / "out")


def test_clips_without_usable_frames_are_left_out_and_named(tmp_path):
    small = jpeg(np.zeros((40, 64, 3), np.uint8))
    good = moving_clip(1, 1).frames
    source = dataset_of(
        tmp_path / "in",
        (1, {"frames": (*good[:3], small)}),
        (2, {"frames": (*good[:3], good[3][:-200])}),
        (3, {"frames": good[:1], "timestamps": (0,)}),
        count=8,
    )
    source.info.teacher = {"checkpoint": "t", "confusion": {}}
    source.info.save(source.directory)
    shard = tmp_path / "in" / source.index.shard_names[1]
    content = bytearray(shard.read_bytes())
    content[-100] ^= 0xFF  # in the last record, clip 7
    shard.write_bytes(bytes(content))
    with pytest.raises(TooManySkippedError, match=r"of 8 clips, 3 \(37.5%\) were left"):
        add_flow(*_folders(tmp_path), run=ONE)
    loose = RunOptions(num_workers=1, max_skipped_fraction=1.0)
    info = add_flow(*_folders(tmp_path), run=loose)
    found = {entry["clip"]: entry["reason"] for entry in info.skipped}
    assert {entry["kind"] for entry in info.skipped} == {"bad record"}
    assert "frame 3 is 40 x 64" in found["video1@0-1000000"]
    assert "frame 3 does not decode" in found["video2@0-1000000"]
    assert "checksum of the data is wrong" in found[""]
    index = clips.ClipIndex.load(tmp_path / "out")
    assert index.frames.tolist() == [4, 4, 4, 1, 4]
    # Clips 0, 4, 6, 3 and 5 are of classes 0, 1, 0, 0, 2; the teacher says 2 of all.
    cells = {"weak": [0, 1, 2], "teacher": [2, 2, 2], "count": [3, 1, 1]}
    assert info.teacher == {"checkpoint": "t", "confusion": cells}
    alone = tf.train.SequenceExample.FromString(records_of(tmp_path / "out")[3])
    (image,) = alone.feature_lists.feature_list[FLOW].feature
    pixels = from_image_file(image.bytes_list.value[0])
    assert np.unique(pixels).tolist() == [128]


def test_a_clip_that_takes_too_long_is_left_out_and_named(tmp_path):
    dataset_of(tmp_path / "in")
    run = RunOptions(num_workers=1, max_skipped_fraction=1.0)
    with pytest.raises(
        ValueError, match=r"none of the 6 .* limit of 1e-09 s .* frame 1 of 4"
    ):
        add_flow(*_folders(tmp_path), FlowSettings(clip_timeout=1e-9), run)
    assert contents(tmp_path / "out") == {}


def test_flow_that_is_there_is_kept_unless_it_is_to_be_replaced(tmp_path):
    dataset_of(tmp_path / "in")
    add_flow(*_folders(tmp_path), FlowSettings(method="dis_fast"), ONE)
    again = (str(tmp_path / "out"), str(tmp_path / "again"))
    with pytest.raises(ValueError, match=r"'video0@0-1000000' has flow already"):
        add_flow(*again, run=ONE)
    add_flow(*again, run=ONE, replace_flow=True)
    add_flow(str(tmp_path / "in"), str(tmp_path / "anew"), run=ONE)
    assert records_of(tmp_path / "again") == records_of(tmp_path / "anew")


def test_the_output_is_no_other_dataset_s_folder(tmp_path):
    dataset_of(tmp_path / "in")
    dataset_of(tmp_path / "other")
    with pytest.raises(ValueError, match="is the --input_dir"):
        add_flow(str(tmp_path / "in"), f"{tmp_path}/./in", run=ONE)
    with pytest.raises(ChangedInputsError, match=r"method \(was None, is 'dis_medium'"):
        add_flow(str(tmp_path / "in"), str(tmp_path / "other"), run=ONE)
    overwriting = RunOptions(num_workers=1, overwrite=True)
    add_flow(str(tmp_path / "in"), str(tmp_path / "other"), run=overwriting)
    assert json.loads((tmp_path / "other" / "dataset.json").read_text())["source"][
        "flow"
    ]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"method": "raft"}, "method is 'raft', expected one of dis_medium, dis_fast"),
        ({"format": "gif"}, "format is 'gif', expected jpeg or png"),
        ({"quality": 0}, "quality is 0, expected 1 to 100"),
        ({"clip_timeout": 0.0}, "clip_timeout is 0.0, expected more than 0"),
    ],
)
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        FlowSettings(**setting)
