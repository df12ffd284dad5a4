import math

import pytest

from spl_tf.training import WarmupSchedule, resolve_steps


def test_the_paper_s_schedule():
    # Section 4.2 with one step per epoch: 0.04 to 0.4 in 10 epochs, 150 of cosine.
    schedule = WarmupSchedule(0.4, 0.04, 10, 150)
    for step in range(0, 165):
        if step < 10:
            expected = 0.04 + 0.36 * step / 10
        else:
            expected = 0.2 * (1 + math.cos(math.pi * min((step - 10) / 150, 1)))
        assert float(schedule(step)) == pytest.approx(expected, abs=1e-7)
    assert schedule.total_steps == 160


def test_a_schedule_without_warm_up_starts_at_its_peak():
    assert float(WarmupSchedule(0.4, 0.04, 0, 10)(0)) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="and 0 after them"):
        WarmupSchedule(0.4, 0.04, 5, 0)


def test_steps_and_halvings_fall_at_their_very_step():
    stepped = WarmupSchedule(
        0.1, 0.0, 10, 100, "step", boundaries=(0.3, 0.8), factor=0.1
    )
    for step, expected in ((39, 0.1), (40, 0.01), (89, 0.01), (90, 0.001), (200, 1e-3)):
        assert float(stepped(step)) == pytest.approx(expected)
    halved = WarmupSchedule(0.192, 0.0, 0, 1400, "halving", halvings=13)
    for step in range(0, 1400, 7):
        assert float(halved(step)) == pytest.approx(0.192 / 2 ** (step // 100))
    constant = WarmupSchedule(0.005, 0.0, 0, 20, "constant")
    assert float(constant(0)) == float(constant(20)) == pytest.approx(0.005)
    with pytest.raises(ValueError, match="unknown shape 'linear', known are"):
        WarmupSchedule(0.1, 0.0, 0, 10, "linear")


@pytest.mark.parametrize(
    ("duration", "steps"),
    [
        ({"steps": 7}, 7),
        ({"epochs": 2.5, "steps": 0}, 25),
        ({"examples": 1000}, 100),
        ({"epochs": 0.001}, 1),
        ({"steps": 0, "epochs": 0.0}, 0),
    ],
)
def test_a_length_in_any_unit_becomes_steps(duration, steps):
    assert resolve_steps("length", duration, num_clips=100, batch_size=10) == steps


@pytest.mark.parametrize(
    ("duration", "message"),
    [
        ({"steps": 3, "epochs": 1}, "length is given twice"),
        ({"weeks": 3}, "unit 'weeks', known are"),
        ({"steps": -3}, r"length\.steps is -3"),
    ],
)
def test_impossible_lengths_are_refused(duration, message):
    with pytest.raises(ValueError, match=message):
        resolve_steps("length", duration, 100, 10)
