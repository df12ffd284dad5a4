import numpy as np
import pytest
import tensorflow as tf

from spl_tf.losses import DataParameters, TemperatureSettings, softmax_cross_entropy
from tests import warm_python

CLASSES, INSTANCES = 4, 9
CLASS = TemperatureSettings(1.5, 0.3, 0.02)
INSTANCE = TemperatureSettings(0.7, 0.9, 0.05)


def make(mode):
    return DataParameters(mode, CLASSES, INSTANCES, CLASS, INSTANCE)


def batches(count, size=5):
    """Labels, logits and distinct instances; class 3 and some instances stay away."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        labels = rng.integers(0, CLASSES - 1, size).astype(np.int32)
        logits = rng.normal(scale=3, size=(size, CLASSES)).astype(np.float32)
        yield labels, logits, rng.permutation(INSTANCES)[:size].astype(np.int32)


def objective(a, b, labels, logits, instances, mode):
    """Mean cross entropy and penalty, in float64, of log temperatures a and b."""
    sigma = np.zeros(len(labels))
    penalty = 0.0
    if mode != "instance":
        sigma += np.exp(a[labels])
        penalty += CLASS.weight_decay / 2 * (a[labels] ** 2).sum()
    if mode != "class":
        sigma += np.exp(b[instances])
        penalty += INSTANCE.weight_decay / 2 * (b[instances] ** 2).sum()
    z = logits.astype(np.float64) / sigma[:, None]
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]
    return losses.mean() + penalty


def numeric_gradient(function, x, step=1e-6):
    gradient = np.zeros_like(x)
    for i in range(len(x)):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        gradient[i] = (function(up) - function(down)) / (2 * step)
    return gradient


def sparse_momentum(x, velocity, gradient, rate):
    for i in np.flatnonzero(gradient):
        velocity[i] = 0.9 * velocity[i] + gradient[i]
        x[i] -= rate * velocity[i]
    np.clip(x, np.log(1 / 20), np.log(20), out=x)


def logarithms(parameters):
    return [
        part.logarithm.value.numpy().copy()
        for part in (parameters.classes, parameters.instances)
        if part is not None
    ]


@pytest.mark.parametrize("mode", ["class", "instance", "joint"])
def test_updates_follow_numeric_gradients_with_sparse_momentum(mode):
    parameters = make(mode)
    a = np.full(CLASSES, np.log(CLASS.initial))
    b = np.full(INSTANCES, np.log(INSTANCE.initial))
    a_velocity, b_velocity = np.zeros(CLASSES), np.zeros(INSTANCES)
    for labels, logits, instances in batches(6):
        batch = (labels, logits, instances, mode)
        a_gradient = numeric_gradient(lambda x: objective(x, b, *batch), a)  # noqa: B023
        b_gradient = numeric_gradient(lambda x: objective(a, x, *batch), b)  # noqa: B023
        sparse_momentum(a, a_velocity, a_gradient, CLASS.learning_rate)
        sparse_momentum(b, b_velocity, b_gradient, INSTANCE.learning_rate)
        parameters.update(labels, logits, instances)
        expected = {"class": [a], "instance": [b], "joint": [a, b]}[mode]
        for found, wanted in zip(logarithms(parameters), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["class", "instance", "joint"])
def test_losses_are_cross_entropies_at_the_temperatures(mode):
    parameters = make(mode)
    labels, logits, instances = next(batches(1))
    sigma = {"class": 1.5, "instance": 0.7, "joint": 1.5 + 0.7}[mode]
    z = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        losses = parameters(labels, z, instances)
    scaled = np.exp(logits.astype(np.float64) / sigma)
    p = scaled / scaled.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(losses, -np.log(p[np.arange(5), labels]), rtol=1e-5)
    expected = (p - np.eye(CLASSES)[labels]) / sigma
    np.testing.assert_allclose(tape.gradient(losses, z), expected, atol=1e-6)
    assert not parameters.trainable_variables


def test_half_precision_logits_are_computed_in_float32():
    parameters = make("joint")
    labels, logits, instances = next(batches(1))
    half = tf.cast(logits, tf.bfloat16)
    found = parameters(labels, half, instances)
    assert found.dtype == tf.float32
    expected = parameters(labels, tf.cast(half, tf.float32), instances)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_padding_counts_for_nothing():
    whole, padded = make("joint"), make("joint")
    for labels, logits, instances in batches(3):
        whole.update(labels[:3], logits[:3], instances[:3])
        logits[3:] = np.nan
        padded.update(labels, logits, instances, mask=np.arange(5) < 3)
    for one, other in zip(logarithms(whole), logarithms(padded), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    before = logarithms(padded)
    padded.update(labels, logits, instances, mask=np.zeros(5, bool))
    for one, other in zip(before, logarithms(padded), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_first_update_of_joint_mode_clamps_every_instance():
    parameters = DataParameters("joint", CLASSES, INSTANCES)
    np.testing.assert_allclose(np.exp(parameters.instances.logarithm), 0.001, rtol=1e-5)
    parameters.update(*next(batches(1)))
    np.testing.assert_allclose(np.exp(parameters.instances.logarithm), 0.05, rtol=1e-5)


def test_a_compiled_step_is_the_eager_one():
    eager, compiled = make("joint"), make("joint")

    @tf.function(jit_compile=True)
    def step(labels, logits, instances):
        losses = compiled(labels, logits, instances)
        compiled.update(labels, logits, instances)
        return losses

    variables = len(compiled.variables)
    for batch in batches(4):
        expected = eager(*batch)
        eager.update(*batch)
        found = step(*map(tf.constant, batch))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    for one, other in zip(eager.variables, compiled.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert len(compiled.variables) == variables == 4
    assert step.experimental_get_tracing_count() == 1


def test_a_checkpoint_holds_temperatures_and_momentum(tmp_path):
    first, second = batches(2)
    original = make("joint")
    original.update(*first)
    path = tf.train.Checkpoint(data_parameters=original).save(tmp_path / "step")
    original.update(*second)
    restored = make("joint")
    status = tf.train.Checkpoint(data_parameters=restored).restore(path)
    status.assert_existing_objects_matched()
    restored.update(*second)
    for one, other in zip(original.variables, restored.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_out_of_range_is_an_error_and_in_a_graph_nan():
    parameters = make("joint")
    labels, logits, instances = next(batches(1))
    instances[1] = INSTANCES
    with pytest.raises(ValueError, match=f"instance {INSTANCES} at position 1"):
        parameters(labels, logits, instances)
    with pytest.raises(ValueError, match="need the clips' instances"):
        parameters(labels, logits)
    before = logarithms(parameters)[1]

    @tf.function
    def step(labels, logits, instances):
        parameters.update(labels, logits, instances)
        return parameters(labels, logits, instances)

    found = step(*map(tf.constant, (labels, logits, instances)))
    assert np.isnan(found).tolist() == [False, True, False, False, False]
    moved = np.flatnonzero(logarithms(parameters)[1] != before)
    assert set(moved) == set(np.delete(instances, 1))


def test_an_unknown_mode_and_missing_sizes_are_errors():
    with pytest.raises(ValueError, match="expected one of class, instance, joint"):
        DataParameters("both", 3, 3)
    with pytest.raises(ValueError, match="num_instances is 0"):
        DataParameters("joint", 3)
    with pytest.raises(ValueError, match="num_classes is 0"):
        DataParameters("class", num_instances=3)


# Two replicas need logical devices that are set up before TensorFlow starts.
_REPLICAS = """
import sys
import numpy as np
import tensorflow as tf
from spl_tf.losses import DataParameters, TemperatureSettings

cpu = tf.config.list_physical_devices("CPU")[0]
devices = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
tf.config.set_logical_device_configuration(cpu, devices)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
data = np.load(sys.argv[1])
with strategy.scope():
    parameters = DataParameters(
        "joint", 4, 9, TemperatureSettings(1.5, 0.3, 0.02),
        TemperatureSettings(0.7, 0.9, 0.05),
    )


def in_replica(labels, logits, instances, mask):
    context = tf.distribute.get_replica_context()
    parameters.update(
        labels, logits, instances, mask, lambda x: context.all_reduce("SUM", x)
    )


@tf.function
def step(batch):
    strategy.run(in_replica, args=batch)


def part(array, replica):
    return array[replica * 3 : replica * 3 + 3]


names = ("labels", "logits", "instances", "mask")
for index in range(len(data["labels"])):
    arrays = [data[name][index] for name in names]
    step(tuple(
        strategy.experimental_distribute_values_from_function(
            lambda c: tf.constant(part(array, c.replica_id_in_sync_group))
        )
        for array in arrays
    ))
for variable in parameters.variables:
    copies = [copy.numpy() for copy in variable.value.values]
    np.testing.assert_array_equal(*copies)
np.savez(sys.argv[2], *[variable.numpy() for variable in parameters.variables])
"""


def test_two_replicas_move_as_one_of_the_whole_batch(tmp_path):
    whole = make("joint")
    mask = np.arange(6) < 5  # the second replica's last clip is padding
    all_batches = list(batches(3, size=6))
    for batch in all_batches:
        whole.update(*batch, mask)
    labels, logits, instances = (np.stack(x) for x in zip(*all_batches, strict=True))
    np.savez(
        tmp_path / "in.npz",
        labels=labels,
        logits=logits,
        instances=instances,
        mask=np.stack([mask] * 3),
    )
    done = warm_python.run("-c", _REPLICAS, tmp_path / "in.npz", tmp_path / "out.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as found:
        for name, variable in zip(found.files, whole.variables, strict=True):
            np.testing.assert_allclose(found[name], variable, rtol=1e-4, atol=1e-6)


def test_temperatures_of_mislabelled_clips_rise_above_the_others():
    rng = np.random.default_rng(0)
    truth = np.arange(INSTANCES) % CLASSES
    labels = truth.copy().astype(np.int32)
    labels[:2] = (truth[:2] + 1) % CLASSES
    parameters = DataParameters("instance", num_instances=INSTANCES)
    for _ in range(20):
        logits = 4 * np.eye(CLASSES)[truth] + rng.normal(size=(INSTANCES, CLASSES))
        parameters.update(labels, logits.astype(np.float32), np.arange(INSTANCES))
    sigma = np.exp(parameters.instances.logarithm)
    assert sigma[:2].min() > 1 > sigma[2:].max()
    hard = softmax_cross_entropy(labels, logits)
    soft = parameters(labels, logits, np.arange(INSTANCES))
    assert np.all(np.array(soft)[:2] < np.array(hard)[:2])
