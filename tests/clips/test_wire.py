import pytest
import tensorflow as tf

from spl_tf import clips
from spl_tf.clips import keys, wire
from tests.conftest import make_clip


def test_parts_are_those_of_the_protobuf_library_also_of_merged_messages():
    first, second = (
        clips.encode_clip(make_clip(n, n, frames=n + 2, teacher=(1,) * n))
        for n in range(2)
    )
    for record in (first, second, first + second, second + first):
        parsed = tf.train.SequenceExample.FromString(record)
        context, lists = wire.example_parts(record, 0, len(record))
        assert dict(context) == dict(parsed.context.feature)
        expected = parsed.feature_lists.feature_list
        assert sorted(lists) == sorted(expected)
        found = [
            record[slice(*wire.step_bytes(record, span))]
            for span in wire.frame_spans(record, lists)
        ]
        steps = expected[keys.IMAGE_ENCODED].feature
        assert found == [step.bytes_list.value[0] for step in steps]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a" + b"\xff" * 2_000_000, "never ends"),
        (b"\x0a", "within a field's head"),
        (b"\x0a\x05abc", "a field ends at byte 7, its message at 5"),
        (b"\x08\x01", "unexpected field 8"),
    ],
)
def test_what_is_no_message_of_such_fields_is_refused_at_once(data, message):
    with pytest.raises(wire.WireError, match=message):
        wire.fields(data, 0, len(data))


def test_the_last_field_of_the_head_of_a_message_may_go_on():
    assert wire.fields(b"\x0a\x01a\x12\x7fbc", 0, 7, whole=False) == [
        (1, (2, 3)),
        (2, (5, 132)),
    ]


def test_the_values_of_a_feature_list_are_found_by_its_key():
    example = tf.train.SequenceExample()
    lists = example.feature_lists.feature_list
    for value in (b"one", b"", b"three"):
        lists["own"].feature.add().bytes_list.value.append(value)
    lists["bad"].feature.add().bytes_list.value.append(b"one")
    lists["bad"].feature.add().bytes_list.value.extend([b"one", b"two"])
    data = example.SerializeToString()
    _, found = wire.example_parts(data, 0, len(data))
    assert wire.step_values(data, found, "own") == [b"one", b"", b"three"]
    assert wire.step_values(data, found, "absent") == []
    with pytest.raises(wire.WireError, match=r"step 1 of 'bad' holds none or several"):
        wire.step_values(data, found, "bad")
