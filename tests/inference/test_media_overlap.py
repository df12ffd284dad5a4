import dataclasses

import pytest
import tensorflow as tf

from spl_tf import clips
from spl_tf.inference.media_overlap import media_id, media_ids
from tests.conftest import make_clip, write_dataset


def test_media_ids_are_those_of_the_parsed_records(web_dataset):
    with web_dataset.reader() as reader:
        records = [reader.read(row) for row in range(len(web_dataset))]
    parsed = [clips.parse_clip(record).media_id for record in records]
    assert [media_id(record) for record in records] == parsed
    assert media_ids(web_dataset) == set(parsed)


def test_a_context_longer_than_what_is_read_first_is_found(tmp_path):
    long = dataclasses.replace(make_clip(3, 0), data_path="x" * 20_000)
    dataset = write_dataset(tmp_path / "d", [long, make_clip(4, 0)], "a", 1)
    assert media_ids(dataset) == {"video3", "video4"}


def test_frames_before_the_context_make_no_difference():
    example = tf.train.SequenceExample.FromString(clips.encode_clip(make_clip(5, 0)))
    context = tf.train.SequenceExample(context=example.context)
    lists = tf.train.SequenceExample(feature_lists=example.feature_lists)
    swapped = lists.SerializeToString() + context.SerializeToString()
    assert media_id(swapped) == "video5"


def test_records_without_a_media_id_do_not_count(tmp_path):
    nameless = dataclasses.replace(make_clip(1, 0), media_id="")
    dataset = write_dataset(tmp_path / "d", [nameless], "a", 1)
    assert media_ids(dataset) == set()


def test_a_media_id_that_is_not_utf_8_is_read_as_by_the_parser():
    example = tf.train.SequenceExample.FromString(clips.encode_clip(make_clip(5, 0)))
    example.context.feature["clip/media_id"].bytes_list.value[:] = [b"caf\xe9"]
    record = example.SerializeToString()
    assert media_id(record) == clips.parse_clip(record).media_id == "caf\\xe9"


def test_a_damaged_record_is_an_error():
    with pytest.raises(ValueError, match=r"not a tf\.train\.SequenceExample"):
        media_id(b"\x0a\x05junk!")


def test_composed_and_decomposed_media_ids_are_one(tmp_path):
    decomposed = dataclasses.replace(make_clip(1, 0), media_id="cre\u0302pes.mp4")
    long = dataclasses.replace(decomposed, data_path="x" * 20_000)
    dataset = write_dataset(tmp_path / "d", [decomposed, long], "a", 1)
    assert media_ids(dataset) == {"cr\u00eapes.mp4"}
