"""Networks whose weights other projects publish, and what their clips look like."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from spl_tf.models.public_weights.naming import Naming, load_tensors
from spl_tf.models.registry import build_model

IMAGENET_PIXELS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
KINETICS_PIXELS = {
    "mean": (0.43216, 0.394666, 0.37645),
    "std": (0.22803, 0.22145, 0.216989),
}


@dataclasses.dataclass(frozen=True)
class PublicNetwork:
    """A network as a project publishes it.

    Attributes:
        model: Its name in `build_model`.
        naming: What the project calls our layers, for its checkpoints.
        frames: Frames of a clip that it was trained on.
        stride: Frames of the video from one of a clip's frames to the next.
        short_side: Pixels of the frames' shorter side before the crop.
        crop: Pixels of the square that it was trained on.
        mean: Mean of R, G and B in [0, 1], taken off the pixels.
        std: What they are then divided by.
        sampling: How frames are taken, of `SAMPLINGS`.
        options: Arguments of `build_model`, where ours differs by default.
    """

    model: str
    naming: Naming
    frames: int
    stride: int
    short_side: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    sampling: str = "consecutive"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def outputs(self, tensors: Mapping[str, np.ndarray], source: str) -> int:
        """How many classes a checkpoint tells apart.

        Args:
            tensors: float arrays by PyTorch's names.
            source: The file, for messages.

        Raises:
            ValueError: It has no classifier of that name.
        """
        classifier = f"{self.naming.path('classifier')}.weight"
        if classifier not in tensors:
            raise ValueError(
                f"{source} has no {classifier}, the classifier of {self.model}; it has "
                f"{', '.join(sorted(tensors)[:5])}, ..."
            )
        return tensors[classifier].shape[0]

    def build(
        self,
        tensors: Mapping[str, np.ndarray],
        source: str,
        input_shape: tuple[int | None, int | None, int | None, int] | None = None,
        **options: Any,
    ) -> tuple[keras.Model, list[str]]:
        """Builds the network with the weights of a checkpoint.

        Args:
            tensors: float arrays by PyTorch's names.
            source: The file, for messages.
            input_shape: (T, H, W, C); None for that of the published clips.
            **options: Arguments of `build_model`, over those of the network.

        Returns:
            The model, with as many classes as the checkpoint has, and the names of the
            tensors that were left out.

        Raises:
            ValueError: The checkpoint is of another network; see `load_tensors`.
        """
        shape = input_shape or (self.frames, self.crop, self.crop, 3)
        classes = self.outputs(tensors, source)
        options = {**self.options, **options}
        model = build_model(self.model, classes, shape, **options)
        return model, load_tensors(model, tensors, self.naming, source)
