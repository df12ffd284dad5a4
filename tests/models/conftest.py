"""What tests of networks share."""

import keras
import numpy as np
import pytest


def _randomize(model, seed=0):
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            count = layer.gamma.shape[0]
            values = [
                rng.uniform(0.5, 1.0, count),
                rng.normal(0, 0.2, count),
                rng.normal(0, 0.2, count),
                rng.uniform(0.5, 1.5, count),
            ]
        else:
            values = [
                rng.normal(0, np.sqrt(2 / max(1, np.prod(w.shape[:-1]))), w.shape)
                for w in layer.weights
            ]
        layer.set_weights(values)
    return model


@pytest.fixture(scope="session")
def randomize():
    """Gives every weight of a model a random value, statistics and biases too."""
    return _randomize


@pytest.fixture(scope="session")
def outputs():
    """The outputs of named layers, as NumPy arrays by name."""

    def run(model, clip, *names, training=False):
        taps = {name: model.get_layer(name).output for name in names}
        results = keras.Model(model.input, taps)(clip, training=training)
        return {name: np.asarray(value) for name, value in results.items()}

    return run


@pytest.fixture(scope="session")
def save_by_layer():
    """Writes a model's weights to a file, one array per `<layer>/<position>`."""

    def save(path, model):
        arrays = {
            f"{layer.name}/{position}": array
            for layer in model.layers
            for position, array in enumerate(layer.get_weights())
        }
        np.savez(path, **arrays)
        return str(path)

    return save
