"""Names and shapes of other projects' checkpoints, as their code makes them."""

import numpy as np
import pytest

from spl_tf.models.public_weights import PUBLIC_NETWORKS
from tests.models.public_weights.test_goldens import FACTS


def tensors_of(golden):
    """Zeros that take no memory, named and shaped as the original code's tensors."""
    tensors = {
        name: np.broadcast_to(np.float32(0), shape)
        for name, shape in FACTS[golden]["state"].items()
    }
    for name in list(tensors):
        if name.endswith("running_mean"):
            tensors[name.replace("running_mean", "num_batches_tracked")] = np.int64(3)
    return tensors


@pytest.mark.parametrize(
    ("source", "name", "golden"),
    [
        ("vmz", "r2plus1d_152", "vmz/r2plus1d_152"),
        ("vmz", "ir_csn_152", "vmz/ir_csn_152"),
        ("mmaction2", "slow_only_101_8x8", "mmaction2/slow_only_101"),
    ],
)
def test_every_tensor_of_the_project_has_its_place(source, name, golden):
    tensors = tensors_of(golden)
    network = PUBLIC_NETWORKS[source][name]
    model, left_out = network.build(tensors, "file.pth")
    assert set(left_out) == {key for key in tensors if key.endswith("batches_tracked")}
    assert model.input_shape[1:3] == (network.frames, network.crop)


@pytest.fixture(scope="module")
def checkpoint():
    return tensors_of("mmaction2/tsn_50")


def build(tensors):
    return PUBLIC_NETWORKS["mmaction2"]["tsn_50_3seg"].build(tensors, "file.pth")


def test_what_does_not_fit_is_named_on_both_sides(checkpoint):
    tensors = dict(checkpoint)
    del tensors["backbone.conv1.bn.bias"]
    tensors["backbone.layer1.0.conv2.conv.weight"] = np.zeros((64, 64, 5, 5))
    tensors["neck.weight"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"file.pth does not fit resnet_50") as caught:
        build(tensors)
    message = str(caught.value)
    assert "backbone.conv1.bn.bias is absent, stem_bn/beta (64,)" in message
    assert (
        "backbone.layer1.0.conv2.conv.weight is (64, 64, 5, 5), res2_0_b/kernel "
        "(1, 3, 3, 64, 64) is made of it" in message
    )
    assert "neck.weight has no counterpart" in message


def test_a_file_of_another_network_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"file.pth has no blocks.5.proj.weight"):
        PUBLIC_NETWORKS["pytorchvideo"]["slow_r50"].build(checkpoint, "file.pth")


def test_nan_in_a_file_is_refused(checkpoint):
    bias = np.full(400, np.nan, np.float32)
    with pytest.raises(ValueError, match=r"file.pth gives NaN to classifier/bias"):
        build({**checkpoint, "cls_head.fc_cls.bias": bias})


def test_the_classes_are_the_files_and_options_are_the_users(checkpoint):
    tensors = dict(checkpoint)
    for name in ("cls_head.fc_cls.weight", "cls_head.fc_cls.bias"):
        tensors[name] = tensors[name][:7]
    network = PUBLIC_NETWORKS["mmaction2"]["tsn_50_8seg"]
    model, _ = network.build(tensors, "file.pth", (None, 64, 64, 3), dropout=0.3)
    assert model.output_shape == (None, 7)
    assert model.input_shape == (None, None, 64, 64, 3)
    assert model.get_layer("dropout").rate == 0.3
