import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from spl_tf import clips, data
from tests.conftest import jpeg, make_clip, without_added_columns, write_dataset
from tfrecords_tools.inspection.reindexing import reindex
from tfrecords_tools.inspection.validation import Fault, format_faults, validate

NAMES = ["a", "b", "c"]
FIRST, SECOND = "clips.tfrecord-00000-of-00002", "clips.tfrecord-00001-of-00002"


def faults_of(directory):
    return [
        (fault.kind, fault.shard, fault.record, fault.message)
        for fault in validate(directory, num_workers=1)
    ]


def the_fault(directory):
    (fault,) = validate(directory, num_workers=1)
    return fault


def with_clip(directory, **changes):
    """Writes a dataset of three clips, of which the last, in record 1, is changed."""
    all_clips = [make_clip(n, n, teacher=[1, 0], names="abc") for n in range(3)]
    all_clips[2] = dataclasses.replace(all_clips[2], **changes)
    write_dataset(directory, all_clips, NAMES)
    return directory


def with_message(directory, change):
    """As `with_clip`, for changes that no `Clip` can express."""
    directory.mkdir()
    summaries = []
    for shard, numbers in ((0, (0, 2)), (1, (1,))):
        records = []
        for n in numbers:
            record = clips.encode_clip(make_clip(n, n, names="abc"))
            if n == 2:
                message = tf.train.SequenceExample.FromString(record)
                change(message)
                record = message.SerializeToString()
            records.append((record, 8, n, -1))
        name = clips.shard_name(shard, 2)
        summaries.append(clips.write_shard(directory, name, records))
    clips.finish_dataset(directory, summaries, NAMES, "weak", {"tool": "test"})
    return directory


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(bytes(content))


def test_a_good_dataset_has_no_fault(web_dataset):
    assert validate(web_dataset.directory, num_workers=1) == []


def test_damaged_data_is_named_and_the_next_records_are_still_checked(web_dataset):
    shard = web_dataset.index.shard_names[0]
    path = os.path.join(web_dataset.directory, shard)
    offsets = web_dataset.index.offset[web_dataset.index.shard == 0]
    with open(path, "r+b") as file:
        for record in (2, 5):
            file.seek(int(offsets[record]) + 100)
            file.write(b"?????")
    found = validate(web_dataset.directory, num_workers=1)
    assert [(fault.kind, fault.shard, fault.record) for fault in found] == [
        ("checksum", shard, 2),
        ("checksum", shard, 5),
    ]
    assert [fault.offset for fault in found] == offsets[[2, 5]].tolist()
    assert f"{shard}, record 2 at byte {offsets[2]}: the checksum" in str(found[0])


def test_after_a_damaged_length_the_rest_of_that_shard_alone_is_lost(tmp_path):
    directory = with_clip(tmp_path / "d")
    index = clips.ClipIndex.load(directory)
    flip(directory / FIRST, int(index.offset[1]) + 2)
    fault = the_fault(directory)
    assert (fault.kind, fault.shard, fault.record) == ("framing", FIRST, 1)
    assert fault.offset == index.offset[1]
    assert "checksum of the length field is wrong" in fault.message
    assert "the rest of the shard is lost" in fault.message


def test_a_shard_that_ends_early_is_named(tmp_path):
    directory = with_clip(tmp_path / "d")
    path = directory / SECOND
    size = path.stat().st_size
    os.truncate(path, size - 10)
    fault = the_fault(directory)
    assert (fault.kind, fault.shard, fault.record) == ("framing", SECOND, 0)
    assert f"ends after {size - 10} bytes of a record that has {size}" in fault.message


def test_a_missing_shard_and_files_too_many_are_named(tmp_path):
    directory = with_clip(tmp_path / "d")
    os.rename(directory / SECOND, directory / "old.tfrecord")
    (directory / f"{SECOND}.incomplete-0123abcd").write_bytes(b"x")
    found = faults_of(directory)
    assert [(kind, shard) for kind, shard, *_ in found] == [
        ("file", SECOND),
        ("file", f"{SECOND}.incomplete-0123abcd"),
        ("file", "old.tfrecord"),
    ]
    assert "cannot be read" in found[0][3]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"label_name": "b"}, "label", "'b', but class 2 of dataset.json is 'c'"),
        ({"label_index": 3}, "label", "label 3 is no class, expected 0 to 2"),
        ({"timestamps": range(80, 0, -10)}, "timestamps", "step 1 is at 70"),
        ({"start": 5, "end": 4}, "timestamps", "starts at 5, after its end 4"),
        ({"height": 33}, "jpeg", "'image/height' is 33, the frames have 32"),
        ({"width": 39}, "jpeg", "'image/width' is 39, the frames have 40"),
        ({"id": ""}, "schema", "'example/id' is empty"),
        ({"teacher_index": (3, 0)}, "teacher", "[3] are no classes"),
        ({"teacher_confidence": (0.2, 0.4)}, "teacher", "expected the best first"),
        ({"teacher_confidence": (1.5, 0.5)}, "teacher", "expected 0 to 1"),
    ],
)
def test_a_field_that_is_wrong_is_named(tmp_path, changes, kind, message):
    found = validate(with_clip(tmp_path / "d", **changes), num_workers=1)
    assert {(fault.kind, fault.shard, fault.record) for fault in found} == {
        (kind, FIRST, 1)
    }
    assert message in found[0].message
    assert found[0].clip == changes.get("id", "video2@0-1000000")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.context.feature.pop("clip/media_id"),
            "no context key 'clip/media_id'",
        ),
        (
            lambda m: m.context.feature["image/height"].float_list.value.append(1.0),
            "'image/height' is a float_list of 1, expected a int64_list of 1",
        ),
        (
            lambda m: m.context.feature["clip/label/index"].int64_list.value.append(0),
            "'clip/label/index' is a int64_list of 2, expected a int64_list of 1",
        ),
        (
            lambda m: (
                m.feature_lists.feature_list["image/encoded"]
                .feature[4]
                .bytes_list.value.append(b"x")
            ),
            "step 4 of 'image/encoded' has 2 values in its bytes_list, expected 1",
        ),
        (
            lambda m: m.feature_lists.feature_list["image/timestamp"].feature.pop(),
            "7 timestamps for 8 frames",
        ),
        (
            lambda m: m.feature_lists.feature_list.pop("image/timestamp"),
            "no feature list 'image/timestamp'",
        ),
        (
            lambda m: m.feature_lists.feature_list.pop("image/encoded"),
            "no feature list 'image/encoded'",
        ),
    ],
)
def test_a_layout_that_is_wrong_is_named(tmp_path, change, message):
    found = validate(with_message(tmp_path / "d", change), num_workers=1)
    assert (found[0].shard, found[0].record) == (FIRST, 1)
    assert message in [fault.message.split(";")[0] for fault in found]


def test_records_of_another_tool_need_no_more_than_the_pipeline_reads(tmp_path):
    def strip(message):
        for key in list(message.context.feature):
            if not key.startswith("clip/label"):
                del message.context.feature[key]
        del message.feature_lists.feature_list["image/timestamp"]

    directory = with_message(tmp_path / "d", strip)
    assert {fault.kind for fault in validate(directory, 1)} == {"schema"}
    (directory / "dataset.json").unlink()
    reindex(directory, "weak", num_workers=1)
    assert validate(directory, num_workers=1) == []


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (jpeg(np.zeros((32, 40, 3), np.uint8))[:-9], "does not decode: "),
        (b"\x89PNG....", "is no JPEG, it starts with 89 50 4e 47"),
        (b"", "is no JPEG, it starts with nothing"),
        (b"\xff\xd8\xff\xd9", "is a JPEG of 4 bytes without a frame header"),
        (
            jpeg(np.zeros((16, 40, 3), np.uint8)),
            "is 16 x 40 (height x width), the clip's first is 32 x 40",
        ),
    ],
)
def test_a_bad_frame_is_named(tmp_path, frame, message):
    frames = [*make_clip(2, 2, names="abc").frames[:7], frame]
    fault = the_fault(with_clip(tmp_path / "d", frames=frames))
    assert (fault.kind, fault.shard, fault.record) == ("jpeg", FIRST, 1)
    assert fault.message.startswith("frame 7")
    assert message in fault.message


def test_bytes_around_the_markers_of_a_frame_are_no_fault(tmp_path):
    clip = make_clip(2, 2, names="abc")
    frames = list(clip.frames)
    frames[1] += bytes(5000)  # a camera's padding
    frames[2] += frames[3]  # a second picture, as in stereo cameras' files
    frames[4] = frames[4].replace(b"\xff\xdb", b"\xff\xff\xff\xdb")
    dataset = clips.ClipDataset(with_clip(tmp_path / "d", frames=frames))
    assert validate(dataset.directory, num_workers=1) == []
    assert len(list(data.eval_batches(dataset, data.ClipSampling(8, 1), 32, 3))) == 1


def test_frames_smaller_than_a_crop_are_found_when_asked_for(tmp_path):
    small = make_clip(2, 2, names="abc", size=(24, 40))
    directory = with_clip(tmp_path / "d", frames=small.frames, height=24)
    kinds = {crop: [f.kind for f in validate(directory, 1, crop)] for crop in (24, 25)}
    assert kinds == {24: [], 25: ["crop"]}
    (fault,) = validate(directory, 1, crop_size=25)
    assert (fault.shard, fault.record, fault.clip) == (FIRST, 1, "video2@0-1000000")
    assert fault.message == "its frames are 24 x 40, smaller than the crop of 25"
    dataset = clips.ClipDataset(directory)
    with pytest.raises(tf.errors.OpError, match=r"24 x 40.*--validate --crop_size=25"):
        list(data.eval_batches(dataset, data.ClipSampling(8, 1), 25, 3))


def test_an_id_that_occurs_twice_is_named_with_both_places(tmp_path):
    fault = the_fault(with_clip(tmp_path / "d", id="video1@0-1000000"))
    assert fault.kind == "duplicate"
    assert fault.clip == "video1@0-1000000"
    assert (fault.shard, fault.record) == (SECOND, 0)
    assert fault.message == f"the id is also that of {FIRST}, record 1"


def test_every_wrong_row_of_the_index_is_named(tmp_path):
    directory = with_clip(tmp_path / "d")
    index = clips.ClipIndex.load(directory)
    index.label[1] = 0
    index.frames[1] = 9
    index.teacher[2] = -1
    index.save(directory)
    assert faults_of(directory) == [
        ("index", FIRST, 1, "index.npz says frames 9, found 8; label 0, found 2"),
        ("index", SECOND, 0, "index.npz says teacher -1, found 1"),
    ]


def test_wrong_confidences_groups_and_labels_of_the_index_are_named(tmp_path):
    changes = {"more_labels": ((0, "a"),), "media_id": ""}
    directory = with_clip(tmp_path / "d", **changes)
    assert validate(directory, num_workers=1) == []
    index = clips.ClipIndex.load(directory)
    index.labels[2] = 1
    index.group[1] = 7
    index.confidence[2] = 0.25
    index.save(directory)
    assert faults_of(directory) == [
        (
            "index",
            FIRST,
            1,
            "index.npz says labels (2, 1), found (2, 0); group 7, found -1",
        ),
        ("index", SECOND, 0, "index.npz says confidence 0.25, found 1.0"),
    ]
    without_added_columns(directory)
    assert validate(directory, num_workers=1) == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (((1, "c"),), "'c', but class 1 of dataset.json is 'b'"),
        (((1, "b"), (3, "d")), "label 3 is no class, expected 0 to 2"),
    ],
)
def test_every_label_of_a_record_is_checked(tmp_path, more, message):
    found = validate(with_clip(tmp_path / "d", more_labels=more), num_workers=1)
    assert {(fault.kind, fault.shard, fault.record) for fault in found} == {
        ("label", FIRST, 1)
    }
    assert message in found[0].message


def test_an_index_that_is_damaged_or_of_another_dataset_is_named(tmp_path):
    directory = with_clip(tmp_path / "d")
    other = write_dataset(tmp_path / "o", [make_clip(0, 0)], NAMES, num_shards=1)
    other.index.save(directory)
    assert "do not belong together" in the_fault(directory).message
    (directory / "index.npz").write_bytes(b"damaged")
    assert "damaged" in the_fault(directory).message
    (directory / "index.npz").unlink()
    assert "--reindex" in the_fault(directory).message


def test_counts_and_bytes_of_dataset_json_are_checked(tmp_path):
    directory = with_clip(tmp_path / "d")
    info = clips.DatasetInfo.load(directory)
    size = info.shards[0]["num_bytes"]
    info.shards[0] |= {"num_clips": 3, "num_bytes": 1234}
    info.save(directory)
    assert faults_of(directory) == [
        ("counts", FIRST, None, "dataset.json says num_clips 3, the shard has 2"),
        (
            "counts",
            FIRST,
            None,
            f"dataset.json says num_bytes 1,234, the shard has {size:,}",
        ),
    ]


def test_many_faults_are_counted_and_some_are_listed(tmp_path):
    small = make_clip(0, 0, frames=1, size=(8, 8), names="a")
    all_clips = [
        dataclasses.replace(small, id=f"clip{n}", label_name="b") for n in range(130)
    ]
    write_dataset(tmp_path / "d", all_clips, ["a"], num_shards=1)
    found = validate(tmp_path / "d", num_workers=1)
    # Two keys hold the name.
    assert len(found) == 101
    assert sum(fault.count for fault in found) == 260
    lines = format_faults(found, limit=5).splitlines()
    assert lines[0] == "label: 260"
    assert lines[1].startswith("  clips.tfrecord-00000-of-00001, record 0 at byte 0")
    assert lines[6:] == ["  and 255 more", "260 faults found"]


def test_faults_are_printed_by_kind_with_totals():
    text = format_faults([Fault("index", "x"), Fault("jpeg", "y", "s", 3, 70, "é'")])
    assert text.splitlines() == [
        "index: 1",
        "  x",
        "jpeg: 1",
        """  s, record 3 at byte 70, clip "é'": y""",
        "2 faults found",
    ]


def test_names_of_labels_are_compared_composed(tmp_path):
    names = ["cre\u0302pes", "b"]
    made = [make_clip(number, 0, names=names) for number in range(2)]
    dataset = write_dataset(tmp_path / "d", made, names)
    assert dataset.info.class_names == ["cr\u00eapes", "b"]
    assert validate(tmp_path / "d", num_workers=1) == []
    (tmp_path / "classes.txt").write_text("cr\u00eapes\nb\n", encoding="utf-8")
    reindex(tmp_path / "d", "weak", str(tmp_path / "classes.txt"), overwrite=True)
    assert validate(tmp_path / "d", num_workers=1) == []
