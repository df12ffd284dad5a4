"""The loading of what is trained on, in the order of its plan."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from spl_tf.data.bad_records import SkippedRecords
from spl_tf.data.decoding import ClipLoader, View
from spl_tf.data.device.augmentation import NUM_DRAWS
from spl_tf.data.image_clips import NUM_MOTION_DRAWS
from spl_tf.data.label_columns import several_labels
from spl_tf.data.label_lookup import LabelLookup
from spl_tf.data.plan import TrainPlan, uniform_draws
from spl_tf.data.records import BadRecordError
from spl_tf.data.row_sets import RowDraws
from spl_tf.data.sampling import jittered_size, random_window
from spl_tf.data.sources import (
    TrainInput,
    kept_clips,
    lasting_draws,
    media_kept,
)

# Of each clip: start, top, left, flip; the photometric ones; scale.
_START, _TOP, _LEFT, _FLIP = range(4)
_PHOTOMETRIC = slice(4, 4 + NUM_DRAWS)
_SCALE = 4 + NUM_DRAWS
_ALL_DRAWS = _SCALE + 1


class TrainClips:
    """The clips of one `TrainInput`, in the order of its plan."""

    def __init__(self, source: TrainInput, batch_size: int, num_parts: int):
        """Plans the run.

        Args:
            source: Dataset, labels, filter and sampling of the clips.
            batch_size: Clips of this source per part of a step.
            num_parts: Parts of a step: replicas of all workers.

        Raises:
            ValueError: No clip is kept, see `clips_kept`.
        """
        self._source = source
        dataset, label_map = source.dataset, source.label_map
        self._kept = kept_clips(source)
        self._media = None
        if source.one_per_video:
            self._media = media_kept(source, np.asarray(self._kept.rows))
        self._plan = self._plan_of(batch_size * num_parts)
        self._num_parts = num_parts
        # Where a view's further frames have theirs, of segments, or its stride has its
        # own, follows all others.
        further = source.sampling.num_draws - 1
        self._starts = [_START, *range(_ALL_DRAWS, _ALL_DRAWS + further)]
        self._motion = slice(_ALL_DRAWS + further, None)
        self._draws_per_view = _ALL_DRAWS + further
        if source.image_clips is not None:
            self._draws_per_view += NUM_MOTION_DRAWS
        self._loader = ClipLoader(
            dataset,
            self._choose_views,
            source.crop_size,
            needs_label=source.assignment is None and source.redraw,
            needs_teacher=label_map is not None and label_map.needs_teacher,
            scales=source.short_side is not None,
            cache_bytes=source.cache_bytes,
            modality=source.modality,
        )
        self._skipped = SkippedRecords(dataset.directory, source.max_bad_records)
        assigned = None
        if source.assignment is not None:
            assigned = source.assignment.labels
        self.look_up = LabelLookup(
            label_map,
            len(dataset.info.class_names),
            assigned,
            several_labels(dataset) if source.several else None,
            source.num_outputs,
            draws=not (source.redraw and source.num_outputs),
        )
        self.item_shape = (
            source.clips_per_item,
            source.sampling.num_frames,
            *self._loader.frame_shape,
        )

    def _plan_of(self, batch_size: int) -> TrainPlan:
        source, kept = self._source, self._kept
        rows, probabilities = kept.rows, None
        if self._media is not None:
            rows = np.arange(len(self._media))
        if source.resampling is not None and self._media is not None:
            # A video is of the class of its first clip.
            labels = kept.label_of(self._media.rows[self._media.splits[:-1]])
            probabilities = source.resampling.probabilities(labels)
        elif source.resampling is not None:
            shares = source.resampling.of_classes(kept.of_label)

            def probability(rows: slice | np.ndarray) -> np.ndarray:
                # A label that no clip that is kept has may be behind the last one.
                labels = np.minimum(kept.label_of(rows), len(shares) - 1)
                return np.where(kept.rows.has(rows), shares[labels], 0.0)

            probabilities = RowDraws(kept.rows.num_rows, probability)
        return TrainPlan(rows, batch_size, source.seed, probabilities)

    def jobs(self, step: int, part: int, out: np.ndarray) -> list[Callable]:
        """What is to be done for one part of a step.

        Args:
            step: Number of the step, from 0.
            part: Number of the part of the step, from 0.
            out: uint8 [B, V, T, H, W, C], filled by the jobs, the V clips of an item
                each.

        Returns:
            Functions that give (id, label, teacher, row, photometric draws [V, 4], the
            draws of mixup and of the label).
        """
        places = self._plan.places(step, part, self._num_parts)
        rows, draws = self._at(places)
        return [
            functools.partial(self._load, *job)
            for job in zip(places, rows, draws, out, strict=True)
        ]

    def _at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows at places of the plan, and the draws of each."""
        seed = self._source.seed
        rows, epochs = self._plan.at(places)
        if self._media is not None:
            rows = self._media.draw(seed, epochs, rows)
        return rows, uniform_draws(seed, epochs, rows, self._num_draws)

    def _label_of(self, row: int) -> int:
        (label,) = self._kept.label_of(np.array([row]))
        return label

    def _load(self, place, row, draws, out) -> tuple:
        while True:
            if row not in self._skipped:
                try:
                    found = self._loader.load(row, (int(row), draws), out)
                    photometric = self._of_views(draws)[:, _PHOTOMETRIC]
                    return *found, row, photometric, *self._last_draws(row, draws)
                except BadRecordError as error:
                    if self._source.on_bad_record == "error":
                        raise
                    self._skipped.add(int(row), error)
            if len(self._skipped) >= len(self._kept.rows):
                raise BadRecordError(
                    f"all {len(self._kept.rows)} clips of "
                    f"{self._source.dataset.directory} are bad"
                )
            place = place + 1
            (row,), (draws,) = self._at(place[None])

    def _last_draws(self, row: int, draws: np.ndarray) -> tuple[np.float32, np.float32]:
        """The draw of mixup, and that of the label."""
        if self._source.several and not self._source.redraw:
            (label_draw,) = lasting_draws(self._source.seed, np.array([row]))
            return draws[-2], label_draw
        return draws[-2], draws[-1]

    @property
    def _num_draws(self) -> int:
        """Draws of an item: those of its clips, those of mixup, that of its label."""
        return self._draws_per_view * self._source.clips_per_item + 2

    def _of_views(self, draws: np.ndarray) -> np.ndarray:
        return draws[:-2].reshape(-1, self._draws_per_view)

    def _choose_views(self, length, height, width, chooses) -> list[View]:
        row, draws = chooses
        return [
            self._choose_view(length, height, width, row, each)
            for each in self._of_views(draws)
        ]

    def _choose_view(self, length, height, width, row, draws) -> View:
        source, size = self._source, self._source.crop_size
        if source.short_side is not None:
            size = jittered_size(size, height, width, source.short_side, draws[_SCALE])
        if source.positive_frames is not None:
            label = self._label_of(row)
            frames = source.positive_frames.draw(row, label, draws[self._starts])
        else:
            frames = source.sampling.random_frames(length, draws[self._starts])
        window = random_window(height, width, size, draws[[_TOP, _LEFT]])
        flip = source.flip and draws[_FLIP] < 0.5
        warps = None
        if source.image_clips is not None:
            warps = source.image_clips.warps(
                len(frames),
                (height, width),
                window,
                self._loader.frame_shape[:2],
                flip,
                draws[self._motion],
                self._label_of(row),
            )
        return View(frames, window, flip, warps)
