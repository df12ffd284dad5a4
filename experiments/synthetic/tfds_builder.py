"""The synthetic worlds as a TensorFlow Datasets (TFDS) dataset, without a download.

    python -m experiments.synthetic.tfds_builder --config=image --data_dir=DIR
    python -m tfrecords_tools.convert_tfds --name=spl_synthetic_web/image --split=web \
        --data_dir=DIR --output_dir=clips/web_images --label_kind=weak

or, in Python, where `import experiments.synthetic.tfds_builder` makes TFDS know it,
`tfds.load("spl_synthetic_web/video", split="web", data_dir=DIR)`.

The configs `video` and `fw_video` have all frames of each clip of worlds FA and FW,
`image` and `fw_image` the middle one. The splits are `target_train` and `target_val`,
with clean labels, and `web`, with the label of the query that found the clip's video.
The frames are those that `tfrecords_tools.convert_videos` finds in the rendered files;
a file that does not decode gives no clips.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from absl import flags, logging

from experiments.synthetic import manifests, render, settings, world
from spl_tf import binary
from spl_tf.labels import read_class_names
from tfrecords_tools.conversion import cutting
from tfrecords_tools.conversion.manifest import read_manifest
from tfrecords_tools.decoding.video import (
    MICROSECONDS,
    UnreadableVideoError,
    VideoProbe,
    probe,
    read_frames,
)

FRAMES = ("video", "image")
# Not world omni, of whose web data some are images and some are videos.
_WORLDS = ("fa", "fw")


@dataclasses.dataclass(eq=False)
class SyntheticWebConfig(tfds.core.BuilderConfig):
    """A variant of the dataset.

    Attributes:
        frames: "video" for all frames of a clip, "image" for the middle one.
        world: Which world is rendered, "fa" or "fw".
        seed: The world's seed.
        world_dir: A folder that `render` wrote, to be read in place of that world.
            TFDS goes by the variant's name: give each folder a name of its own.
        clips_per_video: Clips to cut from a web video of `world_dir`.
        clip_seconds: Length of a clip in seconds.
    """

    frames: str = "video"
    world: str = "fa"
    seed: int = 0
    world_dir: str = ""
    clips_per_video: int = 6
    clip_seconds: float = 1.0

    def __post_init__(self):
        if self.frames not in FRAMES:
            raise ValueError(f"frames: got {self.frames!r}, expected one of {FRAMES}")
        if self.world not in _WORLDS:
            raise ValueError(f"world: got {self.world!r}, expected one of {_WORLDS}")


class SplSyntheticWeb(tfds.core.GeneratorBasedBuilder):
    """Builds a world's clips; see the module."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        SyntheticWebConfig(
            name=frames if which == "fa" else f"{which}_{frames}",
            description=f"World {which.upper()}, a {frames} per clip.",
            frames=frames,
            world=which,
        )
        for which in _WORLDS
        for frames in FRAMES
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
        video = tfds.features.Video(shape=(None, None, None, 3))
        variant = self.builder_config
        return tfds.core.DatasetInfo(
            builder=self,
            description="A synthetic weakly-labeled web-video world.",
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(doc="<video>@<start µs>-<end µs>"),
                    variant.frames: video if variant.frames == "video" else image,
                    "label": tfds.features.ClassLabel(names=_class_names(variant)),
                }
            ),
            supervised_keys=(variant.frames, "label"),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator]:
        variant = self.builder_config
        directory = pathlib.Path(variant.world_dir)
        if not variant.world_dir:
            # Where TFDS keeps downloads: both kinds of frames need the same files.
            directory = _rendered(variant, pathlib.Path(dl_manager.download_dir))
        return {
            split: self._generate_examples(directory, split)
            for split in manifests.SPLITS
        }

    def _generate_examples(
        self, directory: pathlib.Path, split: str
    ) -> Iterator[tuple[str, dict[str, object]]]:
        """Yields (clip id, example) of a split's clips whose files decode."""
        frames = self.builder_config.frames
        for plan in _plan(self.builder_config, directory, split):
            try:
                pixels = _decode(directory / plan.video, plan.start, plan.end)
            except UnreadableVideoError as error:
                logging.info("%s left out: %s", plan.id, error)
                continue
            shown = pixels if frames == "video" else pixels[len(pixels) // 2]
            yield plan.id, {"id": plan.id, frames: shown, "label": plan.label}


def _class_names(variant: SyntheticWebConfig) -> list[str]:
    if variant.world_dir:
        return list(
            read_class_names(os.path.join(variant.world_dir, manifests.CLASSES_FILE))
        )
    return world.class_names(settings.world_config(variant.world).motions)


def _rendered(variant: SyntheticWebConfig, parent: pathlib.Path) -> pathlib.Path:
    """Returns the folder of the variant's world, rendered unless it is there."""
    config = settings.world_config(variant.world)
    config.seed = variant.seed
    digest = hashlib.sha256(config.to_json(sort_keys=True).encode()).hexdigest()
    directory = parent / f"spl_synthetic_{variant.world}_{digest[:12]}"
    # The last file that rendering writes.
    if not (directory / f"{manifests.SPLITS[-1]}.csv").exists():
        render.render(config, directory)
    return directory


def _plan(
    variant: SyntheticWebConfig, directory: pathlib.Path, split: str
) -> Iterator[cutting.ClipPlan]:
    """Yields the clips of a split, as a conversion of its manifest cuts them."""
    manifest = str(directory / f"{split}.csv")
    for row in read_manifest(manifest, _class_names(variant)):
        try:
            found: VideoProbe = probe(directory / row.video)
        except UnreadableVideoError as error:
            logging.info("%s left out: %s", row.video, error)
            continue
        yield from cutting.cut_clips(
            row,
            found.duration,
            variant.clips_per_video,
            variant.clip_seconds,
            sampling="uniform",
            seed=0,
            video_start=found.start,
        )


def _decode(path: pathlib.Path, start: int, end: int) -> np.ndarray:
    """Returns uint8 [T, H, W, 3], RGB, of the frames from start to end in µs."""
    frames = [
        frame.to_ndarray(format="rgb24", interpolation="AREA")
        for _, frame in read_frames(path, start, end, fps=0, threads=1)
    ]
    if not frames:
        raise UnreadableVideoError(
            "no frames",
            f"no frame decodes from {start / MICROSECONDS:.2f} s to "
            f"{end / MICROSECONDS:.2f} s",
        )
    return np.stack(frames)


def _define_flags() -> None:
    names = list(SplSyntheticWeb.builder_configs)
    flags.DEFINE_enum("config", names[0], names, "Which world and frames.")
    flags.DEFINE_string("data_dir", None, "TFDS' folder.", required=True)


def main(argv: list[str]) -> None:
    """Reads the flags, prepares the dataset, prints what it holds."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    builder = SplSyntheticWeb(config=values.config, data_dir=values.data_dir)
    builder.download_and_prepare()
    for name, split in builder.info.splits.items():
        print(f"{builder.info.full_name}: {split.num_examples} clips in {name}")


if __name__ == "__main__":
    _define_flags()
    binary.run(main)
