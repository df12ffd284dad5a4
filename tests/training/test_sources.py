"""Training on several datasets at once, with labels and filters of their own."""

import dataclasses
import json
import os

import numpy as np
import pytest

from spl_tf import data, training
from spl_tf.clips import parse_clip
from spl_tf.labels import ConfusionMatrix, build_label_map
from spl_tf.labels.assignment import Assignment
from spl_tf.runs.run_folder import dataset_fingerprint
from spl_tf.training.assembly import open_sources
from spl_tf.training.config import default_source
from tests.conftest import make_clip, write_dataset
from tests.training.run_files import (
    assert_same_run,
    checkpoints,
    lines,
    start,
    wait_for,
    weights,
)


@pytest.fixture
def web(tmp_path):
    """12 clips of 3 classes, of which the teacher agrees with 8."""
    return write_dataset(
        tmp_path / "web",
        [
            make_clip(10 * (n % 3) + n, n % 3, teacher=[(n + (n > 7)) % 3], names="abc")
            for n in range(12)
        ],
        "abc",
    )


@pytest.fixture
def sources(config, web):
    """The target and the web's clips, 1 to 3; the web's filtered by agreement."""
    for name, directory, share in (
        ("target", config.data.train, 1.0),
        ("web", web.directory, 3.0),
    ):
        source = default_source()
        source.update(dataset=directory, share=share)
        with config.data.unlocked():
            config.data.sources[name] = source
    config.data.sources.web.filter.agreement = True
    config.data.train = ""
    return config


def read_config(workdir):
    with open(os.path.join(workdir, "config.json")) as file:
        return json.load(file)


def test_batches_are_shared_out_and_losses_told_by_source(sources, tmp_path, web):
    results = training.train(sources, str(tmp_path / "run"))
    # While the target's 18 clips are read once, each with three of the web's.
    assert results["clips"] == 18 * 4
    assert results["top_1"] > 0.9
    for line in lines(tmp_path / "run"):
        mean = (line["loss_target"] + 3 * line["loss_web"]) / 4
        assert line["loss"] == pytest.approx(mean, rel=1e-5)
    written = read_config(tmp_path / "run")
    assert written["kept"] == {"web": {"a": [4, 3], "b": [4, 3], "c": [4, 2]}}
    assert written["datasets"]["train/web"] == dataset_fingerprint(web)
    opened = open_sources(sources, 4)
    batches = list(data.train_batches(opened.inputs, opened.sizes, stop_step=6))
    for batch in batches:
        assert batch["source"].numpy().tolist() == [0, 1, 1, 1]
    drawn = np.concatenate([batch["index"].numpy()[1:] for batch in batches])
    agreeing = np.flatnonzero(web.index.label == web.index.teacher)
    assert set(drawn) <= set(agreeing)
    assert set(drawn[: len(agreeing)]) == set(agreeing)


def test_the_epoch_is_that_of_the_named_source(sources):
    sources.data.epoch_of = "web"
    assert open_sources(sources, 4).clips_per_epoch == round(8 * 4 / 3)


def test_each_of_two_equal_sources_has_an_order_of_its_own(config):
    directory = config.data.train
    config.data.train = ""
    for name in ("a", "b"):
        source = default_source()
        source.dataset = directory
        with config.data.unlocked():
            config.data.sources[name] = source
    opened = open_sources(config, 4)
    first = [
        batch["index"].numpy()
        for batch in data.train_batches(opened.inputs, opened.sizes, stop_step=9)
    ]
    orders = np.stack(first).reshape(-1, 2, 2).transpose(1, 0, 2).reshape(2, -1)
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(18))
    assert (orders[0] != orders[1]).any()


def test_one_source_is_what_the_short_form_says(config, tmp_path):
    training.train(config, str(tmp_path / "short"))
    source = default_source()
    source.dataset = config.data.train
    config.data.train = ""
    with config.data.unlocked():
        config.data.sources.train = source
    training.train(config, str(tmp_path / "long"))
    assert_same_run(str(tmp_path / "short"), str(tmp_path / "long"))


def test_a_killed_run_of_two_sources_goes_on_to_the_bit(sources, tmp_path):
    unbroken, broken = str(tmp_path / "unbroken"), str(tmp_path / "broken")
    training.train(sources, unbroken)
    process = start(sources, broken)
    wait_for(lambda: checkpoints(broken), process)
    process.kill()
    process.communicate()
    training.train(sources, broken)
    assert_same_run(unbroken, broken)


def one_source(config, web, **labels):
    source = default_source()
    source.dataset = web.directory
    source.labels.update(labels)
    config.data.update(train="", validation="")
    with config.data.unlocked():
        config.data.sources.web = source
    return open_sources(config, 4)


def labels_by_row(opened):
    found = {}
    for batch in data.train_batches(opened.inputs, opened.sizes, stop_step=9):
        found.update(
            zip(batch["index"].numpy().tolist(), batch["label"].numpy(), strict=True)
        )
    return found


def test_the_teachers_first_choice_can_be_the_label(config, web):
    opened = one_source(config, web, kind="teacher")
    assert opened.label_names == ["a", "b", "c"]
    assert labels_by_row(opened) == dict(enumerate(web.index.teacher))


def test_labels_can_be_assigned_by_row(config, web, tmp_path):
    labels = np.array([0, 1, 2, 3, -1, -1, 3, 2, 1, 0, 0, 0])
    path = str(tmp_path / "clusters")
    names = [f"cluster {n}" for n in range(4)]
    Assignment(labels, names, dataset_fingerprint(web)).save(path)
    opened = one_source(config, web, kind="assignment", path=path)
    assert opened.label_names == names
    assert opened.clips == [10]
    expected = {row: label for row, label in enumerate(labels) if label >= 0}
    assert labels_by_row(opened) == expected


def test_a_label_map_can_be_a_sources(config, web, tmp_path):
    confusion = ConfusionMatrix(["a", "b", "c"])
    confusion.update(web.index.label, web.index.teacher)
    label_map = build_label_map(confusion, "spl_b")
    label_map.save(tmp_path / "map")
    opened = one_source(config, web, kind="label_map", path=str(tmp_path / "map"))
    expected = label_map.lookup(web.index.label, web.index.teacher)
    assert labels_by_row(opened) == dict(enumerate(expected))


def test_an_assignment_trains(config, web, tmp_path):
    path = str(tmp_path / "clusters.npz")
    fingerprint = dataset_fingerprint(web)
    Assignment(np.arange(12) % 2, ("even", "odd"), fingerprint).save(path)
    one_source(config, web, kind="assignment", path=path)
    results = training.train(config, str(tmp_path / "run"))
    assert (results["labels"], results["clips"]) == (2, 12)
    assert len(weights(tmp_path / "run"))


def test_shares_that_give_no_whole_clips_name_the_nearest_batch(sources, tmp_path):
    sources.data.batch_size = 6
    with pytest.raises(
        ValueError, match=r"target 1\.5, web 4\.5.*nearest possible batch is 4 or 8"
    ):
        training.train(sources, str(tmp_path / "run"))
    sources.data.sources.web.share = 0.0
    with pytest.raises(ValueError, match=r"sources\.web\.share is 0\.0"):
        training.train(sources, str(tmp_path / "run"))
    assert not os.path.exists(tmp_path / "run")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("labels.kind", "hashtag", r"sources\.web\.labels\.kind is 'hashtag'.*record"),
        ("labels.kind", "assignment", r"sources\.web\.labels.*need one"),
        ("dataset", "", r"sources\.web\.dataset is empty"),
        ("dataset", "nowhere", r"sources\.web\.dataset: there is no folder nowhere"),
        ("filter.keep_fraction", 1.5, r"sources\.web: keep_fraction is 1\.5"),
        ("clips.kind", "pan", r"sources\.web\.clips\.kind is 'pan'.*perspective"),
        ("clips.kind", "perspective", r"web\.clips has kind 'perspective' and mot"),
        ("clips.step", 1.5, r"sources\.web\.clips\.step is 1\.5"),
        ("clips.by_class", True, r"web\.clips\.by_class is for kind 'perspective'"),
        ("clips.kind", "still", r"sources\.web: .* clips of up to 8 frames"),
        ("filter.exclude_ids", "no.csv", r"filter\.exclude_ids: there is no no\.csv"),
    ],
)
def test_what_a_source_cannot_be_is_told_by_its_key(
    sources, tmp_path, key, value, message
):
    *path, last = key.split(".")
    settings = sources.data.sources.web
    for part in path:
        settings = settings[part]
    settings[last] = value
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        training.train(sources, str(tmp_path / "run"))
    assert not os.path.exists(tmp_path / "run")


def test_an_unknown_key_of_a_source_is_named(sources):
    with sources.data.unlocked():
        sources.data.sources.web.filters = 1
    with pytest.raises(ValueError, match=r"web\.filters is unknown; is filter"):
        training.check_config(sources)


def test_sources_of_other_classes_are_refused(sources, tmp_path):
    other = [make_clip(n, n % 2, names="xy") for n in range(4)]
    dataset = write_dataset(tmp_path / "other", other, "xy")
    sources.data.sources.web.update(dataset=dataset.directory)
    sources.data.sources.web.filter.agreement = False
    with pytest.raises(ValueError, match=r"target has the labels a, b.*web has x, y"):
        training.train(sources, str(tmp_path / "run"))


def test_a_filter_that_keeps_nothing_or_lacks_the_teacher_is_told(
    sources, config, tmp_path
):
    none = [make_clip(n, n % 3, teacher=[(n + 1) % 3], names="abc") for n in range(4)]
    dataset = write_dataset(tmp_path / "none", none, "abc")
    sources.data.sources.web.update(dataset=dataset.directory)
    with pytest.raises(ValueError, match=r"4 have a label.*source 'web' keeps none"):
        training.train(sources, str(tmp_path / "run"))
    sources.data.sources.web.update(dataset=sources.data.sources.target.dataset)
    with pytest.raises(ValueError, match=r"sources\.web: .*without a teacher pred"):
        training.train(sources, str(tmp_path / "run"))
    assert not os.path.exists(tmp_path / "run")


@pytest.mark.parametrize("kind", ["record", "teacher"])
def test_labels_that_a_filter_empties_are_named(sources, tmp_path, caplog, kind):
    # The teacher is unsure of all that it takes for b, and says b for all c.
    clips = [
        dataclasses.replace(
            make_clip(n, n % 3, teacher=[min(n % 3, 1)], names="abc"),
            teacher_confidence=(0.2 if n % 3 else 0.9,),
        )
        for n in range(12)
    ]
    dataset = write_dataset(tmp_path / "unsure", clips, "abc")
    settings = sources.data.sources.web
    settings.update(dataset=dataset.directory)
    settings.labels.kind = kind
    settings.filter.update(agreement=False, min_confidence=0.5)
    caplog.set_level("WARNING")
    open_sources(sources, 4)
    (message,) = (each.getMessage() for each in caplog.records)
    expected = {"record": "b, c", "teacher": "b"}[kind]
    assert message == f"the filter of source 'web' keeps no clip of {expected}"


def test_an_assignment_of_another_dataset_is_refused(config, web, tmp_path):
    path = str(tmp_path / "clusters")
    Assignment(np.zeros(12, int), ("a",), "f" * 64).save(path)
    with pytest.raises(ValueError, match=r"sources\.web: .*another dataset"):
        one_source(config, web, kind="assignment", path=path)


def test_one_training_has_one_form_of_its_data(sources, web):
    sources.data.train = web.directory
    with pytest.raises(ValueError, match=r"config\.data\.train.*one of the two"):
        training.check_config(sources)


@pytest.mark.parametrize("across", [False, True])
def test_soft_pairs_and_several_clips_of_an_item_train_and_go_on(
    sources, tmp_path, across
):
    sources.data.update(batch_size=8, mixup=0.2, mixup_across=across, clips_per_item=2)
    sources.loss.clips = "loss_of_mean"
    sources.schedule.length.steps = 60
    unbroken, broken = str(tmp_path / "unbroken"), str(tmp_path / "broken")
    results = training.train(sources, unbroken)
    assert results["top_1"] > 0.9
    process = start(sources, broken)
    wait_for(lambda: checkpoints(broken), process)
    process.kill()
    process.communicate()
    training.train(sources, broken)
    assert_same_run(unbroken, broken)


def test_mixing_needs_two_clips_of_each_source(sources, tmp_path):
    sources.data.mixup = 0.2
    with pytest.raises(ValueError, match=r"mixup.*source 'target' has one"):
        training.train(sources, str(tmp_path / "run"))
    sources.data.mixup_across = True
    assert open_sources(sources, 4).mixup_across == 0.2


def test_mixing_across_sources_needs_a_weight_and_one_forward_pass(sources):
    sources.data.mixup_across = True
    with pytest.raises(ValueError, match=r"mixup_across is True.*config\.data\.mixup,"):
        training.check_config(sources)
    sources.data.update(mixup=0.2, forward="per_source")
    with pytest.raises(ValueError, match=r"mixup_across.*'per_source'.*use 'joint'"):
        training.check_config(sources)
    sources.data.update(mixup_across=False, forward="step_per_source")
    sources.optimizer.accumulation_steps = 2
    with pytest.raises(ValueError, match=r"accumulation_steps is 2, expected 1"):
        training.check_config(sources)
    sources.optimizer.accumulation_steps = 1
    sources.data.update(forward="each")
    with pytest.raises(ValueError, match=r"data\.forward is 'each', expected one of"):
        training.check_config(sources)


def test_one_source_alone_passes_as_one_batch(config, tmp_path):
    config.schedule.length.steps = 4
    config.schedule.warmup.steps = 0
    training.train(config, str(tmp_path / "joint"))
    config.data.forward = "per_source"
    training.train(config, str(tmp_path / "per_source"))
    assert_same_run(str(tmp_path / "joint"), str(tmp_path / "per_source"))


def test_the_most_confident_share_and_excluded_ids_are_a_filters(
    sources, tmp_path, web
):
    clips = [
        dataclasses.replace(
            make_clip(n, n % 3, teacher=[n % 3], names="abc"),
            teacher_confidence=(n / 12,),
        )
        for n in range(12)
    ]
    dataset = write_dataset(tmp_path / "sure", clips, "abc")
    (tmp_path / "ids.txt").write_text("video11\nvideo4\n")
    settings = sources.data.sources.web
    settings.update(dataset=dataset.directory)
    settings.filter.update(exclude_ids=str(tmp_path / "ids.txt"), keep_fraction=0.5)
    web_input = open_sources(sources, 4).inputs[1]
    rows, _ = data.clips_kept(web_input)
    # Of 0, 3, 6, 9, of 1, 7, 10 and of 2, 5, 8 the more confident half, rounded up.
    numbers = [n for n in range(12) if n in (6, 9, 7, 10, 5, 8)]
    ids = dataset_ids(dataset)
    assert sorted(ids[row] for row in rows) == sorted(f"video{n}" for n in numbers)
    settings.filter.update(exclude_ids="", keep_fraction=1.0, min_confidence=0.7)
    rows, _ = data.clips_kept(open_sources(sources, 4).inputs[1])
    assert sorted(ids[row] for row in rows) == ["video10", "video11", "video9"]


def dataset_ids(dataset):
    with dataset.reader() as reader:
        found = [parse_clip(reader.read(row)) for row in range(len(dataset))]
    return [clip.media_id for clip in found]
