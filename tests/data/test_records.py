import numpy as np
import pytest
import tensorflow as tf

from spl_tf import clips
from spl_tf.data.records import BadRecordError, view_record
from tests.conftest import make_clip


def test_a_view_holds_what_the_protobuf_parser_finds():
    for teacher in ((), (2, 1)):
        record = clips.encode_clip(make_clip(3, 1, frames=5, teacher=teacher))
        view = view_record(record)
        assert view.id == b"video3@0-1000000"
        assert (view.label, view.teacher) == (1, 2 if teacher else -1)
        parsed = clips.parse_clip(record)
        assert [view.jpeg(t) for t in range(5)] == list(parsed.frames)


def test_frames_of_every_length_of_the_length_field_are_found():
    # 1, 2, 3 and 4 bytes of length; feature lists in the order a writer likes.
    frames = [bytes([n]) * 10**n for n in range(1, 8)]
    feature_lists = {
        name: tf.train.FeatureList(
            feature=[
                tf.train.Feature(bytes_list=tf.train.BytesList(value=[frame]))
                for frame in frames
            ]
        )
        for name in ("a/first", "image/encoded", "z/last")
    }
    example = tf.train.SequenceExample(
        feature_lists=tf.train.FeatureLists(feature_list=feature_lists)
    )
    view = view_record(example.SerializeToString())
    assert [view.jpeg(t) for t in range(7)] == frames
    assert (view.id, view.label, view.teacher) == (b"", -1, -1)


def test_records_of_another_schema_are_refused():
    example = tf.train.Example()
    example.features.feature["image"].bytes_list.value.append(b"x")
    for record, message in [
        (example.SerializeToString(), "no feature list 'image/encoded', only"),
        (b"not a protobuf", "not a tf.train.SequenceExample"),
        (b"", "no feature list"),
        (clips.encode_clip(make_clip(0, 0))[:-3], "not a tf.train.SequenceExample"),
    ]:
        with pytest.raises(BadRecordError, match=message):
            view_record(record)


def test_a_cut_record_never_hangs_and_only_fails_in_one_way():
    record = clips.encode_clip(make_clip(0, 0, frames=2, size=(16, 16)))
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(record)
        for place in generator.integers(0, len(record), 3):
            damaged[place] = generator.integers(256)
        try:
            view = view_record(bytes(damaged))
            jpegs = [view.jpeg(t) for t in range(len(view.frames))]
        except BadRecordError:
            continue
        assert len(jpegs) == len(view.frames)
