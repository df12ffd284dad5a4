"""Names and shapes of other projects' checkpoints, as their code makes them."""

import numpy as np
import pytest

from spl_tf.models.public_weights import PUBLIC_NETWORKS

CELLS = {50: (3, 4, 6, 3), 152: (3, 8, 36, 3)}


def conv(name, *shape):
    """A kernel; zeros that take no memory."""
    return {f"{name}.weight": np.broadcast_to(np.float32(0), shape)}


def norm(name, channels):
    ends = ("weight", "bias", "running_mean", "running_var")
    tensors = {f"{name}.{end}": np.zeros(channels, np.float32) for end in ends}
    return tensors | {f"{name}.num_batches_tracked": np.int64(3)}


def dense(name, inputs, outputs):
    return conv(name, outputs, inputs) | {f"{name}.bias": np.zeros(outputs, np.float32)}


def bottlenecks(cells, middle, conv_bn, prefix, shape_of_a, downsample):
    """Everything between stem and classifier, cell by cell."""
    tensors, before = {}, 64
    for stage, count in enumerate(cells, start=1):
        width = 32 * 2**stage
        for cell in range(count):
            name = f"{prefix}layer{stage}.{cell}"
            a = (width, before, *shape_of_a(stage))
            tensors |= conv_bn(f"{name}.conv1", *a)
            tensors |= middle(f"{name}.conv2", width)
            tensors |= conv_bn(f"{name}.conv3", 4 * width, width, *a[2:])
            if before != 4 * width:
                tensors |= downsample(f"{name}.downsample", 4 * width, before)
            before = 4 * width
    return tensors


def in_sequence(name, filters, *shape):
    return conv(f"{name}.0", filters, *shape) | norm(f"{name}.1", filters)


def in_module(name, filters, *shape):
    return conv(f"{name}.conv", filters, *shape) | norm(f"{name}.bn", filters)


def vmz(stem, middle):
    return (
        stem
        | bottlenecks(
            CELLS[152],
            middle,
            lambda name, *shape: in_sequence(name, *shape[:2], 1, 1, 1),
            "",
            lambda stage: (1, 1, 1),
            lambda name, *shape: in_sequence(name, *shape, 1, 1, 1),
        )
        | dense("fc", 2048, 400)
    )


def vmz_r2plus1d_152():
    def middle(name, width):
        between = 27 * width * width // (9 * width + 3 * width)
        return (
            in_sequence(f"{name}.0", between, width, 1, 3, 3)
            | conv(f"{name}.0.3", width, between, 3, 1, 1)
            | norm(f"{name}.1", width)
        )

    stem = in_sequence("stem", 45, 3, 1, 7, 7)
    return vmz(stem | conv("stem.3", 64, 45, 3, 1, 1) | norm("stem.4", 64), middle)


def vmz_ir_csn_152():
    def middle(name, width):
        return in_sequence(name, width, 1, 3, 3, 3)

    return vmz(in_sequence("stem", 64, 3, 3, 7, 7), middle)


def mmaction2_50(three_d):
    point = (1, 1, 1) if three_d else (1, 1)

    def middle(name, width):
        return in_module(name, width, width, *point[2:], 3, 3)

    def length_of_a(stage):
        return (3, 1, 1) if three_d and stage > 2 else point

    def conv_bn(name, filters, channels, *kernel):
        kernel = point if name.endswith("conv3") else kernel
        return in_module(name, filters, channels, *kernel)

    def downsample(name, filters, channels):
        return in_module(name, filters, channels, *point)

    return (
        in_module("backbone.conv1", 64, 3, *point[2:], 7, 7)
        | bottlenecks(CELLS[50], middle, conv_bn, "backbone.", length_of_a, downsample)
        | dense("cls_head.fc_cls", 2048, 400)
    )


@pytest.mark.parametrize(
    ("source", "name", "tensors", "millions"),
    [
        # VMZ's model zoo; mmaction2 gives those of torchvision's and pytorchvideo's.
        ("vmz", "r2plus1d_152", vmz_r2plus1d_152, 118.2),
        ("vmz", "ir_csn_152", vmz_ir_csn_152, 29.7),
        ("mmaction2", "slow_only_50_4x16", lambda: mmaction2_50(True), 32.45),
        ("mmaction2", "tsn_50_3seg", lambda: mmaction2_50(False), 24.33),
    ],
)
def test_every_tensor_of_the_project_has_its_place(source, name, tensors, millions):
    tensors = tensors()
    network = PUBLIC_NETWORKS[source][name]
    model, left_out = network.build(tensors, "file.pth")
    assert set(left_out) == {key for key in tensors if key.endswith("batches_tracked")}
    trained = sum(np.prod(weight.shape) for weight in model.trainable_variables)
    assert trained / 1e6 == pytest.approx(millions, abs=0.05)
    assert model.input_shape[1:3] == (network.frames, network.crop)


@pytest.fixture(scope="module")
def checkpoint():
    return mmaction2_50(False)


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
    tensors = {**checkpoint, **dense("cls_head.fc_cls", 2048, 7)}
    network = PUBLIC_NETWORKS["mmaction2"]["tsn_50_8seg"]
    model, _ = network.build(tensors, "file.pth", (None, 64, 64, 3), dropout=0.3)
    assert model.output_shape == (None, 7)
    assert model.input_shape == (None, None, 64, 64, 3)
    assert model.get_layer("dropout").rate == 0.3
