"""Learning-rate schedules, and lengths given in steps, epochs or examples."""

from __future__ import annotations

import math
from collections.abc import Mapping

import keras
from keras import ops

DURATION_UNITS = ("steps", "epochs", "examples")


def resolve_steps(
    name: str, duration: Mapping[str, float], num_clips: int, batch_size: int
) -> int:
    """Turns a length in any unit into optimizer steps.

    Args:
        name: The length's key in the config, for errors.
        duration: One of {"steps": n}, {"epochs": x}, {"examples": n}; units that are
            0 count as not given, and none given is 0 steps.
        num_clips: Clips in an epoch.
        batch_size: Clips per step, of all replicas.

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
    if not given:
        return 0
    ((unit, value),) = given.items()
    if value < 0:
        raise ValueError(f"{name}.{unit} is {value}, expected 0 or more")
    if unit == "steps":
        return int(value)
    examples = value * num_clips if unit == "epochs" else value
    return max(1, round(examples / batch_size))


@keras.saving.register_keras_serializable("spl_tf")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then a cosine down to 0 that starts where the warm-up ends.

    The paper (section 4.2): from 0.04 to 0.4 in 10 epochs, then 150 epochs of cosine.
    """

    def __init__(self, peak: float, start: float, warmup_steps: int, cosine_steps: int):
        """Describes the schedule.

        Args:
            peak: Learning rate at the end of the warm-up.
            start: Learning rate of step 0.
            warmup_steps: May be 0.
            cosine_steps: 1 or more; the rate is 0 behind them.
        """
        if warmup_steps < 0 or cosine_steps < 1:
            raise ValueError(
                f"a schedule of {warmup_steps} warm-up and {cosine_steps} cosine steps"
            )
        self.peak, self.start = peak, start
        self.warmup_steps, self.cosine_steps = warmup_steps, cosine_steps

    @property
    def total_steps(self) -> int:
        """Steps until the rate is 0."""
        return self.warmup_steps + self.cosine_steps

    def __call__(self, step):
        """The learning rate of a step, float32 scalar."""
        step = ops.cast(step, "float32")
        rising = self.start + (self.peak - self.start) * step / max(
            self.warmup_steps, 1
        )
        progress = (step - self.warmup_steps) / self.cosine_steps
        progress = ops.clip(progress, 0.0, 1.0)
        falling = 0.5 * self.peak * (1.0 + ops.cos(math.pi * progress))
        return ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self):
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "start": self.start,
            "warmup_steps": self.warmup_steps,
            "cosine_steps": self.cosine_steps,
        }
