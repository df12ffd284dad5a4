"""Batch normalisation over the replicas of a strategy."""

import numpy as np

from spl_tf.models import build_model
from tests import warm_python

_ON_TWO_DEVICES = """
import sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
from spl_tf.models import build_model

data = np.load(sys.argv[1])
clip = data["clip"]
halves = np.split(clip, 2)
strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
assert strategy.num_replicas_in_sync == 2
results = {}
for kind in ("own", "synchronized"):
    with strategy.scope():
        model = build_model(
            "r3d_tiny_g",
            5,
            clip.shape[1:],
            dropout=0.0,
            synchronized_batch_norm=kind == "synchronized",
        )
        model.set_weights([data[f"weight{i}"] for i in range(len(model.weights))])
    shares = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(halves[context.replica_id_in_sync_group])
    )
    call = tf.function(lambda x: model(x, training=True))
    logits = strategy.experimental_local_results(strategy.run(call, args=(shares,)))
    results[f"{kind}_logits"] = np.concatenate(logits)
    for i, array in enumerate(model.get_weights()):
        results[f"{kind}_weight{i}"] = array
np.savez(sys.argv[2], **results)
"""


def test_two_replicas_normalise_by_the_statistics_of_the_whole_batch(
    tmp_path, randomize
):
    rng = np.random.default_rng(1)
    clip = rng.normal(size=(6, 4, 16, 16, 3)).astype(np.float32)
    clip[3:] = 2 * clip[3:] + 1  # so that the halves' statistics differ
    model = randomize(build_model("r3d_tiny_g", 5, clip.shape[1:], dropout=0.0))
    source, target = str(tmp_path / "in.npz"), str(tmp_path / "out.npz")
    weights = {f"weight{i}": array for i, array in enumerate(model.get_weights())}
    np.savez(source, clip=clip, **weights)
    done = warm_python.run("-c", _ON_TWO_DEVICES, source, target)
    assert done.returncode == 0, done.stderr
    with np.load(target) as file:
        found = {name: file[name] for name in file.files}

    logits = model(clip, training=True).numpy()  # one device, the whole batch
    scale = np.abs(logits).max()
    error = np.abs(found["synchronized_logits"] - logits).max()
    assert error < 1e-4 * scale
    for i, array in enumerate(model.get_weights()):
        np.testing.assert_allclose(
            found[f"synchronized_weight{i}"], array, rtol=1e-4, atol=1e-5
        )
    # Else the comparison would prove nothing.
    assert np.abs(found["own_logits"] - logits).max() > 0.01 * scale
    # Each replica by the statistics of its own half (IG-65M, section 3.3).
    model.set_weights(list(weights.values()))
    alone = np.concatenate([model(half, training=True) for half in np.split(clip, 2)])
    assert np.abs(found["own_logits"] - alone).max() < 1e-4 * scale
