import dataclasses

import pytest
import tensorflow as tf

from spl_tf import clips
from tests.conftest import make_clip

# What DMVR asks for, written out as its users would (dmvr/builders.py).
DMVR_CONTEXT = {
    "clip/label/index": tf.io.VarLenFeature(tf.int64),
    "clip/label/text": tf.io.VarLenFeature(tf.string),
}
DMVR_SEQUENCE = {"image/encoded": tf.io.FixedLenSequenceFeature([], tf.string)}


def test_a_clip_survives_the_round_trip():
    clip = make_clip(3, 1, teacher=[2, 0])
    parsed = clips.parse_clip(clips.encode_clip(clip))
    assert parsed.teacher_confidence == pytest.approx(clip.teacher_confidence)
    same = dataclasses.replace(parsed, teacher_confidence=clip.teacher_confidence)
    assert same == clip


def test_records_parse_with_the_spec_of_dmvr():
    clip = make_clip(3, 1, frames=5)
    context, sequence = tf.io.parse_single_sequence_example(
        clips.encode_clip(clip), DMVR_CONTEXT, DMVR_SEQUENCE
    )
    assert sequence["image/encoded"].shape == (5,)
    assert sequence["image/encoded"].numpy().tolist() == list(clip.frames)
    assert context["clip/label/index"].values.numpy().tolist() == [1]
    assert context["clip/label/text"].values.numpy().tolist() == [b"b"]


def test_a_clip_has_one_label_or_several():
    one = make_clip(3, 1)
    several = dataclasses.replace(one, more_labels=((4, "e"), (0, "a")))
    assert (one.labels, several.labels) == ((1,), (1, 4, 0))
    assert clips.parse_clip(clips.encode_clip(several)) == several
    context, _ = tf.io.parse_single_sequence_example(
        clips.encode_clip(several), DMVR_CONTEXT, DMVR_SEQUENCE
    )
    assert context["clip/label/index"].values.numpy().tolist() == [1, 4, 0]
    assert context["clip/label/text"].values.numpy().tolist() == [b"b", b"e", b"a"]
    graph = clips.parse_in_graph(tf.constant(clips.encode_clip(several)))
    assert int(graph["label"]) == 1


@pytest.mark.parametrize("names", [[], [b"b"], [b"b", b"e", b"a", b"x"]])
def test_labels_are_read_however_many_names_there_are(names):
    clip = dataclasses.replace(make_clip(3, 1), more_labels=((4, "e"), (0, "a")))
    example = tf.train.SequenceExample.FromString(clips.encode_clip(clip))
    for key in ("clip/label/string", "clip/label/text"):
        example.context.feature[key].bytes_list.value[:] = names
    parsed = clips.parse_clip(example.SerializeToString())
    assert parsed.labels == (1, 4, 0)
    found = [parsed.label_name, *(name for _, name in parsed.more_labels)]
    assert found == [*(name.decode() for name in names[:3]), *[""] * (3 - len(names))]


def test_equal_clips_give_equal_bytes():
    assert clips.encode_clip(make_clip(1, 0)) == clips.encode_clip(make_clip(1, 0))


def test_with_teacher_changes_nothing_but_the_teacher():
    clip = make_clip(3, 1, teacher=[0])
    record = clips.with_teacher(clips.encode_clip(clip), [2, 1], [0.5, 0.25])
    parsed = clips.parse_clip(record)
    assert parsed == dataclasses.replace(
        clip, teacher_index=(2, 1), teacher_confidence=(0.5, 0.25)
    )


@pytest.mark.parametrize("size", [10, 127, 128, 20_000])
def test_with_teacher_keeps_what_other_tools_wrote_and_in_what_order(size):
    """Messages merge by being put together; lists before the context, too."""
    lists, names, more = (tf.train.SequenceExample() for _ in range(3))
    for key in ("z/own", "image/encoded"):
        lists.feature_lists.feature_list[key].feature.add().bytes_list.value.append(
            b"x"
        )
    names.context.feature["example/id"].bytes_list.value.append(b"i" * size)
    more.context.feature["clip/label/index"].int64_list.value.append(3)
    parts = [each.SerializeToString() for each in (lists, names, more)]
    record = clips.with_teacher(b"".join(parts), [1], [0.5])
    assert record.endswith(parts[0])
    expected = tf.train.SequenceExample.FromString(b"".join(parts))
    expected.context.feature["TEACHER/clip/label/index"].int64_list.value.append(1)
    confidence = expected.context.feature["TEACHER/clip/label/confidence"]
    confidence.float_list.value.append(0.5)
    assert tf.train.SequenceExample.FromString(record) == expected


def test_an_id_that_is_not_utf_8_is_kept_and_can_be_shown():
    example = tf.train.SequenceExample.FromString(clips.encode_clip(make_clip(3, 1)))
    for key in ("example/id", "clip/media_id", "clip/label/text"):
        example.context.feature[key].bytes_list.value[:] = [b"caf\xe9"]
    record = clips.with_teacher(example.SerializeToString(), [2], [0.5])
    written = tf.train.SequenceExample.FromString(record).context.feature
    assert written["example/id"].bytes_list.value[:] == [b"caf\xe9"]
    assert written["TEACHER/clip/label/index"].int64_list.value[:] == [2]
    parsed = clips.parse_clip(record)
    assert (parsed.id, parsed.media_id, parsed.label_name) == (
        "caf\\xe9",
        "caf\\xe9",
        "b",
    )
    with pytest.raises(ValueError, match=r"clip .*caf.*xe9.* has 2 teacher classes"):
        clips.with_teacher(record, [1, 2], [0.5])


@pytest.mark.parametrize("key", ["clip/label/string", "clip/label/text"])
def test_the_label_name_is_read_from_either_key(key):
    example = tf.train.SequenceExample.FromString(clips.encode_clip(make_clip(0, 2)))
    other = {"clip/label/string", "clip/label/text"} - {key}
    del example.context.feature[other.pop()]
    assert clips.parse_clip(example.SerializeToString()).label_name == "c"


def test_the_graph_reads_the_first_label_and_minus_one_where_there_is_none():
    with_teacher = clips.encode_clip(make_clip(3, 1, teacher=[2, 0]))
    without = clips.encode_clip(make_clip(3, 1))
    dataset = tf.data.Dataset.from_tensor_slices([with_teacher, without])
    first, second = dataset.map(clips.parse_in_graph)
    assert (int(first["label"]), int(first["teacher"])) == (1, 2)
    assert (int(second["label"]), int(second["teacher"])) == (1, -1)
    assert first["id"] == b"video3@0-1000000"
    assert first["frames"].shape == (8,)


def test_the_spec_without_frames_reads_the_context_only():
    context, sequence = clips.parsing_spec(frames=False)
    assert sequence == {}
    parsed = tf.io.parse_single_sequence_example(
        clips.encode_clip(make_clip(3, 1)), context, sequence
    )
    assert parsed[0]["clip/label/index"].numpy().tolist() == [1]


def test_faulty_clips_are_refused_by_id():
    clip = make_clip(3, 1)
    with pytest.raises(ValueError, match="'video3@0-1000000' has no frames"):
        clips.encode_clip(dataclasses.replace(clip, frames=()))
    with pytest.raises(ValueError, match="8 frames but 1 timestamps"):
        clips.encode_clip(dataclasses.replace(clip, timestamps=(0,)))
    with pytest.raises(ValueError, match="2 teacher classes but 1"):
        clips.with_teacher(clips.encode_clip(clip), [1, 2], [0.5])


def test_bytes_that_are_no_clip_are_refused():
    with pytest.raises(ValueError, match=r"not a tf\.train\.SequenceExample"):
        clips.parse_clip(b"\x07garbage")
    with pytest.raises(ValueError, match="no feature list 'image/encoded'"):
        clips.parse_clip(tf.train.SequenceExample().SerializeToString())
