"""What inspection shows of optical flow, and finds wrong with it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from spl_tf import clips
from spl_tf.clips import keys
from spl_tf.motion import flow_encoding
from tests.conftest import make_clip, write_dataset
from tfrecords_tools.conversion.flow_job import with_flow
from tfrecords_tools.inspection.contact_sheet import draw_contact_sheet
from tfrecords_tools.inspection.flow_picture import (
    color_wheel,
    flow_arrows,
    flow_colors,
    full_speed,
)
from tfrecords_tools.inspection.summary import format_summary
from tfrecords_tools.inspection.validation import validate

SIZE = (32, 40)
HOW = {"method": "dis_fast", "max_flow": 20.0, "format": "png"}


def image(flow=(0.0, 0.0), size=SIZE, image_format="png"):
    pixels = flow_encoding.encode_flow(np.full((*size, 2), flow, np.float32))
    return flow_encoding.to_image_file(pixels, image_format, 95)


def dataset_of(directory, *images_of_clips, how=HOW):
    """Clips of 8 grey frames with these images of flow, None for no such list."""
    write_dataset(directory, [], ["a", "b"], num_shards=1)
    records = []
    for number, images in enumerate(images_of_clips):
        record = clips.encode_clip(make_clip(number, number % 2))
        record = record if images is None else with_flow(record, images)
        records.append((record, 8, number % 2, -1))
    summary = clips.write_shard(directory, clips.shard_name(0, 1), records)
    source = {"tool": "test"} | ({"flow": how} if how else {})
    clips.finish_dataset(directory, [summary], ["a", "b"], "weak", source)
    return clips.ClipDataset(directory)


def flow_line(dataset):
    lines = format_summary(dataset).splitlines()
    (line,) = (line for line in lines if line.startswith("  flow "))
    return line.split(maxsplit=1)[1]


def test_the_summary_tells_whether_and_how_there_is_flow(tmp_path):
    good = [image()] * 8
    size = f"{8 * len(image())} B"
    with_it = dataset_of(tmp_path / "a", good)
    expected = f"dis_fast, up to 20 pixels, png, 32 x 40, {size} in the first clip"
    assert flow_line(with_it) == expected
    assert "method" not in format_summary(with_it)
    assert flow_line(dataset_of(tmp_path / "b", None, how=None)) == "none"
    foreign = dataset_of(tmp_path / "c", good, how=None)
    assert flow_line(foreign).endswith("first clip; how it was found is not known")
    lost = dataset_of(tmp_path / "d", None)
    assert flow_line(lost) == "none in the first clip, which should have it"
    bad = dataset_of(tmp_path / "e", [b"x"] * 8)
    assert flow_line(bad).startswith(
        "that of the first clip cannot be read: is no JPEG"
    )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([image()] * 7, "7 images of flow for 8 frames"),
        ([image()] * 7 + [b"x"], "image 7 of the flow is no JPEG"),
        ([image()] * 7 + [image()[:-30]], "image 7 of the flow does not decode"),
        (
            [image(size=(16, 40), image_format="jpeg")] + [image()] * 7,
            "image 0 of the flow is 16 x 40 (height x width), the clip's first frame "
            "32 x 40",
        ),
        (None, "no feature list 'FORWARD_FLOW/image/encoded', though dataset.json"),
    ],
)
def test_flow_that_is_wrong_is_a_fault_that_names_the_clip(tmp_path, images, message):
    good = [image((3, -2))] * 7 + [image(image_format="jpeg")]
    dataset = dataset_of(tmp_path / "d", good, images)
    (fault,) = validate(dataset.directory, num_workers=1)
    assert (fault.kind, fault.record, fault.clip) == ("flow", 1, "video1@0-1000000")
    assert fault.message.startswith(message)


def test_a_step_of_flow_without_a_value_is_a_fault(tmp_path):
    record = with_flow(clips.encode_clip(make_clip(0, 0)), [image()] * 8)
    example = tf.train.SequenceExample.FromString(record)
    steps = example.feature_lists.feature_list[keys.FLOW_ENCODED].feature
    del steps[3].bytes_list.value[:]
    write_dataset(tmp_path, [], ["a"], num_shards=1)
    records = [(example.SerializeToString(), 8, 0, -1)]
    summary = clips.write_shard(tmp_path, clips.shard_name(0, 1), records)
    clips.finish_dataset(tmp_path, [summary], ["a"], "weak", {"tool": "test"})
    (fault,) = validate(tmp_path, num_workers=1)
    assert "step 3 of 'FORWARD_FLOW/image/encoded' has 0 values" in fault.message


def test_colours_tell_direction_and_speed():
    flow = np.zeros((1, 5, 2), np.float32)
    flow[0, 1:] = [[4, 0], [-4, 0], [0, 2], [40, 0]]
    found = np.asarray(flow_colors(flow, 4.0))[0].astype(int)
    assert found[0].tolist() == [255, 255, 255]
    assert found[1].tolist() == found[4].tolist() == [255, 0, 0]
    assert found[2].tolist() == [0, 255, 255]
    assert found[3].tolist() == [191, 255, 128]  # down, half as fast
    wheel = np.asarray(color_wheel(101)).astype(int)
    assert wheel[50, 98].tolist() == pytest.approx([255, 0, 0], abs=20)
    assert wheel[50, 50].tolist() == pytest.approx([255, 255, 255], abs=3)
    assert wheel[0, 0].tolist() == [255, 255, 255]


def test_arrows_are_the_mean_flow_of_squares_that_move():
    flow = np.zeros((48, 64, 2), np.float32)
    flow[:, 40:] = [3, -6]
    places, moves, side = flow_arrows(flow, 6.0)
    assert side == 10
    assert len(places) == 4 * 2 + 4  # two columns that move, and one in part
    assert places[:, 0].max() < 64
    assert places[:, 1].max() < 48
    np.testing.assert_allclose(moves[1], [3, -6])
    assert full_speed(flow) == pytest.approx(np.hypot(3, 6))
    assert full_speed(np.zeros((4, 4, 2))) == 2.0
    assert len(flow_arrows(np.zeros((5, 3, 2), np.float32), 2.0).places) == 0


def test_the_contact_sheet_has_flow_beside_frames(tmp_path):
    def colors(*flows):
        images = [None if flow is None else [image(flow)] * 8 for flow in flows]
        dataset = dataset_of(tmp_path / str(flows), *images)
        draw_contact_sheet(dataset, str(tmp_path / "x.png"))
        pixels = np.asarray(Image.open(tmp_path / "x.png").convert("RGB"))
        return pixels.shape[1], pixels[120:].reshape(-1, 3).astype(int)  # no wheel

    width, pixels = colors((5, 0), None)
    red = (pixels[:, 0] > 200) & (pixels[:, 1:] < 60).all(axis=1)
    assert red.mean() > 0.05
    wide, pixels = colors((0, 0), (0, 0))
    assert wide == width
    assert (np.ptp(pixels, axis=1) > 60).mean() == 0
    clip = dataclasses.replace(make_clip(0, 0), id="x")
    bad = with_flow(clips.encode_clip(clip), [b"no image"])
    write_dataset(tmp_path, [], ["a"], num_shards=1)
    summary = clips.write_shard(tmp_path, clips.shard_name(0, 1), [(bad, 8, 0, -1)])
    clips.finish_dataset(tmp_path, [summary], ["a"], "weak", {})
    with pytest.raises(ValueError, match="'x': the middle image of its flow cannot be"):
        draw_contact_sheet(clips.ClipDataset(tmp_path), str(tmp_path / "y.png"))
