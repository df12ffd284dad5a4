import os
import subprocess
import sys

import numpy as np
import pytest

from spl_tf.inference import export
from spl_tf.runs import run_folder
from tests import warm_python
from tests.training.finished_run import softmax, write_run

NAMES = ["tying a knot", "smörgåsbord", "a, b"]

# A fresh process, outside the source tree, which has TensorFlow and nothing else.
SERVER = """
import sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
clips = np.load(sys.argv[2])
answers = {"serve": model.serve(tf.constant(clips["trained_size"]))}
for name in clips.files:
    answers[name] = model.signatures["serving_default"](clips=tf.constant(clips[name]))
arrays = {}
for name, answer in answers.items():
    for key, value in answer.items():
        value = value.numpy()
        if key == "class_names":
            value = np.vectorize(bytes.decode)(value)
        arrays[f"{name}/{key}"] = value
np.savez(sys.argv[3], **arrays)
assert not any(module.split(".")[0] == "spl_tf" for module in sys.modules)
"""


def test_a_fresh_process_serves_the_model_with_tensorflow_alone(tmp_path):
    run = write_run(tmp_path / "run", NAMES)
    served = str(tmp_path / "served")
    flags = [f"--checkpoint={run}", f"--output_dir={served}", "--top_k=2"]
    done = warm_python.run("-m", "experiments.export", *flags)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith(f"{served}: a SavedModel of 3 classes\n")

    rng = np.random.default_rng(0)
    clips = {
        "trained_size": rng.integers(0, 256, (3, 2, 16, 16, 3), np.uint8),
        "other_size": rng.integers(0, 256, (1, 5, 24, 24, 3), np.uint8),
    }
    np.savez(tmp_path / "clips.npz", **clips)
    paths = [served, str(tmp_path / "clips.npz"), str(tmp_path / "answers.npz")]
    done = subprocess.run(
        [sys.executable, "-c", SERVER, *paths],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = np.load(tmp_path / "answers.npz")

    config, _, model = run_folder.load_run(run)
    logits = model(pixels(clips["trained_size"])).numpy()
    for name in ("serve", "trained_size"):
        check_answer(answers, name, softmax(logits))
    config.data.update(num_frames=5, crop_size=24)
    other = run_folder.build_from_config(config, len(NAMES))
    other.set_weights(model.get_weights())
    logits = other(pixels(clips["other_size"])).numpy()
    check_answer(answers, "other_size", softmax(logits))


def pixels(clips):
    return clips.astype(np.float32) / 255


def check_answer(answers, name, expected):
    """The two best classes, best first, and all in order."""
    every = answers[f"{name}/all_probabilities"]
    assert every.dtype == np.float32
    np.testing.assert_allclose(every, expected, atol=1e-5)
    best = np.argsort(-expected, axis=1)[:, :2]
    assert answers[f"{name}/class_names"].tolist() == np.array(NAMES)[best].tolist()
    np.testing.assert_allclose(
        answers[f"{name}/probabilities"],
        np.take_along_axis(expected, best, axis=1),
        atol=1e-5,
    )


def test_the_class_order_lies_beside_the_model(tmp_path):
    run = write_run(tmp_path / "run", NAMES)
    assert export.export(run, str(tmp_path / "served")) == tuple(NAMES)
    text = (tmp_path / "served/assets.extra/classes.txt").read_text(encoding="utf-8")
    assert text.splitlines() == NAMES
    assert sorted(os.listdir(tmp_path)) == ["run", "served"]


def test_what_cannot_be_exported_is_refused(tmp_path):
    run = write_run(tmp_path / "run", NAMES)
    with pytest.raises(FileExistsError, match="run exists; choose another"):
        export.export(run, run)
    with pytest.raises(FileNotFoundError, match="is no training run"):
        export.export(str(tmp_path / "nowhere"), str(tmp_path / "served"))
    with pytest.raises(ValueError, match="top_k is 0"):
        export.export(run, str(tmp_path / "served"), top_k=0)
    assert os.listdir(tmp_path) == ["run"]
