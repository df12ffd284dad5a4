import pytest

from spl_tf.models import build_model, format_summary, summarize
from spl_tf.models.layers import BatchNorm


def total(stages, field):
    return sum(getattr(stage, field) for stage in stages)


def statistics(model):
    """Entries of the moving means and variances."""
    norms = [layer for layer in model.layers if isinstance(layer, BatchNorm)]
    return sum(2 * layer.gamma.shape[0] for layer in norms)


# Millions of parameters without statistics, and G multiply-adds of one clip.
PUBLISHED = [
    # torchvision's metadata: `num_params`, `_ops`.
    ("resnet_18", 1000, (1, 224, 224, 3), 11.690, 1.814),
    ("resnet_50", 1000, (1, 224, 224, 3), 25.557, 4.089),
    ("resnet_101", 1000, (1, 224, 224, 3), 44.549, 7.801),
    ("resnet_152", 1000, (1, 224, 224, 3), 60.193, 11.514),
    ("efficientnet_b4", 1000, (1, 380, 380, 3), 19.342, 4.394),
    ("r3d_18", 400, (16, 112, 112, 3), 33.371, 40.697),
    ("s3d", 400, (16, 224, 224, 3), 8.320, 17.979),
    # IG-65M, Table 2.
    ("r2plus1d_18", 400, (32, 112, 112, 3), 33.4, 83.0),
    ("r2plus1d_34", 400, (32, 112, 112, 3), 63.7, 152.4),
    ("r2plus1d_101", 400, (32, 112, 112, 3), 86.1, 176.5),
    ("r2plus1d_152", 400, (32, 112, 112, 3), 118.2, 252.0),
    # VMZ's model zoo, whose multiply-adds are those of the crops of its tests.
    ("r2plus1d_152", 400, (32, 128, 128, 3), 118.2, 329.1),
    ("ir_csn_152", 400, (32, 256, 256, 3), 29.70, 96.7),
    # pytorchvideo's model zoo.
    ("slow_only_50", 400, (8, 256, 256, 3), 32.45, 54.52),
]


@pytest.mark.parametrize(
    ("name", "num_classes", "input_shape", "parameters", "multiply_adds"), PUBLISHED
)
def test_totals_are_the_published_ones(
    name, num_classes, input_shape, parameters, multiply_adds
):
    def rounding(value):
        return 0.51 * 10.0 ** -len(str(value).partition(".")[2])

    model = build_model(name, num_classes, input_shape)
    stages = summarize(model)
    found = (total(stages, "parameters") - statistics(model)) / 1e6
    assert found == pytest.approx(parameters, abs=rounding(parameters))
    found = total(stages, "multiply_adds") / 1e9
    assert found == pytest.approx(multiply_adds, abs=rounding(multiply_adds))


def test_shared_middle_channels_give_torchvisions_r2plus1d_18():
    shape = (16, 112, 112, 3)
    model = build_model("r2plus1d_18", 400, shape, shared_middle=True)
    stages = summarize(model)
    assert total(stages, "parameters") - statistics(model) == 31_505_325
    assert total(stages, "multiply_adds") / 1e9 == pytest.approx(40.519, abs=5e-4)


def test_r3d_50_g_counted_by_hand():
    stages = summarize(build_model("r3d_50_g", 400, (16, 224, 224, 3)))
    assert [stage.name for stage in stages] == [
        *("stem", "res2", "res3", "res4", "res5", "head")
    ]
    assert [stage.output_shape for stage in stages] == [
        (16, 56, 56, 64),
        (16, 56, 56, 256),
        (16, 28, 28, 512),
        (16, 14, 14, 1024),
        (16, 7, 7, 2048),
        (400,),
    ]
    assert total(stages, "parameters") == 34_719_568
    stem, res2, *_, res5, head = stages
    assert stem.multiply_adds == 16 * 112 * 112 * 5 * 7 * 7 * 3 * 64
    assert stem.parameters == 5 * 7 * 7 * 3 * 64 + 4 * 64
    # Per position: the shortcut, 3 x 1 x 1 on 64 then twice on 256 channels, three
    # times 1 x 3 x 3 and 1 x 1 x 1; then the gate.
    cells = 64 * 256 + 3 * 64 * 64 + 2 * 3 * 256 * 64 + 3 * (9 * 64 * 64 + 64 * 256)
    assert res2.multiply_adds == 16 * 56 * 56 * cells + 256 * 256
    # Kernels 3, 1, 3; the first runs before the stride.
    early = 3 * 1024 * 512 * 14 * 14
    late = 1024 * 2048 + (1 + 3) * 2048 * 512 + 3 * (9 * 512 * 512 + 512 * 2048)
    assert res5.multiply_adds == 16 * (early + 7 * 7 * late) + 2048 * 2048
    assert (head.multiply_adds, head.parameters) == (2048 * 400, 2048 * 400 + 400)


def test_a_projection_belongs_to_the_head():
    model = build_model("r3d_tiny_g", 5, (4, 16, 16, 3), projection_dim=7)
    head = summarize(model)[-1]
    assert (head.name, head.output_shape) == ("head", (5,))
    assert head.multiply_adds == 48 * 7 + 7 * 5
    assert head.parameters == 48 * 7 + 7 + 7 * 5 + 5


def test_an_input_of_unknown_size_cannot_be_counted():
    model = build_model("r3d_tiny_g", 5, (None, 16, 16, 3))
    with pytest.raises(ValueError, match="build it with known sizes"):
        summarize(model)


def test_the_table_holds_every_stage_and_the_total():
    stages = summarize(build_model("r3d_50_g", 400, (16, 224, 224, 3)))
    lines = format_summary(stages).splitlines()
    assert lines[0].split() == ["stage", "output", "parameters", "multiply-adds"]
    assert lines[1].startswith("stem   16 x 56 x 56 x 64 ")
    assert lines[1].split()[-3:] == ["47,296", "9.441", "G"]
    assert lines[-1].split() == ["total", "34,719,568", "93.095", "G"]
    assert len(lines) == len(stages) + 2
    assert len({len(line) for line in lines}) == 1
