import contextlib
import hashlib
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from spl_tf import clips
from spl_tf.runs.run_folder import dataset_fingerprint
from tests.conftest import jpeg, make_clip, without_added_columns, write_dataset
from tfrecords_tools.inspection.reindexing import reindex

FRAME = jpeg(np.zeros((8, 8, 3), np.uint8))


def feature(*values):
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(label=0, name=b"a", frames=3, key="clip/label/string", **changes):
    """A SequenceExample with the keys in another order than our writer's."""
    context = {"clip/label/index": feature(label), "zz/other": feature(1, 2, 3)}
    if name:
        context[key] = feature(name)
    context |= {k: feature(*v) for k, v in changes.get("context", {}).items()}
    lists = {
        "other/floats": tf.train.FeatureList(feature=[feature(5)] * 2),
        "image/encoded": tf.train.FeatureList(feature=[feature(FRAME)] * frames),
    }
    return tf.train.SequenceExample(
        context=tf.train.Features(feature=context),
        feature_lists=tf.train.FeatureLists(feature_list=lists),
    )


def lists_first(message):
    """Serializes the feature lists before the context."""
    context = tf.train.SequenceExample(context=message.context)
    lists = tf.train.SequenceExample(feature_lists=message.feature_lists)
    return lists.SerializeToString() + context.SerializeToString()


def write_records(path, records, compression=""):
    options = tf.io.TFRecordOptions(compression_type=compression)
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for record in records:
            writer.write(
                record if isinstance(record, bytes) else record.SerializeToString()
            )


def arrays(directory):
    with np.load(pathlib.Path(directory) / "index.npz") as index:
        return {name: index[name].tolist() for name in index.files}


def test_the_index_is_that_of_our_writer(web_dataset):
    expected = arrays(web_dataset.directory)
    for name in ("index.npz", "dataset.json"):
        os.remove(os.path.join(web_dataset.directory, name))
    for workers in (1, 2):
        info = reindex(
            web_dataset.directory, "weak", num_workers=workers, overwrite=True
        )
        assert arrays(web_dataset.directory) == expected
        assert info.class_names == ["a", "b", "c"]
        assert info.shards == web_dataset.info.shards
    cells = info.teacher["confusion"]
    counts = np.zeros((3, 3), int)
    counts[cells["weak"], cells["teacher"]] = cells["count"]
    expected_counts = np.zeros((3, 3), int)
    for n in range(23):
        expected_counts[n % 3, n // 3 % 3] += 1
    np.testing.assert_array_equal(counts, expected_counts)
    assert info.teacher["top_k"] == 2


def test_an_older_dataset_gets_the_columns_and_stays_the_same(web_dataset):
    directory = web_dataset.directory
    web_dataset.info.files = {"videos/1.mp4": "10 20"}
    web_dataset.info.skipped = [
        {"video": "v", "clip": "", "kind": "unreadable", "reason": "empty"}
    ]
    confusion = {"weak": [], "teacher": [], "count": []}
    for n in range(9):
        confusion["weak"].append(n // 3)
        confusion["teacher"].append(n % 3)
        confusion["count"].append(
            sum(1 for i in range(23) if i % 3 == n // 3 and i // 3 % 3 == n % 3)
        )
    web_dataset.info.teacher = {"top_k": 2, "checkpoint": "x", "confusion": confusion}
    web_dataset.info.save(directory)
    expected = arrays(directory)
    fingerprint = dataset_fingerprint(clips.ClipDataset(directory))
    without_added_columns(directory)
    old = clips.ClipDataset(directory)
    assert dataset_fingerprint(old) == fingerprint
    reindex(directory, overwrite=True, num_workers=1)
    assert arrays(directory) == expected
    new = clips.ClipDataset(directory)
    assert new.info == web_dataset.info
    assert dataset_fingerprint(new) == fingerprint
    assert new.index.confidence.tolist() == [1.0] * 23


def test_records_with_several_labels(tmp_path):
    messages = [
        example(
            context={
                "clip/label/index": (1, 0),
                "clip/label/string": (b"run", b"jump"),
                "clip/media_id": (b"x",),
                "TEACHER/clip/label/index": (2,),
            }
        ),
        example(2, b"", key="clip/label/text"),
        example(
            context={"clip/label/index": (2, 1), "clip/label/string": (b"fly", b"run")}
        ),
    ]
    values = messages[0].context.feature["TEACHER/clip/label/confidence"]
    values.float_list.value.append(0.1)
    write_records(tmp_path / "x.tfrecord", messages)
    info = reindex(tmp_path, "weak", num_workers=1)
    assert info.class_names == ["jump", "run", "fly"]
    index = clips.ClipIndex.load(tmp_path)
    assert index.label.tolist() == [1, 2, 2]
    assert [index.labels_of(row).tolist() for row in range(3)] == [[1, 0], [2], [2, 1]]
    assert index.confidence.tolist() == [np.float32(0.1), -1, -1]
    digest = hashlib.sha256(b"x").digest()
    assert index.group.tolist() == [int.from_bytes(digest[:8], "little") // 2, -1, -1]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ((0, 1), (b"a", b"c"), "label 1 is 'c', but 'b' in record 0"),
        ((0, 5), (b"a", b"f"), "label 5 is no class, expected 0 to 1; 1 clips"),
        ((0, -1), (b"a", b"f"), "-1 is no class index"),
        ((0, 1), (b"a",), "has 2 values, expected as many as there are names, 1"),
    ],
)
def test_every_label_of_a_record_is_checked(tmp_path, labels, names, message):
    (tmp_path / "classes.txt").write_text("a\nb\n")
    changed = {"clip/label/index": labels, "clip/label/string": names}
    write_records(tmp_path / "x.tfrecord", [example(1, b"b"), example(context=changed)])
    with pytest.raises(ValueError, match=message) as error:
        reindex(tmp_path, "weak", str(tmp_path / "classes.txt"), num_workers=1)
    assert "x.tfrecord, record 1" in str(error.value)


def test_shards_of_another_tool_become_a_dataset_that_opens(tmp_path):
    messages = [
        example(1, b"jump", frames=300, key="clip/label/text"),
        example(0, "crème".encode(), frames=1),
        example(2, b"run", context={"TEACHER/clip/label/index": (1, 0)}),
    ]
    write_records(tmp_path / "b-train.tfrecord", [lists_first(messages[0])])
    write_records(tmp_path / "a-train.tfrecord", messages[1:])
    write_records(tmp_path / "a-train.tfrecord.incomplete-12345678", messages[1:])
    info = reindex(tmp_path, "clean", num_workers=1)
    assert info.class_names == ["crème", "jump", "run"]
    assert info.label_kind == "clean"
    dataset = clips.ClipDataset(tmp_path)
    assert dataset.index.shard_names == ("a-train.tfrecord", "b-train.tfrecord")
    assert dataset.index.frames.tolist() == [1, 3, 300]
    assert dataset.index.label.tolist() == [0, 2, 1]
    assert dataset.index.teacher.tolist() == [-1, 1, -1]
    with dataset.reader() as reader:
        parsed = [clips.parse_clip(reader.read(row)) for row in range(3)]
    assert [len(clip.frames) for clip in parsed] == [1, 3, 300]
    assert [clip.label_name for clip in parsed] == ["crème", "run", "jump"]


def test_merged_messages_count_like_the_protocol_buffer_library_does(tmp_path):
    first = example(0, b"a", frames=5, context={"TEACHER/clip/label/index": (1,)})
    second = example(1, b"b", frames=2)
    record = first.SerializeToString() + second.SerializeToString()
    merged = tf.train.SequenceExample.FromString(record)
    steps = merged.feature_lists.feature_list["image/encoded"].feature
    write_records(tmp_path / "x.tfrecord", [record, first])
    reindex(tmp_path, "weak", num_workers=1)
    index = clips.ClipIndex.load(tmp_path)
    assert index.frames.tolist() == [len(steps), 5]
    assert index.label.tolist() == [1, 0]
    assert index.teacher.tolist() == [1, 1]


def test_frames_are_not_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)
    message = example(frames=1)
    steps = message.feature_lists.feature_list["image/encoded"]
    for _ in range(9):
        steps.feature.add().bytes_list.value.append(jpeg(noise))
    write_records(tmp_path / "x.tfrecord", [message] * 5)

    def bytes_read():
        for line in pathlib.Path("/proc/self/io").read_text().splitlines():
            if line.startswith("rchar"):
                return int(line.split()[1])
        return None

    before = bytes_read()
    reindex(tmp_path, "weak", num_workers=1)
    assert bytes_read() - before < (tmp_path / "x.tfrecord").stat().st_size / 50
    assert clips.ClipIndex.load(tmp_path).frames.tolist() == [10] * 5


def test_remote_shards_give_the_same_index(tmp_path):
    records = [example(n % 2, b"ab"[n % 2 : n % 2 + 1], frames=n + 1) for n in range(4)]
    tf.io.gfile.makedirs("ram://reindexing")
    for directory in (str(tmp_path), "ram://reindexing"):
        write_records(f"{directory}/x.tfrecord", records)
        reindex(directory, "weak", num_workers=1, overwrite=True)
    local, remote = map(clips.ClipIndex.load, (tmp_path, "ram://reindexing"))
    for column in ("offset", "length", "frames", "label", "teacher"):
        assert getattr(local, column).tolist() == getattr(remote, column).tolist()


def test_a_damaged_index_is_repaired_with_what_dataset_json_tells(tmp_path):
    dataset = write_dataset(
        tmp_path / "d", [make_clip(n, 0) for n in range(5)], ["a", "never seen"]
    )
    skipped = [{"video": "v.mp4", "clip": "", "kind": "unreadable", "reason": "empty"}]
    dataset.info.skipped = skipped
    dataset.info.save(tmp_path / "d")
    expected = arrays(tmp_path / "d")
    (tmp_path / "d" / "index.npz").write_bytes(b"damaged")
    with pytest.raises(FileExistsError, match="--overwrite"):
        reindex(tmp_path / "d", num_workers=1)
    reindex(tmp_path / "d", overwrite=True, num_workers=1)
    assert arrays(tmp_path / "d") == expected
    info = clips.DatasetInfo.load(tmp_path / "d")
    assert info == dataset.info
    assert info.skipped == skipped
    assert info.source == {"tool": "test"}


def test_a_classes_file_names_classes_that_records_do_not(tmp_path):
    write_records(tmp_path / "x.tfrecord", [example(2, b""), example(0, b"run")])
    with pytest.raises(ValueError, match=r"classes \[1, 2\] \(2 of 3\).*--classes"):
        reindex(tmp_path, "weak", num_workers=1)
    (tmp_path / "classes.txt").write_text("run\njump\nswim\nfly\n")
    info = reindex(tmp_path, "weak", str(tmp_path / "classes.txt"), num_workers=1)
    assert info.class_names == ["run", "jump", "swim", "fly"]


def test_classes_that_disagree_are_refused(tmp_path):
    def refused(match, *per_shard, classes=""):
        for n, messages in enumerate(per_shard):
            write_records(tmp_path / f"{n}.tfrecord", messages)
        with pytest.raises(ValueError, match=match):
            reindex(tmp_path, "weak", classes, num_workers=1)
        assert not (tmp_path / "dataset.json").exists()

    a, b = example(0, b"a"), example(0, b"b")
    refused(r"0\.tfrecord, record 1: label 0 is 'b', but 'a' in record 0", [a, b])
    refused(r"label 0 is 'b' in 1\.tfrecord, record 0, but 'a' in 0", [a], [b])
    refused("'a' to 2 class indices", [a], [example(1, b"a")])
    classes = tmp_path / "classes.txt"
    classes.write_text("x\ny\n")
    refused("label 0 is 'a' in 0.tfrecord.*but 'x' in .*txt", [a], [a], classes=classes)
    classes.write_text("a\n")
    message = r"1\.tfrecord, record 1: label 7 is no class, expected 0 to 0"
    refused(message, [a], [a, example(7, b"z")], classes=str(classes))


def test_what_is_no_labelled_clip_is_refused_with_shard_and_record(tmp_path):
    unlabelled = example()
    del unlabelled.context.feature["clip/label/index"]
    packed = example()
    step = packed.feature_lists.feature_list["image/encoded"].feature[1]
    step.bytes_list.value.append(FRAME)
    features = tf.train.Features(feature={"image": feature(FRAME)})
    for record, message in (
        (tf.train.Example(features=features), r"tf\.train\.Example.*\['image'\]"),
        (unlabelled, r"'clip/label/index' has 0 values.*clip/label/string"),
        (example(context={"clip/label/index": (1, 2)}), "has 2 values"),
        (example(context={"clip/label/index": (-1,)}), "-1 is no class index"),
        (packed, "step 1 of 'image/encoded' holds none or several values"),
        (example(frames=0), "no frames"),
        (b"just some text", "no protocol buffer|another kind"),
        (b"", "no feature lists"),
    ):
        write_records(tmp_path / "x.tfrecord", [example(), record])
        with pytest.raises(ValueError, match=message) as error:
            reindex(tmp_path, "weak", num_workers=1)
        assert f"{tmp_path}/x.tfrecord, record 1 at byte" in str(error.value)


def test_what_is_no_plain_tfrecord_file_is_refused(tmp_path):
    path = tmp_path / "x.tfrecord"
    with pytest.raises(FileNotFoundError, match=r"no file in .*--pattern"):
        reindex(tmp_path, "weak")
    write_records(path, [example()], "GZIP")
    with pytest.raises(ValueError, match=r"record 0 at byte 0: .*GZIP"):
        reindex(tmp_path, "weak")
    write_records(path, [example()] * 2)
    whole = path.read_bytes()
    for damaged, message in (
        (whole[:-5], "record 1 at byte .* ends after"),
        (b"\0" + whole[1:], "record 0 at byte 0: the checksum of the length field"),
        (whole + b"abc", "record 2 .* ends after 3 bytes"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            reindex(tmp_path, "weak")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="the 1 shards hold no record"):
        reindex(tmp_path, "weak")


def test_the_kind_of_label_must_be_told(tmp_path):
    write_records(tmp_path / "x.tfrecord", [example()])
    with pytest.raises(ValueError, match="--label_kind"):
        reindex(tmp_path)


def test_a_record_cut_anywhere_is_refused_or_counted_like_the_library_does(tmp_path):
    whole = lists_first(example(frames=2))
    for size in range(len(whole)):
        write_records(tmp_path / "x.tfrecord", [whole[:size]])
        parsed = None
        with contextlib.suppress(Exception):
            parsed = tf.train.SequenceExample.FromString(whole[:size])
        if parsed is None or "clip/label/index" not in parsed.context.feature:
            with pytest.raises(ValueError, match=r"x\.tfrecord, record 0"):
                reindex(tmp_path, "weak", num_workers=1)
