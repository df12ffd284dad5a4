"""A search over learning rates: what is held out, what wins, what goes on."""

import dataclasses
import json
import os

import pytest
from sklearn.metrics import average_precision_score

from experiments.tune import table, tune
from spl_tf import training
from spl_tf.inference.scores import Scores
from spl_tf.training.config import default_source
from tests import warm_python
from tests.conftest import make_clip, write_dataset
from tests.training.run_files import CONFIG_FILE

COUNT = 24


def labels_of(number, several):
    return (number % 3, 2) if several and number % 3 < 2 else (number % 3,)


def write_clips(directory, several=False):
    """Clips of three classes, two of each video."""
    clips = []
    for n in range(COUNT):
        first, *more = labels_of(n, several)
        clip = make_clip(n, first, names="abc")
        more = tuple((label, "abc"[label]) for label in more)
        clip = dataclasses.replace(clip, media_id=f"m{n // 6}{n % 3}", more_labels=more)
        clips.append(clip)
    return write_dataset(directory, clips, "abc", 1, "clean").directory


@pytest.fixture
def config(tmp_path):
    config = training.default_config()
    config.model.name = "r3d_tiny_g"
    config.data.train = write_clips(tmp_path / "clips")
    config.data.update(num_frames=2, stride=2, crop_size=16, batch_size=4)
    config.optimizer.reference_batch_size = 4
    config.schedule.warmup.epochs = 0.0
    config.schedule.length.update(steps=2, epochs=0.0)
    config.runtime.update(
        steps_per_call=1, log_every_steps=1, checkpoint_every_steps=1, strategy="one"
    )
    return config


def test_the_rate_that_is_best_on_the_videos_held_out_trains_on_all(config, tmp_path):
    workdir = tmp_path / "tuned"
    found = tune(config, str(workdir), [1e30, 1e-9, 1e-10], 0.25)

    held_out = (workdir / "held_out.csv").read_text().split()
    assert sorted(each[-1] for each in held_out) == ["0", "1", "2"]  # one of each class
    assert found["held_out"] == {"clips": 6, "media": 3, "trained": 18}
    rates = [each["learning_rate"] for each in found["tried"]]
    assert rates == [1e-10, 1e-9, 1e30]
    for each in found["tried"][:2]:
        run = workdir / "rates" / repr(each["learning_rate"])
        saved = json.loads((run / "config.json").read_text())
        assert saved["config"]["optimizer"]["learning_rate"] == each["learning_rate"]
        assert saved["kept"]["train"] == {name: [8, 6] for name in "abc"}
        scores = Scores.load(run / "held_out.npz")
        ids = {
            f"video{n}@0-1000000"
            for n in range(COUNT)
            if f"m{n // 6}{n % 3}" in held_out
        }
        assert set(scores.ids) == ids
        best = scores.probabilities.argmax(axis=1)
        assert each["top_1"] == (best == scores.labels).mean()
    assert found["tried"][2]["top_1"] is None
    # Neither changes anything that could be seen: the lower one is taken.
    assert found["tried"][0]["top_1"] == found["tried"][1]["top_1"]
    assert found["winner"] == 1e-10
    winner = json.loads((workdir / "winner" / "config.json").read_text())
    assert winner["config"]["optimizer"]["learning_rate"] == found["winner"]
    assert winner["config"]["data"]["train"] == config.data.train
    assert found["results"]["clips"] == COUNT
    assert json.loads((workdir / "tune.json").read_text()) == found
    lines = table(found).splitlines()
    assert lines[0] == "6 clips of 3 media held out, 18 trained on"
    assert lines[1].split() == ["learning", "rate", "held-out", "top-1"]
    assert lines[4].split() == ["1e+30", "not", "finite"]
    (line,) = (line for line in lines if line.endswith("winner"))
    assert line.startswith(repr(found["winner"]))

    with pytest.raises(ValueError, match=r"held_out\.csv lists other media"):
        tune(config, str(workdir), [0.02], 0.5)
    assert (workdir / "held_out.csv").read_text().split() == held_out


def test_several_labels_are_measured_by_map_and_the_command_goes_on(config, tmp_path):
    source = default_source()
    source.dataset = write_clips(tmp_path / "tagged", several=True)
    source.labels.kind = "all"
    config.loss.name = "sigmoid_cross_entropy"
    config.data.train = ""
    with config.data.unlocked():
        config.data.sources = {"tags": source}
    workdir = tmp_path / "tuned"
    (tmp_path / "config.py").write_text(
        CONFIG_FILE.format(text=json.dumps(config.to_dict()))
    )

    def command(rates):
        return warm_python.run(
            *("-m", "experiments.tune", f"--config={tmp_path / 'config.py'}"),
            *(f"--workdir={workdir}", f"--learning_rates={rates}", "--held_out=0.25"),
        )

    done = command("0.01")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "held-out mAP" in done.stdout
    former = os.stat(workdir / "rates" / "0.01" / "weights.npz").st_mtime_ns
    scores = Scores.load(workdir / "rates" / "0.01" / "held_out.npz")
    numbers = [int(each.split("@")[0][5:]) for each in scores.ids]
    hot = [[c in labels_of(n, True) for c in range(3)] for n in numbers]
    assert scores.labels.tolist() == hot
    expected = average_precision_score(hot, scores.probabilities)
    content = json.loads((workdir / "tune.json").read_text())
    assert content["tried"] == [{"learning_rate": 0.01, "mAP": pytest.approx(expected)}]
    os.remove(workdir / "tune.json")
    done = command("0.01")  # all is done, and said again
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((workdir / "tune.json").read_text()) == content
    assert os.stat(workdir / "rates" / "0.01" / "weights.npz").st_mtime_ns == former
    done = command("0.01,fast")
    assert done.returncode == 1
    assert "--learning_rates=0.01,fast" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("rates", "held_out", "message"),
    [
        ([], 0.1, r"learning_rates is \[\], expected one or more"),
        ([0.1, 0.1], 0.1, r"learning_rates is \[0\.1, 0\.1\], expected .* each once"),
        ([0.1, float("nan")], 0.1, "learning_rates has nan, expected numbers above 0"),
        ([0.1], 1.0, r"held_out is 1\.0, expected above 0 and below 1"),
        ([0.1], 0.99, "a share of 0.99 of each class is all of its 12 videos"),
    ],
)
def test_what_cannot_be_searched_is_refused(config, tmp_path, rates, held_out, message):
    with pytest.raises(ValueError, match=message):
        tune(config, str(tmp_path / "tuned"), rates, held_out)
    assert not (tmp_path / "tuned").exists()


def test_a_config_of_other_labels_sources_or_processes_is_refused(config, tmp_path):
    workdir = str(tmp_path / "tuned")
    spread = config.copy_and_resolve_references()
    spread.runtime.strategy = "multi_worker"
    with pytest.raises(ValueError, match="a search is of one process"):
        tune(spread, workdir, [0.1])
    source = default_source()
    source.dataset, config.data.train = config.data.train, ""
    source.labels.kind = "one_of"
    with config.data.unlocked():
        config.data.sources = {"web": source}
    with pytest.raises(ValueError, match=r"'web' has labels\.kind 'one_of', expected"):
        tune(config, workdir, [0.1])
    with config.data.unlocked():
        config.data.sources.other = source.copy_and_resolve_references()
    with pytest.raises(ValueError, match=r"are \['other', 'web'\], expected one"):
        tune(config, workdir, [0.1])
    assert not os.path.exists(workdir)
