"""Devices by name."""

import pytest
import tensorflow as tf

from spl_tf import training


def test_strategies_have_names():
    assert isinstance(training.make_strategy("one"), tf.distribute.OneDeviceStrategy)
    with pytest.raises(ValueError, match="unknown strategy 'two'"):
        training.make_strategy("two")
