"""Learning-rate schedules, and lengths given in steps, epochs or examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import keras
from keras import ops

DURATION_UNITS = ("steps", "epochs", "examples")
SHAPES = ("cosine", "constant", "step", "halving")


def given_unit(name: str, duration: Mapping[str, float]) -> str | None:
    """The unit in which a length is given; None for a length of 0.

    Args:
        name: The length's key in the config, for errors.
        duration: One of {"steps": n}, {"epochs": x}, {"examples": n}; units that are
            0 count as not given.

    Raises:
        ValueError: Two units, an unknown one, or a negative length.
    """
    unknown = [unit for unit in duration if unit not in DURATION_UNITS]
    if unknown:
        raise ValueError(
            f"{name} has the unit {unknown[0]!r}, known are {list(DURATION_UNITS)}"
        )
    given = {unit: value for unit, value in duration.items() if value}
    if len(given) > 1:
        raise ValueError(f"{name} is given twice: {dict(given)}; keep one")
    for unit, value in given.items():
        if value < 0:
            raise ValueError(f"{name}.{unit} is {value}, expected 0 or more")
    return next(iter(given), None)


def resolve_steps(
    name: str, duration: Mapping[str, float], num_clips: int, batch_size: int
) -> int:
    """Turns a length in any unit into optimizer steps.

    Args:
        name: The length's key in the config, for errors.
        duration: A length in one unit, see `given_unit`; without one it is 0 steps.
        num_clips: Number of clips in an epoch.
        batch_size: Clips per step, of all replicas.

    Raises:
        ValueError: The length is impossible, see `given_unit`.
    """
    unit = given_unit(name, duration)
    if unit is None:
        return 0
    value = duration[unit]
    if unit == "steps":
        return int(value)
    examples = value * num_clips if unit == "epochs" else value
    return max(1, round(examples / batch_size))


@keras.saving.register_keras_serializable("spl_tf")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then one of several shapes that starts where the warm-up ends.

    With p from 0 to 1 over the steps after the warm-up, the peak is multiplied by

    - "cosine": (1 + cos(pi p)) / 2. SPL, section 4.2: from 0.04 to 0.4 in 10 epochs,
      then 150 epochs of cosine;
    - "constant": 1;
    - "step": `factor` for each of `boundaries` that p has reached;
    - "halving": 1/2 for each of `halvings` equal parts but the first. IG-65M, section
      3.2, has 13 halvings.
    """

    def __init__(
        self,
        peak: float,
        start: float,
        warmup_steps: int,
        steps: int,
        shape: str = "cosine",
        boundaries: Sequence[float] = (),
        factor: float = 0.1,
        halvings: int = 13,
    ):
        """Describes the schedule.

        Args:
            peak: Learning rate at the end of the warm-up.
            start: Learning rate of step 0, from which the warm-up rises.
            warmup_steps: Steps of the warm-up, 0 or more.
            steps: Steps after the warm-up, 1 or more. The rate stays what it is at
                their end.
            shape: How the rate falls: "constant", "cosine", "step" or "halving".
            boundaries: Where "step" changes the rate, as shares of `steps`.
            factor: What "step" multiplies the rate with at each boundary.
            halvings: How often "halving" halves the rate, at equal distances.
        """
        if warmup_steps < 0 or steps < 1:
            raise ValueError(
                f"a schedule of {warmup_steps} warm-up steps and {steps} after them; "
                "expected 0 or more and 1 or more"
            )
        if shape not in SHAPES:
            raise ValueError(f"unknown shape {shape!r}, known are {list(SHAPES)}")
        self.peak, self.start = peak, start
        self.warmup_steps, self.steps = warmup_steps, steps
        self.shape = shape
        self.boundaries, self.factor = tuple(boundaries), factor
        self.halvings = halvings

    @property
    def total_steps(self) -> int:
        """Steps of warm-up and what follows it."""
        return self.warmup_steps + self.steps

    def __call__(self, step):
        """The learning rate of a step, float32 scalar."""
        step = ops.cast(step, "float32")
        warmup = max(self.warmup_steps, 1)
        rising = self.start + (self.peak - self.start) * step / warmup
        # In steps, where float32 is exact: a boundary is reached at its very step.
        done = ops.clip(step - self.warmup_steps, 0.0, float(self.steps))
        after = self.peak * self._share(done)
        return ops.where(step < self.warmup_steps, rising, after)

    def _share(self, done):
        if self.shape == "constant":
            return ops.ones_like(done)
        if self.shape == "step":
            edges = [round(boundary * self.steps) for boundary in self.boundaries]
            passed = sum(ops.cast(done >= edge, "float32") for edge in edges)
            return self.factor ** (passed + ops.zeros_like(done))
        if self.shape == "halving":
            parts = self.halvings + 1
            edges = [round(k * self.steps / parts) for k in range(1, parts)]
            passed = sum(ops.cast(done >= edge, "float32") for edge in edges)
            return 0.5 ** (passed + ops.zeros_like(done))
        return 0.5 * (1.0 + ops.cos(math.pi * done / self.steps))

    def get_config(self):
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "start": self.start,
            "warmup_steps": self.warmup_steps,
            "steps": self.steps,
            "shape": self.shape,
            "boundaries": self.boundaries,
            "factor": self.factor,
            "halvings": self.halvings,
        }
