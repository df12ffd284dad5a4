import pytest

from tfrecords_tools.conversion.cutting import (
    ClipPlan,
    assign_to_shards,
    cut_clips,
    limit_per_class,
)
from tfrecords_tools.conversion.manifest import ManifestRow

SECOND = 1_000_000
ROW = ManifestRow(line=2, video="v.mp4", label=1, media_id="v")


def spans(row=ROW, duration=10 * SECOND, count=3, seconds=2.0, sampling="uniform"):
    cut = cut_clips(row, duration, count, seconds, sampling, seed=0)
    return [(clip.start, clip.end) for clip in cut]


def test_uniform_clips_reach_from_the_start_to_the_end():
    assert spans() == [
        (0, 2 * SECOND),
        (4 * SECOND, 6 * SECOND),
        (8 * SECOND, 10 * SECOND),
    ]
    assert spans(count=1) == [(4 * SECOND, 6 * SECOND)]


def test_random_clips_lie_inside_and_depend_on_seed_and_video():
    first = spans(count=5, sampling="random")
    assert first == spans(count=5, sampling="random") == sorted(first)
    assert all(a >= 0 and b == a + 2 * SECOND <= 10 * SECOND for a, b in first)
    other = ManifestRow(line=2, video="v.mp4", label=1, media_id="w")
    assert spans(other, count=5, sampling="random") != first


def test_short_whole_and_trimmed_videos_give_one_clip():
    assert spans(duration=SECOND) == [(0, SECOND)]
    assert spans(count=0) == [(0, 10 * SECOND)]
    trimmed = ManifestRow(2, "v.mp4", 1, "v", start=1.0, end=2.5)
    assert spans(trimmed) == [(SECOND, 2_500_000)]
    tail = ManifestRow(2, "v.mp4", 1, "v", start=7.0)
    assert spans(tail) == [(7 * SECOND, 10 * SECOND)]


def test_tiles_cover_a_video_and_the_last_is_what_is_left():
    def tiles(duration, seconds=4.0, rate=25.0, start=0):
        cut = cut_clips(ROW, duration, 0, seconds, "tiles", 0, rate, start)
        return [(clip.start, clip.end) for clip in cut]

    assert tiles(10 * SECOND) == [
        (0, 4 * SECOND),
        (4 * SECOND, 8 * SECOND),
        (8 * SECOND, 10 * SECOND),
    ]
    assert tiles(8 * SECOND, start=7) == [
        (7, 4 * SECOND + 7),
        (4 * SECOND + 7, 8 * SECOND + 7),
    ]
    assert tiles(8_030_000) == tiles(8 * SECOND)  # less than a frame is left
    assert tiles(8_040_000)[2:] == [(8 * SECOND, 8_040_000)]
    assert tiles(3 * SECOND) == [(0, 3 * SECOND)]


def test_ids_name_video_start_and_end():
    assert ClipPlan("v.mp4", "v", 1, 0, SECOND).id == "v@0-1000000"


def plans(label, clips_per_video):
    return [
        ClipPlan(f"{label}{video}", f"{label}{video}", label, start, start + 1)
        for video, count in enumerate(clips_per_video)
        for start in range(count)
    ]


def test_a_budget_is_taken_round_robin_over_the_videos():
    chosen = limit_per_class(plans(0, [9, 2, 1]), 7, balance=False, seed=0)
    assert chosen == sorted(chosen, key=lambda clip: (clip.video, clip.start))
    per_video = [sum(c.video == v for c in chosen) for v in ("00", "01", "02")]
    assert per_video == [4, 2, 1]


def test_balanced_classes_have_the_mean_as_their_budget():
    clips = plans(0, [8, 8]) + plans(1, [2]) + plans(2, [3, 3])
    chosen = limit_per_class(clips, 0, balance=True, seed=0)
    assert [sum(c.label == n for c in chosen) for n in range(3)] == [8, 2, 6]
    assert limit_per_class(clips, 0, balance=False, seed=0) == clips
    assert chosen != limit_per_class(clips, 0, balance=True, seed=1)


@pytest.mark.parametrize("num_shards", [1, 3, 10])
def test_shards_hold_every_clip_once_and_mix_them(num_shards):
    clips = [ClipPlan("v", "v", label, n, n + 1) for label in (0, 1) for n in range(15)]
    shards = assign_to_shards(clips, num_shards, seed=0)
    assert len(shards) == num_shards
    dealt = [clip for shard in shards for clip in shard]
    assert sorted(dealt, key=clips.index) == clips
    sizes = {len(shard) for shard in shards}
    assert max(sizes) - min(sizes) <= 1
    assert shards == assign_to_shards(clips, num_shards, seed=0)
    assert [clip.label for clip in shards[0]] != sorted(c.label for c in shards[0])


def test_clips_lie_where_the_video_is_when_its_sound_begins_first():
    def cut(row=ROW, count=3):
        clips = cut_clips(
            row, 7 * SECOND, count, 1.0, "uniform", seed=0, video_start=2 * SECOND
        )
        return [(clip.start / SECOND, clip.end / SECOND) for clip in clips]

    assert cut() == [(2, 3), (5, 6), (8, 9)]
    assert cut(count=0) == [(2, 9)]
    assert cut(ManifestRow(2, "v.mp4", 1, "v", start=7.0)) == [(7, 9)]
