import numpy as np
import pytest

from spl_tf.data import PAPER_EVALUATION
from spl_tf.data.sampling import (
    ClipSampling,
    central_windows,
    jittered_size,
    random_window,
    scored_windows,
)

ALMOST_ONE = np.nextafter(np.float32(1), np.float32(0))


@pytest.mark.parametrize("length", [1, 3, 8, 20, 64])
@pytest.mark.parametrize("draw", [0.0, 0.3, 0.999, ALMOST_ONE])
def test_random_frames_start_uniformly_and_wrap(length, draw):
    start = min(int(np.float32(draw) * max(length - 12 + 1, 1)), max(length - 12, 0))
    expected = [(start + 3 * t) % length for t in range(4)]
    frames = ClipSampling(num_frames=4, stride=3).random_frames(
        length, np.float32([draw])
    )
    assert frames.tolist() == expected


def test_a_stride_to_draw_is_drawn_uniformly_and_its_starts_fit_it():
    sampling = ClipSampling(num_frames=3, stride=5, strides=(1, 2, 4))
    assert sampling.num_draws == 2
    grid = np.linspace(0, 1, 300, endpoint=False, dtype=np.float32)
    runs = [sampling.random_frames(14, np.array([d, e])) for d in grid for e in grid]
    steps, counts = np.unique(np.diff(runs), axis=0, return_counts=True)
    assert steps.tolist() == [[1, 1], [2, 2], [4, 4]]
    np.testing.assert_allclose(counts / 300**2, 1 / 3, atol=0.01)
    for stride in (1, 2, 4):
        starts = {run[0] for run in runs if run[1] - run[0] == stride}
        assert starts == set(range(14 - 3 * stride + 1))
    short = sampling.random_frames(6, np.float32([0.9, 0.9]))
    assert short.tolist() == [0, 4, 8 % 6]
    # Where nothing is drawn, in testing, the one stride holds.
    assert sampling.central_frames(16).tolist() == [0, 5, 10]


@pytest.mark.parametrize(("length", "start"), [(5, 0), (12, 0), (13, 0), (20, 4)])
def test_central_frames_are_in_the_middle(length, start):
    sampling = ClipSampling(num_frames=4, stride=3)
    expected = [(start + 3 * t) % length for t in range(4)]
    assert sampling.central_frames(length).tolist() == expected
    assert sampling.uniform_frames(length, 1).tolist() == [expected]


def test_uniform_frames_start_where_the_test_protocol_of_nl_has_them():
    runs = ClipSampling(num_frames=2, stride=4).uniform_frames(25, 10)
    assert runs[:, 0].tolist() == [int(25 / 10 * j) % 25 for j in range(10)]
    assert runs[:, 1].tolist() == [int(25 / 10 * j + 4) % 25 for j in range(10)]


@pytest.mark.parametrize(("length", "start"), [(300, 22), (256, 0), (250, 0)])
def test_the_papers_evaluation_takes_64_frames_at_stride_4(length, start):
    frames = PAPER_EVALUATION.central_frames(length)
    assert frames.tolist() == [(start + 4 * t) % length for t in range(64)]


def test_all_starts_and_windows_occur_and_no_other():
    sampling = ClipSampling(num_frames=2, stride=2)
    draws = np.linspace(0, 1, 1000, endpoint=False, dtype=np.float32)
    starts = {int(sampling.random_frames(9, np.array([d]))[0]) for d in draws}
    assert starts == set(range(9 - 4 + 1))
    windows = np.array([random_window(6, 9, 4, [d, d]) for d in draws])
    assert set(windows[:, 0]) == {0, 1, 2}
    assert set(windows[:, 1]) == {0, 1, 2, 3, 4, 5}
    assert (windows[:, 2:] == 4).all()


def test_the_central_window_is_central():
    assert central_windows(7, 10, 4) == [(1, 3, 4, 4)]


def test_three_windows_lie_along_the_longer_side():
    assert central_windows(7, 10, 5, 3) == [(1, 0, 5, 5), (1, 2, 5, 5), (1, 5, 5, 5)]
    assert central_windows(10, 7, 5, 3) == [(0, 1, 5, 5), (2, 1, 5, 5), (5, 1, 5, 5)]


def test_the_jittered_crop_is_the_crop_of_scaled_frames():
    # A short side of 256 to 320 drawn for frames stored with 256.
    sides = [
        jittered_size(224, 256, 340, (256, 320), np.float32(draw))
        for draw in (0.0, 0.5, ALMOST_ONE)
    ]
    expected = [224, round(224 * 256 / 288), round(224 * 256 / 320)]
    assert sides == [(side, side) for side in expected]
    assert jittered_size(224, 256, 340, (224, 224), np.float32(0.5)) == (256, 256)


def test_a_crop_may_be_a_rectangle():
    draws = [np.float32(0), np.float32(ALMOST_ONE)]
    assert random_window(6, 9, (4, 8), draws) == (0, 1, 4, 8)
    assert central_windows(7, 11, (5, 8)) == [(1, 1, 5, 8)]
    assert [left for _, left, *_ in central_windows(7, 11, (5, 8), 3)] == [0, 1, 3]
    assert [top for top, *_ in central_windows(11, 9, (5, 8), 3)] == [0, 3, 6]
    # Of frames scaled from 100 x 150 to 200 x 300.
    size = jittered_size((120, 240), 100, 150, (200, 200), np.float32(0))
    assert size == (60, 120)
    # At a short side of 100 they would be too narrow for it.
    size = jittered_size((80, 300), 100, 150, (100, 100), np.float32(0))
    assert size == (40, 150)


def test_impossible_sampling_is_refused():
    with pytest.raises(ValueError, match="stride is 0"):
        ClipSampling(4, 0)


def test_segments_give_one_frame_each_at_random_or_in_the_middle():
    sampling = ClipSampling(num_frames=3, stride=1, segments=True)
    assert sampling.central_frames(30).tolist() == [5, 15, 25]
    rng = np.random.default_rng(0)
    found = np.stack([sampling.random_frames(31, rng.random(3)) for _ in range(3000)])
    for segment, column in enumerate(found.T):
        edges = (segment * 31 / 3, (segment + 1) * 31 / 3)
        assert set(column) == set(range(int(edges[0]), int(np.ceil(edges[1]))))
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.1
    assert sampling.random_frames(31, np.float32([ALMOST_ONE] * 3))[-1] == 30
    assert sampling.random_frames(1, np.float32([ALMOST_ONE] * 3)).tolist() == [0] * 3
    assert sampling.central_frames(2).tolist() == [0, 1, 1]
    runs = sampling.uniform_frames(24, 2)
    assert runs.tolist() == [[2, 10, 18], [6, 14, 22]]


def test_windows_of_scaled_frames_are_those_of_the_scaled_picture():
    # 60 x 100 scaled to 30 x 50; the middle 24 x 24 there is 48 x 48 here.
    assert scored_windows(60, 100, 24, short_side=30) == [(6, 26, 48, 48)]
    three = scored_windows(60, 100, 24, short_side=30, num_crops=3)
    assert three == [(6, 0, 48, 48), (6, 26, 48, 48), (6, 52, 48, 48)]
    assert scored_windows(60, 100, 24) == [(18, 38, 24, 24)]
