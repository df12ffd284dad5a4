import dataclasses
import os

import numpy as np
import pytest

from spl_tf import clips, data, training
from spl_tf.training import runs
from tests.conftest import make_clip, write_dataset


@pytest.fixture
def teacher(config, tmp_path):
    training.train(config, str(tmp_path / "teacher"))
    return str(tmp_path / "teacher")


def read_all(directory):
    dataset = clips.ClipDataset(directory)
    with dataset.reader() as reader:
        return dataset, [
            clips.parse_clip(reader.read(row)) for row in range(len(dataset))
        ]


def test_records_get_the_model_s_best_classes_and_nothing_else_changes(
    teacher, web_dataset, tmp_path
):
    output = tmp_path / "labelled"
    info = training.predict(
        teacher, web_dataset.directory, str(output), batch_size=5, top_k=2
    )
    before, old_clips = read_all(web_dataset.directory)
    after, new_clips = read_all(output)
    _, _, model = runs.load_run(teacher)
    batches = data.predict_batches(before, data.ClipSampling(2, 2), 16, 23)
    batch = next(batches.as_numpy_iterator())
    logits = model(data.normalize(batch["clip"])).numpy()
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]

    counts = np.zeros((3, 3), int)
    for row, (old, new) in enumerate(zip(old_clips, new_clips, strict=True)):
        assert dataclasses.replace(
            new, teacher_index=(), teacher_confidence=()
        ) == dataclasses.replace(old, teacher_index=(), teacher_confidence=())
        assert new.teacher_index == tuple(best[row])
        expected = probabilities[row][best[row]]
        assert new.teacher_confidence == pytest.approx(expected, rel=1e-4)
        counts[old.label_index, best[row][0]] += 1
    assert after.index.teacher.tolist() == best[:, 0].tolist()
    assert after.index.shard_names == before.index.shard_names
    cells = info.teacher["confusion"]
    found = np.zeros((3, 3), int)
    found[cells["weak"], cells["teacher"]] = cells["count"]
    assert (found == counts).all()
    assert clips.DatasetInfo.load(output) == info
    assert info.teacher["top_k"] == 2
    for shard, entry in zip(before.info.shards, info.shards, strict=True):
        assert entry["num_clips"] == shard["num_clips"]
        size = os.path.getsize(output / entry["name"])
        assert size == entry["num_bytes"] + 16 * entry["num_clips"]


def test_a_teacher_of_other_classes_is_refused(teacher, tmp_path):
    dataset = write_dataset(tmp_path / "web", [make_clip(0, 0)], ["a", "c", "b"], 1)
    with pytest.raises(ValueError, match="names and order must be the same"):
        training.predict(teacher, dataset.directory, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_finished_output_and_a_missing_teacher_are_refused(
    teacher, web_dataset, tmp_path
):
    with pytest.raises(FileExistsError, match="already holds a dataset"):
        training.predict(teacher, web_dataset.directory, web_dataset.directory)
    with pytest.raises(FileNotFoundError, match="is no training run"):
        training.predict(
            str(tmp_path / "nowhere"), web_dataset.directory, str(tmp_path / "out")
        )
