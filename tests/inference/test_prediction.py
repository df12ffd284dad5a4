import dataclasses
import errno
import json
import os
import resource
import shutil
import threading

import numpy as np
import pytest

from spl_tf import clips, data, training
from spl_tf.inference import prediction
from spl_tf.inference.prediction_folder import PredictionFolder, ShardReport
from spl_tf.runs import run_folder
from spl_tf.runs.checkpoints import save_weights
from tests.conftest import jpeg, make_clip, small_disk, write_dataset
from tests.training.teachers import contents, write_teacher
from tfrecords_tools.inspection.validation import validate


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("runs") / "teacher")


def read_all(directory):
    dataset = clips.ClipDataset(directory)
    with dataset.reader() as reader:
        return dataset, [
            clips.parse_clip(reader.read(row)) for row in range(len(dataset))
        ]


def probabilities_of(teacher, dataset, **views):
    """Float64 [n, views, C], by the model on one batch and NumPy's softmax."""
    _, _, model = run_folder.load_run(teacher)
    batches = data.predict_batches(
        dataset, data.ClipSampling(2, 2), 16, len(dataset), **views
    )
    batch = next(batches.as_numpy_iterator())
    logits = model(data.unit_pixels(batch["clip"])).numpy().astype(np.float64)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    return probabilities.reshape(len(dataset), -1, probabilities.shape[1])


def noisy_dataset(directory, count, num_shards=2):
    """Clips whose views all differ."""
    generator = np.random.default_rng(0)
    noisy = []
    for number in range(count):
        blocks = generator.integers(0, 256, (8, 4, 5, 3), np.uint8)
        images = blocks.repeat(8, axis=1).repeat(8, axis=2)
        frames = tuple(jpeg(image) for image in images)
        clip = make_clip(number, number % 3, names="abc")
        noisy.append(dataclasses.replace(clip, frames=frames))
    return write_dataset(directory, noisy, ["a", "b", "c"], num_shards)


def test_ids_that_are_not_utf_8_stay_as_they_are(teacher, tmp_path):
    web = write_dataset(tmp_path / "web", [make_clip(0, 0), make_clip(1, 1)], "abc", 1)
    with web.reader() as reader:
        records = [reader.read(row) for row in range(2)]
    # As long as the former one, so that the index stays right.
    records = [record.replace(b"video1@", b"caf\xe9s1@") for record in records]
    name = web.index.shard_names[0]
    rows = zip(records, web.index.frames, web.index.label, [-1, -1], strict=True)
    clips.write_shard(web.directory, name, rows)
    training.predict(teacher, web.directory, str(tmp_path / "labelled"), batch_size=2)
    _, labelled = read_all(tmp_path / "labelled")
    assert [clip.id for clip in labelled] == [
        "video0@0-1000000",
        "caf\\xe9s1@0-1000000",
    ]


def test_records_get_the_model_s_best_classes_and_nothing_else_changes(
    teacher, tmp_path
):
    web = noisy_dataset(tmp_path / "web", 23)
    output = tmp_path / "labelled"
    info = training.predict(teacher, web.directory, str(output), batch_size=5, top_k=2)
    before, old_clips = read_all(web.directory)
    after, new_clips = read_all(output)
    probabilities = probabilities_of(teacher, web)[:, 0]
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    assert len(set(best[:, 0])) > 1

    counts = np.zeros((3, 3), int)
    for row, (old, new) in enumerate(zip(old_clips, new_clips, strict=True)):
        assert dataclasses.replace(
            new, teacher_index=(), teacher_confidence=()
        ) == dataclasses.replace(old, teacher_index=(), teacher_confidence=())
        assert new.teacher_index == tuple(best[row])
        expected = probabilities[row][best[row]]
        assert new.teacher_confidence == pytest.approx(expected, rel=1e-4, abs=1e-6)
        counts[old.label_index, best[row][0]] += 1
    assert after.index.teacher.tolist() == best[:, 0].tolist()
    first = [clip.teacher_confidence[0] for clip in new_clips]
    assert after.index.confidence.tolist() == first
    np.testing.assert_array_equal(after.index.group, before.index.group)
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
    names = {shard["name"] for shard in info.shards} | {"dataset.json", "index.npz"}
    assert set(contents(output)) == names


def test_several_views_give_the_mean_of_their_probabilities(teacher, tmp_path):
    web = noisy_dataset(tmp_path / "web", 7)
    views = {"num_clips": 2, "num_crops": 3}
    output = str(tmp_path / "out")
    training.predict(teacher, web.directory, output, batch_size=3, **views)
    single = probabilities_of(teacher, web, **views)
    assert single.shape == (7, 6, 3)
    assert np.ptp(single, axis=1).max() > 0.05
    mean = single.mean(axis=1)
    for row, clip in enumerate(read_all(output)[1]):
        assert list(clip.teacher_index) == np.argsort(-mean[row]).tolist()
        expected = mean[row][list(clip.teacher_index)]
        assert clip.teacher_confidence == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_clips_without_a_label_are_predicted_but_not_counted(teacher, tmp_path):
    unlabelled = [dataclasses.replace(make_clip(9, 0), label_index=-1)]
    web = write_dataset(tmp_path / "web", [make_clip(0, 2), *unlabelled], "abc", 1)
    info = training.predict(teacher, web.directory, str(tmp_path / "out"))
    after = clips.ClipDataset(tmp_path / "out")
    assert after.index.label.tolist() == [2, -1]
    assert (after.index.teacher >= 0).all()
    cells = info.teacher["confusion"]
    assert (cells["weak"], cells["count"]) == ([2], [1])


def test_a_finished_prediction_is_returned_and_not_written_again(
    teacher, web_dataset, tmp_path
):
    output = tmp_path / "out"
    info = training.predict(teacher, web_dataset.directory, str(output))
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    assert training.predict(teacher, web_dataset.directory, str(output)) == info
    assert before == {path: path.stat().st_mtime_ns for path in output.iterdir()}


def test_workers_write_what_one_process_writes(teacher, tmp_path):
    web = noisy_dataset(tmp_path / "web", 23, num_shards=5)
    training.predict(teacher, web.directory, str(tmp_path / "one"), batch_size=3)
    shared = tmp_path / "shared"
    for worker in (1, 2):
        split = {"worker": worker, "num_workers": 3, "batch_size": 3}
        assert training.predict(teacher, web.directory, str(shared), **split) is None
        assert not (shared / "dataset.json").exists()
    split["worker"] = 0
    info = training.predict(teacher, web.directory, str(shared), **split)
    assert info.num_clips == 23
    assert contents(shared) == contents(tmp_path / "one")


def test_finished_shards_are_not_read_again(teacher, web_dataset, tmp_path):
    unbroken, output = tmp_path / "unbroken", tmp_path / "out"
    training.predict(teacher, web_dataset.directory, str(unbroken), batch_size=4)
    half = {"worker": 0, "num_workers": 2, "batch_size": 4}
    assert training.predict(teacher, web_dataset.directory, str(output), **half) is None
    first, _ = web_dataset.index.shard_names
    written = (output / first).stat()
    # 12 clips, so that no batch of 4 holds clips of both shards.
    os.remove(os.path.join(web_dataset.directory, first))
    training.predict(teacher, web_dataset.directory, str(output), batch_size=4)
    assert (output / first).stat() == written
    assert contents(output) == contents(unbroken)


def test_a_shard_that_was_cut_short_is_written_again(teacher, web_dataset, tmp_path):
    unbroken, output = tmp_path / "unbroken", tmp_path / "out"
    training.predict(teacher, web_dataset.directory, str(unbroken), batch_size=5)
    half = {"worker": 1, "num_workers": 2, "batch_size": 5}
    training.predict(teacher, web_dataset.directory, str(output), **half)
    last = output / web_dataset.index.shard_names[1]
    os.truncate(last, last.stat().st_size - 1)
    training.predict(teacher, web_dataset.directory, str(output), batch_size=5)
    assert contents(output) == contents(unbroken)


def test_changed_inputs_are_refused_by_name_until_overwritten(
    teacher, web_dataset, tmp_path
):
    inputs, output = web_dataset.directory, str(tmp_path / "out")
    training.predict(teacher, inputs, output, worker=0, num_workers=2)
    with pytest.raises(ValueError, match=r"changed: top_k \(was 3, is 1\)\."):
        training.predict(teacher, inputs, output, top_k=1)
    training.predict(teacher, inputs, output)
    with pytest.raises(ValueError, match=r"num_clips .*num_crops \(was 1, is 3\)"):
        training.predict(teacher, inputs, output, num_clips=2, num_crops=3)
    other = write_teacher(tmp_path / "teacher", seed=1)
    with pytest.raises(ValueError, match=r"changed: weights \(was .*overwrite"):
        training.predict(other, inputs, output)
    info = training.predict(teacher, inputs, output, top_k=1, overwrite=True)
    assert info.teacher["top_k"] == 1
    assert all(len(clip.teacher_index) == 1 for clip in read_all(output)[1])


def test_overwriting_a_half_written_prediction_of_other_shards_leaves_none_of_it(
    teacher, web_dataset, tmp_path
):
    output = tmp_path / "out"
    other = noisy_dataset(tmp_path / "other", 6, num_shards=3)
    half = {"worker": 0, "num_workers": 2}
    training.predict(teacher, other.directory, str(output), **half)
    (output / f"{other.index.shard_names[2]}.incomplete-12345678").write_bytes(b"x")
    training.predict(teacher, web_dataset.directory, str(output), overwrite=True)
    names = {*web_dataset.index.shard_names, "dataset.json", "index.npz"}
    assert set(contents(output)) == names


def test_what_is_no_prediction_is_never_replaced(teacher, web_dataset, tmp_path):
    target = write_dataset(tmp_path / "target", [make_clip(0, 0)], "abc", 1)
    before = contents(tmp_path / "target")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="it is no prediction"):
            training.predict(
                teacher, web_dataset.directory, target.directory, overwrite=overwrite
            )
    assert contents(tmp_path / "target") == before
    os.remove(tmp_path / "target" / "dataset.json")
    again = write_dataset(tmp_path / "again", [make_clip(0, 0)], "abc", 1)
    with pytest.raises(FileExistsError, match=r"holds clips\.tfrecord-00000-of-00001"):
        training.predict(teacher, again.directory, str(tmp_path / "target"))
    with pytest.raises(ValueError, match="are the same folder"):
        training.predict(
            teacher, web_dataset.directory, f"{web_dataset.directory}/", overwrite=True
        )


def test_two_processes_that_finish_at_once_agree(web_dataset, tmp_path):
    # Only writing and finishing, often, with nobody waiting for anybody.
    results = []
    for attempt in range(10):
        directory = str(tmp_path / f"out{attempt}")
        folder = PredictionFolder(directory, web_dataset, {"top_k": 2})
        assert folder.claim() is None
        for shard in range(2):
            rows = np.flatnonzero(web_dataset.index.shard == shard)
            with web_dataset.reader() as reader:
                records = [(reader.read(r), 8, int(r) % 3, int(r) % 2) for r in rows]
            summary = folder.write_shard(shard, records)
            folder.save_report(shard, ShardReport(summary, 0, ""))
        folders = [
            PredictionFolder(directory, web_dataset, {"top_k": 2}) for _ in range(4)
        ]
        start = threading.Barrier(len(folders))

        def finish(folder, start=start):
            start.wait()
            results.append(folder.finish())

        threads = [threading.Thread(target=finish, args=[each]) for each in folders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(clips.ClipDataset(directory)) == 23
    assert len(results) == 40
    assert all(info == results[0] and info is not None for info in results)


def test_an_error_while_writing_stops_the_run_with_its_message(teacher, tmp_path):
    web = noisy_dataset(tmp_path / "web", 60)
    output = tmp_path / "out"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond what the reports need.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(Exception, match="too large"):
            training.predict(teacher, web.directory, str(output), batch_size=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [t for t in threading.enumerate() if t.name.startswith("write")]
    assert not list(output.glob("clips.*"))
    assert training.predict(teacher, web.directory, str(output)).num_clips == 60


def test_clips_are_predicted_while_a_shard_is_written(teacher, tmp_path, monkeypatch):
    web = noisy_dataset(tmp_path / "web", 12, num_shards=2)
    write, forward = PredictionFolder.write_shard, prediction.forward_batches
    went_on = threading.Event()

    def write_later(folder, shard, records):
        # Both shards wait until clips of the second one are predicted.
        assert went_on.wait(60)
        return write(folder, shard, records)

    def watched_forward(*arguments, **options):
        for number, batch in enumerate(forward(*arguments, **options)):
            if number == 3:
                went_on.set()
            yield batch

    monkeypatch.setattr(PredictionFolder, "write_shard", write_later)
    monkeypatch.setattr(prediction, "forward_batches", watched_forward)
    output = str(tmp_path / "out")
    assert training.predict(teacher, web.directory, output, 2).num_clips == 12


def test_a_full_disk_stops_with_a_message_and_the_same_call_continues(
    teacher, tmp_path
):
    web = noisy_dataset(tmp_path / "web", 60)
    output = tmp_path / "out"
    with small_disk(output, "256k") as enlarge:
        with pytest.raises(OSError, match="no space left while writing clips") as full:
            training.predict(teacher, web.directory, str(output))
        assert full.value.errno == errno.ENOSPC
        assert not list(output.glob("*.incomplete-*"))
        enlarge()
        assert training.predict(teacher, web.directory, str(output)).num_clips == 60


def test_a_record_that_does_not_decode_is_named_and_nothing_half_written_stays(
    teacher, tmp_path
):
    bad = make_clip(3, 0)
    frames = (*bad.frames[:4], bad.frames[4][:300], *bad.frames[5:])
    bad = dataclasses.replace(bad, frames=frames)
    good = [make_clip(n, 0) for n in range(3)]
    web = write_dataset(tmp_path / "web", [*good, bad], "abc", 1)
    with pytest.raises(
        data.BadRecordError, match=r"^.*video3@0-1000000.*frame 4 does not.*is wrong$"
    ):
        training.predict(teacher, web.directory, str(tmp_path / "out"), batch_size=1)
    assert not list((tmp_path / "out").glob("clips.*"))


def with_bad_records(dataset, rows):
    """The same dataset with a wrong byte in these records."""
    for row in rows:
        shard = dataset.index.shard_names[dataset.index.shard[row]]
        with open(os.path.join(dataset.directory, shard), "r+b") as file:
            file.seek(int(dataset.index.offset[row]) + 100)
            file.write(b"?????")
    return dataset


# The first and the last of a shard, two that follow each other, and a whole shard.
@pytest.mark.parametrize("rows", [[0], [7, 22], [3, 4], range(8, 12)])
def test_bad_records_are_left_out_and_listed_and_the_others_stay_the_same(
    teacher, tmp_path, rows
):
    web = noisy_dataset(tmp_path / "web", 23, num_shards=6)
    settings = {"batch_size": 3, "on_bad_record": "skip"}
    whole = training.predict(
        teacher, web.directory, str(tmp_path / "whole"), **settings
    )
    assert not whole.skipped
    expected = read_all(tmp_path / "whole")[1]
    with_bad_records(web, rows)
    info = training.predict(teacher, web.directory, str(tmp_path / "out"), **settings)
    dataset, found = read_all(tmp_path / "out")
    assert found == [clip for row, clip in enumerate(expected) if row not in rows]
    assert info.num_clips == len(dataset) == 23 - len(rows)
    sizes = np.bincount(dataset.index.shard, minlength=6).tolist()
    assert [shard["num_clips"] for shard in info.shards] == sizes
    assert sum(info.teacher["confusion"]["count"]) == len(dataset)
    names = [web.index.shard_names[web.index.shard[row]] for row in rows]
    assert [entry["video"] for entry in info.skipped] == names
    for row, entry in zip(rows, info.skipped, strict=True):
        assert entry["kind"] == "bad record"
        assert f"row {row}" in entry["reason"]
    assert validate(tmp_path / "out", num_workers=1) == []


def test_bad_records_are_left_out_by_every_worker_and_after_a_stop(teacher, tmp_path):
    web = with_bad_records(noisy_dataset(tmp_path / "web", 23, 5), [2, 22])
    settings = {"batch_size": 3, "on_bad_record": "skip"}
    one = training.predict(teacher, web.directory, str(tmp_path / "one"), **settings)
    for worker in range(2):
        place = {"worker": worker, "num_workers": 2}
        shared = training.predict(
            teacher, web.directory, str(tmp_path / "two"), **settings, **place
        )
    assert shared == one
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_too_many_bad_records_are_an_error(teacher, tmp_path):
    web = with_bad_records(noisy_dataset(tmp_path / "web", 7), range(3))
    settings = {"on_bad_record": "skip", "batch_size": 1}
    with pytest.raises(data.BadRecordError, match="web has more than 2 bad records"):
        training.predict(
            teacher, web.directory, str(tmp_path / "out"), max_bad_records=2, **settings
        )
    with_bad_records(web, range(3, 7))
    with pytest.raises(ValueError, match="out would be empty: all 7 records are bad"):
        training.predict(teacher, web.directory, str(tmp_path / "out"), **settings)
    with pytest.raises(ValueError, match="on_bad_record is 'ignore', expected 'err"):
        training.predict(teacher, web.directory, "out", on_bad_record="ignore")


def test_a_teacher_without_finite_probabilities_names_the_clip(web_dataset, tmp_path):
    broken = write_teacher(tmp_path / "broken")
    _, _, model = run_folder.load_run(broken)
    head = model.get_layer("classifier")
    head.set_weights([np.full_like(weight, np.nan) for weight in head.get_weights()])
    save_weights(broken, model)
    with pytest.raises(FloatingPointError, match=r"clip 'video\d+@0-1000000'"):
        training.predict(broken, web_dataset.directory, str(tmp_path / "out"))


def test_clips_of_the_teacher_s_own_training_set_are_counted(tmp_path, caplog):
    # Two clips of video 7, and a video that is not among the web clips.
    own = [make_clip(7, 0), make_clip(99, 1)]
    target = write_dataset(tmp_path / "target", own, "abc", label_kind="clean")
    teacher = write_teacher(tmp_path / "teacher", train=target.directory)
    web = [make_clip(n, n % 3) for n in range(6, 12)]
    web.append(dataclasses.replace(web[1], id="video7@1000000-2000000"))
    dataset = write_dataset(tmp_path / "web", web, "abc")
    training.predict(
        teacher, dataset.directory, str(tmp_path / "out"), worker=0, num_workers=2
    )
    caplog.clear()
    training.predict(teacher, dataset.directory, str(tmp_path / "out"))
    (line,) = [
        r.getMessage() for r in caplog.records if "for example" in r.getMessage()
    ]
    assert "2 of 7 clips are of videos" in line
    assert "'video7'" in line

    caplog.clear()
    shutil.rmtree(target.directory)
    training.predict(teacher, dataset.directory, str(tmp_path / "unchecked"))
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "cannot be checked" in line
    assert target.directory in line


def test_a_teacher_of_other_classes_is_refused(teacher, tmp_path):
    dataset = write_dataset(tmp_path / "web", [make_clip(0, 0)], ["a", "c", "b"], 1)
    with pytest.raises(ValueError, match="names and order must be the same"):
        training.predict(teacher, dataset.directory, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_teacher_of_more_classes_shares_its_probability_among_the_datasets(
    teacher, tmp_path, caplog
):
    fewer = write_dataset(
        tmp_path / "fewer", [make_clip(n, n % 2, names="ca") for n in range(5)], "ca"
    )
    every = probabilities_of(teacher, fewer)[:, 0]
    expected = every[:, [2, 0]] / every[:, [2, 0]].sum(axis=1, keepdims=True)
    caplog.set_level("INFO", logger="absl")
    output = str(tmp_path / "out")
    training.predict(teacher, fewer.directory, output, classes="dataset")
    assert "are none of the dataset's" in caplog.text
    assert ": b" in caplog.text
    for clip, row in zip(read_all(output)[1], expected, strict=True):
        assert clip.teacher_index == tuple(np.argsort(-row))
        np.testing.assert_allclose(clip.teacher_confidence, -np.sort(-row), rtol=1e-5)
    other = write_dataset(tmp_path / "other", [make_clip(0, 0, names="xa")], "xa")
    with pytest.raises(ValueError, match=r"does not know 1 of the 2 classes.*: x\."):
        training.predict(
            teacher, other.directory, str(tmp_path / "no"), classes="dataset"
        )


def test_a_model_of_sub_pseudo_labels_is_no_teacher(web_dataset, tmp_path):
    names = ["a", "b", "c", "a ~ other", "b ~ other", "c ~ other"]
    pretrained = write_teacher(tmp_path / "spl_b", names, label_map="labels/spl_b")
    with pytest.raises(ValueError, match=r"6 labels of the label map labels/spl_b"):
        training.predict(pretrained, web_dataset.directory, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_missing_teacher_is_refused(web_dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match="is no training run"):
        training.predict(
            str(tmp_path / "nowhere"), web_dataset.directory, str(tmp_path / "out")
        )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"worker": 2, "num_workers": 2}, "worker is 2, expected 0 to 1"),
        ({"num_crops": 2}, r"num_crops is 2, expected one of \(1, 3, 10\)"),
        ({"top_k": 0}, "top_k is 0"),
        ({"strategy": "multi_worker"}, "with its worker and num_workers"),
        ({"overwrite": True, "num_workers": 2}, "overwrite is for one process"),
    ],
)
def test_impossible_options_are_refused_before_any_work(tmp_path, option, message):
    with pytest.raises(ValueError, match=message):
        training.predict("no teacher", "no input", str(tmp_path / "out"), **option)
    assert not (tmp_path / "out").exists()


def claimed(directory, dataset, **inputs):
    folder = PredictionFolder(str(directory), dataset, inputs)
    assert folder.claim() is None
    return folder


def test_of_two_teachers_that_claim_a_folder_at_once_one_is_refused(
    web_dataset, tmp_path
):
    for attempt in range(20):
        folders = [
            PredictionFolder(str(tmp_path / f"{attempt}"), web_dataset, {"weights": n})
            for n in (0, 1, 0, 1)
        ]
        start, ended = threading.Barrier(len(folders)), {}

        def claim(number, folder, start=start, ended=ended):
            start.wait()
            try:
                ended[number] = folder.claim()
            except ValueError as error:
                ended[number] = str(error)

        threads = [
            threading.Thread(target=claim, args=each) for each in enumerate(folders)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = {number % 2 for number, end in ended.items() if end is None}
        assert len(winners) == 1
        assert sum(end is None for end in ended.values()) == 2
        assert sum("changed: weights" in (end or "") for end in ended.values()) == 2


def test_a_prediction_that_another_one_replaced_writes_no_more(web_dataset, tmp_path):
    first = claimed(tmp_path / "out", web_dataset, weights="first")
    rows = np.flatnonzero(web_dataset.index.shard == 0)

    def records(replace):
        with web_dataset.reader() as reader:
            for row in rows:
                yield reader.read(row), 8, int(row) % 3, 0
        if replace:
            PredictionFolder(str(tmp_path / "out"), web_dataset, {}).clear()
            claimed(tmp_path / "out", web_dataset, weights="second")

    first.write_shard(0, records(replace=False))
    with pytest.raises(ValueError, match=r"weights \(was 'second', is 'first'\)"):
        first.write_shard(0, records(replace=True))
    with pytest.raises(ValueError, match=r"weights \(was 'second', is 'first'\)"):
        first.finish()
    assert not list((tmp_path / "out").glob("clips.*"))


@pytest.mark.parametrize("is_finished", [False, True])
def test_overwriting_touches_no_folder_whose_name_the_pattern_fits(
    teacher, web_dataset, tmp_path, is_finished
):
    part = {} if is_finished else {"worker": 0, "num_workers": 2}
    for name in ("out[1]", "out1"):
        training.predict(teacher, web_dataset.directory, str(tmp_path / name), **part)
        left = f"{web_dataset.index.shard_names[1]}.incomplete-12345678"
        (tmp_path / name / left).write_bytes(b"half")
    before = contents(tmp_path / "out1")
    training.predict(
        teacher, web_dataset.directory, str(tmp_path / "out[1]"), overwrite=True
    )
    assert contents(tmp_path / "out1") == before
    names = {*web_dataset.index.shard_names, "dataset.json", "index.npz"}
    assert set(contents(tmp_path / "out[1]")) == names


@pytest.mark.parametrize("name", ["../victim", "/victim", "", ".."])
def test_a_claim_or_report_that_names_files_elsewhere_is_refused(
    web_dataset, tmp_path, name
):
    (tmp_path / "victim").write_bytes(b"precious")
    folder = claimed(tmp_path / "out", web_dataset, top_k=2)
    work = tmp_path / "out" / ".prediction"
    summary = {"name": name, "lengths": [], "frames": [], "labels": [], "teachers": []}
    report = {"summary": summary, "own_clips": 0, "own_media": ""}
    (work / "shard-00000.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match=r"shard-00000\.json names the file"):
        folder.report(0)
    (work / "inputs.json").write_text(json.dumps({"inputs": {}, "shards": [name]}))
    with pytest.raises(ValueError, match=r"inputs\.json names the file"):
        folder.clear()
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_the_same_folders_may_be_spelled_otherwise(
    teacher, web_dataset, tmp_path, monkeypatch
):
    training.predict(teacher, web_dataset.directory, str(tmp_path / "out"))
    before = contents(tmp_path / "out")
    monkeypatch.chdir(teacher)
    web, out = (os.path.relpath(p) for p in (web_dataset.directory, tmp_path / "out"))
    training.predict(".", f"./{web}/", f"{out}/")
    assert contents(tmp_path / "out") == before
