"""Training in processes of its own, and what a run leaves in its workdir."""

import json
import os
import pathlib
import socket
import time

import numpy as np

from tests.warm_python import WarmProcess

ROOT = pathlib.Path(__file__).parents[2]

# Trains in a process of its own, from a config given as JSON.
TRAIN = """
import json, sys
from ml_collections import config_dict
from spl_tf.training import train
train(config_dict.ConfigDict(json.loads(sys.argv[1])), sys.argv[2])
"""

# The same on two replicas: logical devices are set up before TensorFlow starts.
TRAIN_ON_TWO = f"""
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
devices = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, devices)
{TRAIN}
"""

CONFIG_FILE = """
import json
from ml_collections import config_dict

def get_config():
    return config_dict.ConfigDict(json.loads({text!r}))
"""


def start(config, workdir, script=TRAIN):
    """Starts training in a process of its own."""
    return WarmProcess("-c", script, json.dumps(config.to_dict()), workdir)


def start_command(config, workdir, *flags, **environment):
    """Starts `experiments.train`; what it prints is one text."""
    path = f"{workdir}.config.py"
    with open(path, "w") as file:
        file.write(CONFIG_FILE.format(text=json.dumps(config.to_dict())))
    flags = [f"--config={path}", f"--workdir={workdir}", *flags]
    command = ["-m", "experiments.train", *flags]
    return WarmProcess(*command, environment=environment, one_stream=True)


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def clusters(count):
    """What `TF_CONFIG` is in each of so many processes of this machine."""
    hosts = [f"127.0.0.1:{port}" for port in free_ports(count)]
    return [
        json.dumps(
            {
                "cluster": {"worker": hosts},
                "task": {"type": "worker", "index": index},
            }
        )
        for index in range(count)
    ]


def lines(workdir):
    """The log without what the clock decides."""
    with open(os.path.join(workdir, "metrics.jsonl")) as file:
        written = [json.loads(line) for line in file]
    for line in written:
        assert line.pop("clips_per_second") > 0
        assert 0 <= line.pop("input_wait") <= 1
    return written


def checkpoints(workdir):
    """Names of the checkpoints of a run, oldest first, but not what is half written."""
    directory = os.path.join(workdir, "checkpoints")
    names = os.listdir(directory) if os.path.isdir(directory) else []
    return sorted(name for name in names if not name.endswith(".incomplete"))


def weights(workdir):
    with np.load(os.path.join(workdir, "weights.npz")) as arrays:
        return {name: arrays[name] for name in arrays.files}


def assert_same_run(first, second):
    """Same losses and weights, to the bit."""
    assert lines(first) == lines(second)
    former, latter = weights(first), weights(second)
    assert former.keys() == latter.keys()
    for name in former:
        np.testing.assert_array_equal(former[name], latter[name], err_msg=name)


def assert_nearly_same_run(first, second, rtol=1e-3, atol=1e-5):
    """Same losses, norms and weights, but for rounding, and one ReLU that it flips."""
    for former, latter in zip(lines(first), lines(second), strict=True):
        assert former["step"] == latter["step"]
        for name in ("loss", "gradient_norm"):
            np.testing.assert_allclose(latter[name], former[name], rtol, err_msg=name)
    former, latter = weights(first), weights(second)
    assert former.keys() == latter.keys()
    for name in former:
        np.testing.assert_allclose(latter[name], former[name], rtol, atol, err_msg=name)
