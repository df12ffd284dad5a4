"""From the last stage to logits, and to the features before them."""

from __future__ import annotations

import keras

from spl_tf.models.layers import ReplicaDropout
from spl_tf.models.pooling import EndsHalved

FEATURES = "features"
# What belongs to the labels trained on: left behind when other labels follow.
HEAD_LAYERS = ("projection", "classifier")
_DROPOUT = "dropout"
# All that `add_head` adds.
ALL_HEAD_LAYERS = (FEATURES, _DROPOUT, *HEAD_LAYERS)


def add_head(
    x, num_classes: int, dropout: float, projection_dim: int, kernel_regularizer
):
    """Adds pooling, dropout, the projection if there is one, and the classifier.

    All of it computes in float32 whatever the precision of the network.

    Args:
        x: Output of the last stage, `[B, T, H, W, C]`.
        num_classes: Number of classes, the logits' last axis.
        dropout: Share of the pooled features dropped in training, in [0, 1].
        projection_dim: Width of a linear layer before the classifier (paper, section
            4.2, after SimCLR and NPID); 0 for none.
        kernel_regularizer: Penalty on the kernels of projection and classifier.

    Returns:
        Logits, float32 `[B, num_classes]`.
    """
    x = keras.layers.GlobalAveragePooling3D(dtype="float32", name=FEATURES)(x)
    x = ReplicaDropout(dropout, dtype="float32", name=_DROPOUT)(x)
    projection, classifier = HEAD_LAYERS
    if projection_dim:
        x = keras.layers.Dense(
            projection_dim,
            kernel_regularizer=kernel_regularizer,
            dtype="float32",
            name=projection,
        )(x)
    return keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        kernel_regularizer=kernel_regularizer,
        dtype="float32",
        name=classifier,
    )(x)


def position_model(model: keras.Model) -> keras.Model:
    """A model that classifies every position of the last stage, sharing its weights.

    Its classifier is a convolution of 1x1x1, for fully-convolutional testing of larger
    crops (NL's protocol; IG-65M, section 5.2): average the probabilities, not logits.

    Args:
        model: A network that `build_model` made.

    Returns:
        A model from clips to logits, float32 `[B, T, H, W, num_classes]`.
    """
    pooling = model.get_layer(FEATURES)
    x = pooling.input
    weighing = x._keras_history.operation
    if isinstance(weighing, EndsHalved):  # for the mean of features alone
        x = weighing.input
    x = keras.layers.Activation("linear", dtype="float32", name="positions")(x)
    for name in HEAD_LAYERS:
        if name in (layer.name for layer in model.layers):
            x = model.get_layer(name)(x)
    return keras.Model(model.input, x, name=f"{model.name}_positions")


def feature_model(model: keras.Model) -> keras.Model:
    """The part of a model that gives the pooled features, sharing its weights.

    Args:
        model: A network that `build_model` made.

    Returns:
        A model from clips to float32 `[B, C]`, the input of dropout and head.
    """
    features = model.get_layer(FEATURES).output
    return keras.Model(model.input, features, name=f"{model.name}_features")
