import pytest

from spl_tf.models import MODEL_NAMES, build_model
from spl_tf.models.layers import ClipConv


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=f"known are {', '.join(MODEL_NAMES)}"):
        build_model("r3d_51", 5, (4, 16, 16, 3))


def test_width_scales_channels_and_depth_scales_cells():
    model = build_model("r3d_50_g", 5, (4, 32, 32, 3), width=0.125, depth=0.5)
    filters = {
        layer.name: layer.filters
        for layer in model.layers
        if isinstance(layer, ClipConv) and not layer.name.endswith("shortcut")
    }
    # Half of 3, 4, 6, 3 cells is 2 (1.5 is rounded to even), 2, 3, 2.
    cells = {2: 2, 3: 2, 4: 3, 5: 2}
    expected = {"stem": 8}
    for stage, count in cells.items():
        width = 8 * 2 ** (stage - 2)
        for cell in range(count):
            for part, channels in (("a", width), ("b", width), ("c", 4 * width)):
                expected[f"res{stage}_{cell}_{part}"] = channels
    assert filters == expected


def test_a_network_has_one_cell_and_one_channel_at_least():
    model = build_model("resnet_18", 5, (1, 32, 32, 3), width=1e-9, depth=1e-9)
    convolutions = [layer for layer in model.layers if isinstance(layer, ClipConv)]
    assert {layer.filters for layer in convolutions} == {1}
    assert model.get_layer("res5_0_relu").output.shape == (None, 1, 1, 1, 1)


def test_a_deeper_network_goes_on_with_the_kernels_of_its_stages():
    model = build_model("r3d_50", 5, (4, 32, 32, 3), width=1 / 16, depth=2)
    lengths = [model.get_layer(f"res5_{i}_a").kernel_size[0] for i in range(6)]
    assert lengths == [3, 1, 3, 1, 3, 1]


def test_the_tiny_network_is_the_one_that_runs_were_made_with():
    model = build_model("r3d_tiny_g", 12, (4, 24, 24, 3))
    assert model.count_params() == 32_068
    weights = [layer.name for layer in model.layers if layer.weights]
    assert weights[:3] == ["stem", "stem_bn", "res2_0_a"]
    assert weights[-2:] == ["res3_gating", "classifier"]
