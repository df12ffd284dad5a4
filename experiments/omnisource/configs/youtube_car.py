"""Youtube-car with web images and web videos: Table 5.

python -m experiments.run_pipeline \
    --config=experiments/omnisource/configs/youtube_car.py --workdir=runs/youtube_car

Reads, in `data/youtube_car`, `classes.txt` (196 kinds of cars), `target.csv` (splits
train and val), `google_images.csv`, `youtube_videos.csv`, and the files in folders of
these names; `smoke` needs no data. Videos last minutes and are kept at 4 frames per
second. Top-1 / mAP, not reproduced here:

| target | + images | + videos | + both |
| --- | --- | --- | --- |
| 77.05 / 71.95 | 80.96 / 77.05 | 81.68 / 78.61 | 81.95 / 78.67 |
"""

from __future__ import annotations

from experiments.omnisource.config import TARGET
from experiments.omnisource.configs import files, recipes
from experiments.pipeline.rules import set_rows
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL

_IMAGES, _VIDEOS = "google_images", "youtube_videos"
_PAPER = {
    TARGET: (0.7705,),
    "images": (0.8096,),
    "videos": (0.8168,),
    "both": (0.8195,),
}
_FRAMES_PER_SECOND = 4.0


def get_config(argument: str = ""):
    """The rows of Table 5, with TSN of four segments.

    Args:
        argument: "", or "smoke" for a run of a minute.
    """
    _, is_smoke = files.parse_argument(argument, ("tsn",))
    config = files.experiment(
        "youtube_car", "Youtube-car with web data", (_IMAGES,), untrimmed=(_VIDEOS,)
    )
    config.train = recipes.tsn(4)
    for split in (TARGET_TRAIN, TARGET_VAL, _VIDEOS):
        config.data[split].settings.fps = _FRAMES_PER_SECOND
    rows = {
        TARGET: {},
        "images": {"sources": (_IMAGES,)},
        "videos": {"sources": (_VIDEOS,)},
        "both": {"sources": (_IMAGES, _VIDEOS)},
    }
    set_rows(config, rows)
    config.paper = files.paper("Table 5", _PAPER)
    return files.finish(config, is_smoke)
