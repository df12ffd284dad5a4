"""Renders a synthetic weakly-labeled web-video world to video files with manifests.

    python -m experiments.synthetic.render --world=fa --output_dir=/tmp/world --seed=0

writes 1,560 small videos (37 MB), which takes 15 seconds of one core:

    classes.txt             one class name a line, in index order
    target_train.csv        video,label,start,end: few trimmed clips, clean labels
    target_val.csv          the same, for evaluation
    web.csv                 video,label: untrimmed videos; the label is the query that
                            found the video, which is often wrong for a part of it
    hidden_truth.csv        what each segment of a web video really shows: for
                            diagnosis only, nothing in training may read it
    videos/<split>/*        H.264 in .mp4; a few web videos are VP9 in .webm or MPEG-4
                            in .mp4 and .avi, and a few are cut short, empty or garbage

World omni has 2,772 files (47 MB), which takes 25 seconds of one core. Three manifests
stand in the place of web.csv:

    web_images.csv          video,label: JPEG files in images/web_images/
    web_short.csv           video,label: videos of one segment
    web_untrimmed.csv       video,label: videos of several segments, for `convert_videos
                            --sampling=tiles --clip_seconds=1`

and the hidden truth also says which of them are near-copies of validation clips.

World hashtags has 4,000 videos of posts, of one to ten segments, and in the place of
web.csv:

    posts.jsonl             posts with hashtags, an object of JSON a line: see
                            `tfrecords_tools.make_manifest --format=hashtags`
    nouns.txt, verbs.txt    the scenes and motions that hashtags can be about

Paths in manifests are relative to the folder, times are seconds. A segment starts with
a key frame, so that cutting [k, k + 1) segment lengths gives exactly the frames of
segment k.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import multiprocessing
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import ml_collections
from absl import flags

from experiments.synthetic import encoding, manifests, media, settings, world
from experiments.synthetic.manifests import (
    CLASSES_FILE,
    HIDDEN_TRUTH_FILE,
    NOUNS_FILE,
    OMNI_SPLITS,
    POSTS,
    POSTS_FILE,
    SPLITS,
    TARGET_TRAIN,
    TARGET_VAL,
    VERBS_FILE,
    WEB,
    WEB_IMAGES,
    WEB_SHORT,
    WEB_UNTRIMMED,
    splits_of,
)
from experiments.synthetic.media import clips_of_splits
from experiments.synthetic.settings import (
    check_config,
    default_config,
    fw_config,
    omni_config,
    world_config,
)
from spl_tf import binary
from spl_tf.cores import usable_cores
from spl_tf.progress import Progress

__all__ = [
    "CLASSES_FILE",
    "HIDDEN_TRUTH_FILE",
    "NOUNS_FILE",
    "OMNI_SPLITS",
    "POSTS",
    "POSTS_FILE",
    "SPLITS",
    "TARGET_TRAIN",
    "TARGET_VAL",
    "VERBS_FILE",
    "WEB",
    "WEB_IMAGES",
    "WEB_SHORT",
    "WEB_UNTRIMMED",
    "check_config",
    "clips_of_splits",
    "default_config",
    "fw_config",
    "omni_config",
    "render",
    "splits_of",
    "world_config",
]


def render(
    config: ml_collections.ConfigDict,
    output_dir: str | os.PathLike,
    num_workers: int | None = None,
) -> dict[str, object]:
    """Renders the world of a config into a folder.

    Each file has its own seed, so the result depends neither on the number of workers
    nor, for the files that both have, on how many there are per class (a near-copy
    depends on how many clips for validation there are); what is drawn does not depend
    on how it is coded. The manifests are written last: a folder that has them is
    complete. Files of the same name are replaced, others are left alone.

    Args:
        config: A world, as `world_config` gives it.
        output_dir: Folder to write to; made if missing.
        num_workers: Processes to draw and encode with; None for one per core.

    Returns:
        Counts of what was written: `num_classes`, per split `num_videos`, then
        `num_web_segments`, `num_frames`, `num_bytes`, `segment_shares`, `query_error`,
        and of what is of the web `codecs`, `damaged` and `near_copies`.

    Raises:
        ValueError: If the config is wrong; nothing has been written then.
    """
    check_config(config)
    if num_workers is None:
        num_workers = usable_cores()
    if num_workers < 1:
        raise ValueError(f"num_workers: got {num_workers}, expected 1 or more")
    output_dir = pathlib.Path(output_dir)
    for split in manifests.splits_of(config):
        (output_dir / media.folder_of(split)).mkdir(parents=True, exist_ok=True)
    manifests.remove_manifests(output_dir)

    jobs = media.plan(config)
    render_one = functools.partial(
        media.render_file, config=config.to_dict(), output_dir=output_dir
    )
    videos = []
    with Progress(len(jobs), "video", "rendering") as progress:
        for video in _map_in_order(render_one, jobs, num_workers):
            videos.append(video)
            progress.update()
    manifests.write_manifests(config, videos, output_dir)
    return _summarize(config, videos)


def _map_in_order(
    function: Callable[[media.Job], manifests.RenderedVideo],
    jobs: Sequence[media.Job],
    num_workers: int,
) -> Iterator[manifests.RenderedVideo]:
    """Yields `function(job)` for all jobs in order, over a pool of processes."""
    if num_workers == 1:
        yield from map(function, jobs)
        return
    # Not forked: the caller may hold TensorFlow's threads, which do not survive that.
    with concurrent.futures.ProcessPoolExecutor(
        num_workers, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        yield from pool.map(function, jobs, chunksize=8)


def _summarize(
    config: ml_collections.ConfigDict, videos: Sequence[manifests.RenderedVideo]
) -> dict[str, object]:
    """Counts what was rendered; see `render`."""
    web = [video for video in videos if video.split not in manifests.TARGET_SPLITS]
    kinds = [kind for video in web for kind in video.kinds]
    codecs = collections.Counter(video.codec for video in web)
    damages = [video.damage for video in web]
    return {
        "num_classes": len(world.class_names(config.motions)),
        "num_videos": {
            split: sum(video.split == split for video in videos)
            for split in manifests.splits_of(config)
        },
        "num_web_segments": len(kinds),
        "num_frames": sum(video.num_frames for video in videos),
        "num_bytes": sum(video.num_bytes for video in videos),
        "segment_shares": {
            kind: kinds.count(kind) / len(kinds) for kind in world.SEGMENT_KINDS
        },
        "query_error": sum(v.label != v.class_index for v in web) / len(web),
        "codecs": dict.fromkeys(encoding.CODECS, 0) | codecs,
        "damaged": {how: damages.count(how) for how in encoding.DAMAGES},
        "near_copies": sum(len(video.copies) for video in web),
    }


def _define_flags() -> None:
    """Defines the binary's flags, which importing this module must not do."""
    flags.DEFINE_enum("world", "fa", settings.WORLDS, "Which world.")
    flags.DEFINE_string("output_dir", None, "Folder to write to.", required=True)
    flags.DEFINE_integer("seed", 0, "Seed of the whole world.", lower_bound=0)
    flags.DEFINE_integer(
        "num_workers", 0, "Processes; 0 for one per core.", lower_bound=0
    )


def main(argv: list[str]) -> None:
    """Reads the flags, renders, prints what was written."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    config = world_config(values.world)
    config.seed = values.seed
    summary = render(config, values.output_dir, values.num_workers or None)
    for name, value in summary.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    _define_flags()
    binary.run(main)
