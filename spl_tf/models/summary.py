"""Sizes of a network, computed from its layers' shapes; nothing is run.

A multiply-add counts as one. Counted are convolutions, at every output position with
the padding included, the projections of gates, and dense layers; not normalisation,
activations, pooling, and the products and sums that join branches. FLOP in the sense of
hardware peaks are twice that. Parameters include the statistics of batch normalisation.
"""

from __future__ import annotations

import dataclasses
import math

import keras

from spl_tf.models.heads import ALL_HEAD_LAYERS
from spl_tf.models.layers import ClipConv, FeatureGating
from spl_tf.models.pooling import SqueezeExcite

HEAD = "head"


@dataclasses.dataclass(frozen=True)
class StageSummary:
    """One stage of a network.

    Attributes:
        name: `stem`, `res2`, ..., `head`: what layers' names begin with.
        output_shape: Shape of its last layer's output, without the batch.
        parameters: Number of weights, trained or not.
        multiply_adds: Multiply-adds of the forward pass of one clip.
    """

    name: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def summarize(model: keras.Model) -> list[StageSummary]:
    """Summarises a network stage by stage.

    Args:
        model: A model of `build_model`, with an input shape that is wholly known.

    Raises:
        ValueError: A size of the input is unknown.
    """
    input_shape = tuple(model.inputs[0].shape[1:])
    if None in input_shape:
        raise ValueError(
            f"{model.name} takes an input of {input_shape}; build it with known sizes "
            "to count its multiply-adds"
        )
    stages: dict[str, StageSummary] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        name = _stage_of(layer)
        before = stages.get(name, StageSummary(name, (), 0, 0))
        stages[name] = StageSummary(
            name,
            tuple(layer.output.shape[1:]),
            before.parameters + layer.count_params(),
            before.multiply_adds + count_multiply_adds(layer),
        )
    return list(stages.values())


def _stage_of(layer: keras.layers.Layer) -> str:
    return HEAD if layer.name in ALL_HEAD_LAYERS else layer.name.split("_")[0]


def count_multiply_adds(layer: keras.layers.Layer) -> int:
    """Multiply-adds of one layer of a functional model, for one example."""
    if isinstance(layer, (FeatureGating, keras.layers.Dense)):
        return math.prod(layer.kernel.shape)
    if isinstance(layer, SqueezeExcite):
        frames = layer.output.shape[1]
        return 2 * frames * math.prod(layer.kernel.shape)
    if isinstance(layer, ClipConv):
        positions = math.prod(layer.output.shape[1:-1])
        return positions * math.prod(layer.kernel.shape)
    return 0


def format_summary(stages: list[StageSummary]) -> str:
    """Lays a summary out as a table of text."""
    rows = [("stage", "output", "parameters", "multiply-adds")]
    for stage in stages:
        shape = " x ".join(map(str, stage.output_shape))
        rows.append(
            (stage.name, shape, *_counts(stage.parameters, stage.multiply_adds))
        )
    parameters = sum(stage.parameters for stage in stages)
    multiply_adds = sum(stage.multiply_adds for stage in stages)
    rows.append(("total", "", *_counts(parameters, multiply_adds)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{stage:<{widths[0]}}  {shape:<{widths[1]}}  "
        f"{parameters:>{widths[2]}}  {multiply_adds:>{widths[3]}}"
        for stage, shape, parameters, multiply_adds in rows
    )


def _counts(parameters: int, multiply_adds: int) -> tuple[str, str]:
    return f"{parameters:,}", f"{multiply_adds / 1e9:,.3f} G"
