"""Makes a finished run of a network whose weights another project published.

python -m experiments.import_weights --source=torchvision --name=r2plus1d_18 \
    --checkpoint=r2plus1d_18.pth --classes=k400.txt --output_dir=runs/k400_r2plus1d

The run is then a teacher for `experiments.predict`, something to evaluate, export or
visualize, and a start for `--config.init.checkpoint`, like one that was trained here.
Files are of PyTorch (`.pth`, `.pt`; needs the extra `torch`), `.safetensors` or `.npz`.
Without `--classes`, one name a line in the order of the network's outputs, they are
called "class 0" and so on.
"""

from __future__ import annotations

import collections
import hashlib
import os

from absl import flags, logging
from ml_collections import config_dict

from spl_tf import binary, training
from spl_tf.labels.class_names import read_class_names
from spl_tf.models.public_weights import PUBLIC_NETWORKS, PublicNetwork
from spl_tf.models.public_weights.files import read_tensors
from spl_tf.models.public_weights.naming import load_tensors
from spl_tf.runs import run_folder
from spl_tf.runs.checkpoints import save_weights


def import_weights(
    source: str, name: str, checkpoint: str, output_dir: str, classes: str = ""
) -> dict[str, object]:
    """Writes a finished run.

    Args:
        source: The project that published it, a key of `PUBLIC_NETWORKS`.
        name: The network, as the project calls it.
        checkpoint: File with its weights, see `read_tensors`.
        output_dir: Folder of the run to make.
        classes: A classes file; empty for numbers.

    Returns:
        The run's `results.json`: `model`, `labels`, `left_out` (tensors of the file
        that no part of the network is made of) and where all is from.

    Raises:
        FileExistsError: `output_dir` is there, and no folder without files.
        FileNotFoundError: A file is not there.
        ImportError: The file needs PyTorch, which is not installed.
        ValueError: Source or name is unknown, the file is damaged or of another
            network, or the classes are not as many as the network's outputs.
    """
    network = _find(source, name)
    if os.path.exists(output_dir) and os.listdir(output_dir):
        raise FileExistsError(f"{output_dir} is not empty; choose another folder")
    names = read_class_names(classes) if classes else None
    tensors = read_tensors(checkpoint)
    outputs = network.outputs(tensors, checkpoint)
    if names is None:
        logging.warning(
            "%s holds no names of its %d classes: they are called by their numbers",
            checkpoint,
            outputs,
        )
        names = [f"class {number}" for number in range(outputs)]
    if len(names) != outputs:
        raise ValueError(
            f"{classes} has {len(names)} classes, {checkpoint} {outputs} outputs"
        )
    config = run_config(network)
    model = run_folder.build_from_config(config, outputs)
    left_out = load_tensors(model, tensors, network.naming, checkpoint)
    with open(checkpoint, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    run_folder.claim_workdir(output_dir, config, label_names=names, datasets={})
    save_weights(output_dir, model)
    results = {
        "source": source,
        "name": name,
        "checkpoint": os.path.basename(checkpoint),
        "sha256": digest,
        "model": network.model,
        "labels": outputs,
        "left_out": left_out,
    }
    run_folder.write_results(output_dir, results)
    return results


def run_config(network: PublicNetwork) -> config_dict.ConfigDict:
    """The config of a training that would give such a network."""
    config = training.default_config()
    config.model.update(
        name=network.model,
        normalization=(network.mean, network.std),
        **network.options,
    )
    config.data.update(
        num_frames=network.frames,
        stride=network.stride,
        sampling=network.sampling,
        crop_size=network.crop,
        test_short_side=network.short_side,
    )
    return config


def _find(source: str, name: str) -> PublicNetwork:
    if source not in PUBLIC_NETWORKS:
        raise ValueError(
            f"unknown source {source!r}; known are {', '.join(sorted(PUBLIC_NETWORKS))}"
        )
    if name not in PUBLIC_NETWORKS[source]:
        raise ValueError(
            f"{source} has no network {name!r} here; it has "
            f"{', '.join(sorted(PUBLIC_NETWORKS[source]))}"
        )
    return PUBLIC_NETWORKS[source][name]


def _summary_of(tensors: list[str]) -> str:
    """How many tensors there are, by the last part of their names."""
    counts = collections.Counter(name.rsplit(".", 1)[-1] for name in tensors)
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def main(argv: list[str]) -> None:
    """Reads the flags, imports, prints what was made."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    results = import_weights(
        values.source, values.name, values.checkpoint, values.output_dir, values.classes
    )
    left_out = results["left_out"]
    print(
        f"{values.output_dir}: {results['model']} of {results['labels']} classes"
        + (f", left out: {_summary_of(left_out)}" if left_out else "")
    )


if __name__ == "__main__":
    flags.DEFINE_string("source", None, "Project: torchvision, ...", required=True)
    flags.DEFINE_string("name", None, "Name of the network there.", required=True)
    flags.DEFINE_string("checkpoint", None, "File of its weights.", required=True)
    flags.DEFINE_string("classes", "", "File of class names, one a line.")
    flags.DEFINE_string("output_dir", None, "Folder to make.", required=True)
    binary.run(main)
