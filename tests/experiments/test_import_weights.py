"""Public weights become a run that all binaries take."""

import json

import numpy as np
import pytest
import safetensors.numpy

from experiments.import_weights import import_weights
from spl_tf import clips, training
from spl_tf.inference.export import export
from spl_tf.models.public_weights import PUBLIC_NETWORKS
from tests import warm_python
from tests.conftest import write_dataset
from tests.models.public_weights.test_goldens import FACTS, draw
from tests.training.finished_run import decode, softmax, textured_clip

NETWORK = PUBLIC_NETWORKS["torchvision"]["resnet18"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's


@pytest.fixture(scope="module")
def tensors():
    """ResNet-18 of torchvision, its classifier cut to 7 classes, named as there."""
    shapes = FACTS["torchvision/resnet18"]["state"]
    drawn = {name: draw(name, tuple(shape)) for name, shape in shapes.items()}
    for name in ("fc.weight", "fc.bias"):
        drawn[name] = drawn[name][:7]
    drawn["bn1.num_batches_tracked"] = np.array(5)
    return drawn


@pytest.fixture(scope="module")
def checkpoint(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "resnet18.safetensors"
    safetensors.numpy.save_file(tensors, path)
    return str(path)


@pytest.fixture(scope="module")
def run(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "names.txt").write_text("".join(f"{n}\n" for n in "gfedcba"))
    command = ["-m", "experiments.import_weights"]
    command += ["--source=torchvision", "--name=resnet18"]
    command += [f"--checkpoint={checkpoint}", f"--classes={folder / 'names.txt'}"]
    done = warm_python.run(*command, f"--output_dir={folder / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "resnet_18 of 7 classes, left out: 1 num_batches_tracked" in done.stdout
    return str(folder / "run")


def test_the_run_labels_clips_as_the_network_would(run, tensors, tmp_path, caplog):
    shown = [textured_clip(n, n % 3, "abc", size=(256, 340)) for n in range(3)]
    dataset = write_dataset(tmp_path / "web", shown, "abc", 1)
    training.predict(
        run, dataset.directory, str(tmp_path / "labelled"), 3, classes="dataset"
    )
    assert "its training set is not known" in caplog.text
    bare, _ = NETWORK.build(tensors, "drawn")
    middle = [decode(clip)[3:4, 16:240, 58:282] for clip in shown]
    normal = ((np.stack(middle) / 255 - MEAN) / STD).astype(np.float32)
    every = softmax(bare.predict_on_batch(normal))[:, [6, 5, 4]]
    expected = every / every.sum(axis=1, keepdims=True)
    with clips.ClipDataset(tmp_path / "labelled").reader() as reader:
        found = [clips.parse_clip(reader.read(row)) for row in range(3)]
    for clip, row in zip(found, expected, strict=True):
        assert clip.teacher_index == tuple(np.argsort(-row))
        np.testing.assert_allclose(
            clip.teacher_confidence, -np.sort(-row), rtol=1e-3, atol=1e-6
        )


def test_the_run_is_a_start_and_can_be_exported(run, tmp_path):
    shown = [textured_clip(n, n % 2, "xy", size=(64, 64)) for n in range(4)]
    dataset = write_dataset(tmp_path / "target", shown, "xy", 1, "clean")
    config = training.default_config()
    config.model.update(name="resnet_18", normalization=(MEAN, STD))
    config.data.update(
        train=dataset.directory, num_frames=1, stride=1, crop_size=64, batch_size=2
    )
    config.init.checkpoint = run
    config.schedule.warmup.update(steps=0, epochs=0.0)
    config.schedule.length.update(steps=1, epochs=0.0)
    config.runtime.update(
        steps_per_call=1, log_every_steps=1, checkpoint_every_steps=1, strategy="one"
    )
    assert training.train(config, str(tmp_path / "tuned"))["labels"] == 2
    config.model.normalization = "symmetric"
    with pytest.raises(ValueError, match=r"init\.checkpoint .*model\.normalization"):
        training.train(config, str(tmp_path / "other"))
    assert export(run, str(tmp_path / "served")) == tuple("gfedcba")


def test_without_names_classes_are_numbered_and_said_so(checkpoint, tmp_path, caplog):
    output = tmp_path / "run"
    results = import_weights("torchvision", "resnet18", checkpoint, str(output))
    assert results["labels"] == 7
    assert "holds no names of its 7 classes" in caplog.text
    written = json.loads((output / "config.json").read_text())
    assert written["label_names"] == [f"class {n}" for n in range(7)]
    with pytest.raises(FileExistsError, match="is not empty"):
        import_weights("torchvision", "resnet18", checkpoint, str(output))


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("torch", "resnet18", "unknown source 'torch'; known are .*torchvision"),
        ("torchvision", "resnet20", "no network 'resnet20' here; it has .*resnet50"),
        ("torchvision", "resnet50", r"does not fit resnet_50: .*layer1\.0\.conv3"),
        ("pytorchvideo", "slow_r50", r"has no blocks\.5\.proj\.weight, the classifier"),
    ],
)
def test_what_is_no_such_network_is_told(checkpoint, tmp_path, source, name, message):
    with pytest.raises(ValueError, match=message):
        import_weights(source, name, checkpoint, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_other_numbers_of_classes_are_told(checkpoint, tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"names\.txt has 2 classes, .* 7 outputs"):
        import_weights(
            "torchvision",
            "resnet18",
            checkpoint,
            str(tmp_path / "run"),
            str(tmp_path / "names.txt"),
        )
