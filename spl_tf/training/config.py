"""The configuration of a training run: its keys and their defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ml_collections import config_dict

from spl_tf.clips.frame_shape import RGB
from spl_tf.data.sampling import SAMPLINGS
from spl_tf.models import (
    DEFAULT_NORMALIZATION,
)

JOINT, PER_SOURCE, STEP_PER_SOURCE = FORWARDS = (
    "joint",
    "per_source",
    "step_per_source",
)
SNIPPETS = "snippets"


def default_config() -> config_dict.ConfigDict:
    """All keys of a training run; experiment configs start from here.

    The defaults are the paper's where it names a value (section 4.2). Learning rates
    are those at `optimizer.reference_batch_size` clips per step and are scaled
    linearly to the batch size of the run.
    """
    config = config_dict.ConfigDict()
    config.seed = 0
    config.model = config_dict.create(
        # How pixels are scaled: "symmetric" to [-1, 1], or by (mean, std) of pixels in
        # [0, 1], a number per channel each; see `models.pixel_statistics`.
        normalization=_any_type(DEFAULT_NORMALIZATION),
        name="r3d_50_g",
        dropout=0.5,
        projection_dim=0,  # width of a linear layer before the classifier; 0: none
        width=1.0,  # factor on the channels
        depth=1.0,  # factor on the cells of each stage
        gating="",  # where gates stand; empty for where the name puts them
        gating_bias=True,
        last_stage_kernels=(),  # its cells' lengths in time, in turn; NL: (1, 3, 1)
        shared_middle=False,  # of r2plus1d_18 and _34: torchvision's middle channels
        batch_norm_epsilon=0.0,  # added to variances; 0 for the network's own
        synchronized_batch_norm=False,
        # Whether a step computes activations in cells twice: less memory, more time.
        recompute=False,
        precision="float32",
    )
    config.data = config_dict.create(
        # Dataset folder. Or empty, and sources: by name, see `default_source`.
        train="",
        sources=config_dict.ConfigDict(),
        # Clips of an item in a batch, next to each other; see loss.clips.
        clips_per_item=1,
        # Alpha of Beta(alpha, alpha), with which items are mixed in pairs; 0 for none.
        mixup=0.0,
        # Whether pairs are of the whole batch, in a random order and with one weight,
        # instead of each source's own, with a weight for each item.
        mixup_across=False,
        # How a batch of several sources passes the network: one of FORWARDS, "joint",
        # or one source after another, each with batch statistics of its own.
        forward=FORWARDS[0],
        # Name of the source whose clips make an epoch; empty for the first one.
        epoch_of="",
        # What the network sees of a clip: "rgb", or "flow", the optical flow that
        # `tfrecords_tools.add_flow` puts into records.
        modality=RGB,
        validation="",  # dataset folder; empty for no evaluation
        label_map="",  # folder of a LabelMap; empty for the labels in the records
        num_frames=16,
        stride=4,
        # In training, each clip's stride is instead one of these, drawn uniformly (the
        # temporal granularity of MotionFit); () for the stride above.
        strides=(),
        # One of SAMPLINGS: a run of frames at the stride, or one of each of num_frames
        # segments.
        sampling=SAMPLINGS[0],
        crop_size=_any_type(224),  # side of a square, or (height, width)
        # Clips of a batch, of one replica. Or those of a whole step, over all replicas
        # and accumulated batches; then batch_size is 0.
        batch_size=6,
        global_batch_size=0,
        flip=True,
        # Shorter side to scale frames to before the crop in evaluation and prediction;
        # 0 takes them as they are stored.
        test_short_side=0,
        short_side=(),  # range that frames are scaled to before the crop; () for none
        # Classes of N clips are drawn in proportion to N^power, or to min(N, limit).
        resampling=config_dict.create(power=1.0, limit=0),
        on_bad_record="error",  # or "skip": the next clip of the plan, and a warning
    )
    config.augmentation = config_dict.create(
        brightness=32 / 255, contrast=0.5, saturation=0.5, hue=0.2
    )
    config.loss = config_dict.create(
        name="cross_entropy",
        label_smoothing=0.0,  # share of the target spread over classes: cross_entropy
        # How an item's clips give one loss: "mean_of_losses", "loss_of_mean" logits.
        clips="mean_of_losses",
        # Of "loss_of_mean": times the mean of the clips' own losses is added to it.
        clip_weight=0.0,
        data_parameters_mode="instance",
        # For forward_correction: a saved ConfusionMatrix of noisy labels (rows) and
        # true classes; empty for the clips' labels and their teacher's predictions.
        transition="",
    )
    config.loss.anchor = config_dict.create(
        gamma=0.5, slack=0.05, anchor="negative", form="sigmoid", warm_up_epochs=5
    )
    config.optimizer = config_dict.create(
        learning_rate=0.4,
        reference_batch_size=384,
        momentum=0.9,
        nesterov=False,
        weight_decay=1e-7,
        clip_norm=0.0,  # greatest norm of the whole batch's gradient; 0 for no limit
        # Batches per step. Each is normalised with statistics of its own: those of its
        # clips on one replica, or on all with model.synchronized_batch_norm.
        accumulation_steps=1,
        moving_average=0.0,  # decay of an average of the weights; 0 for none
    )
    # Lengths are given in one unit; the other two are 0.
    config.schedule = config_dict.create(
        warmup=config_dict.create(epochs=10.0, steps=0, examples=0),
        warmup_start=0.1,  # share of the learning rate at step 0
        length=config_dict.create(epochs=150.0, steps=0, examples=0),
        shape="cosine",
        boundaries=(0.5, 0.75),  # of shape "step": shares of the length
        factor=0.1,  # of shape "step": factor on the rate at each of them
        halvings=13,  # of shape "halving": how often the rate is halved
    )
    # What this run's weights start from: the workdir of another run, or a 2D network
    # to inflate: "imagenet", a `.weights.h5` or a `weights.npz`.
    config.init = config_dict.create(checkpoint="", keep_head=False, inflate="")
    # Where and how often, which does not change the mathematics: a run that goes on
    # may have others.
    config.runtime = config_dict.create(
        strategy="auto",
        tpu="",  # name of the TPU, for strategy "tpu"
        # GB of memory, in each process, for training clips that stay decoded.
        cache_gb=0.0,
        startup_timeout=300.0,  # seconds in which all of several processes must be up
        xla=False,
        steps_per_call=50,
        log_every_steps=100,
        checkpoint_every_steps=1000,
        keep_checkpoints=2,
    )
    return config.lock()


def _any_type(default: Any) -> config_dict.FieldReference:
    """A default for a key that also takes values of other types."""
    return config_dict.FieldReference(default, field_type=object)


def default_source() -> config_dict.ConfigDict:
    """All keys of one of `config.data.sources`."""
    return config_dict.create(
        dataset="",  # folder of its clips
        share=1.0,  # part of each batch, in proportion to those of the other sources
        labels=config_dict.create(
            # One of LABEL_KINDS: the record's own, a LabelMap's, the teacher's first
            # choice, those of an Assignment, or of a record's several labels one,
            # drawn at random, or all.
            kind="record",
            path="",  # where the label map, or the assignment, is
            redraw=False,  # whether "one_of" draws anew in each epoch
        ),
        # How items of the dataset become clips.
        clips=config_dict.create(
            # One of CLIP_KINDS: "frames" of a video, from the start again where there
            # are too few; SNIPPETS, a frame of an untrimmed video in which the teacher
            # finds the label, and others in which it does not; or one image, "still" or
            # moved as of `data.ImageClips`.
            kind="frames",
            # Of the translations: the window's largest step from frame to frame, as a
            # share of its height and width.
            step=0.03,
            motion="",  # of perspective: a file that fit_camera_motion has made
            by_class=False,  # of perspective: each class as its videos move
            # Of snippets: least probability of the label in a positive frame.
            min_confidence=0.0,
        ),
        # Whether an epoch has each video once, with a random one of its clips that are
        # kept, instead of each clip once.
        one_per_video=False,
        # See `spl_tf.labels.filters.ClipFilter`.
        filter=config_dict.create(
            exclude_ids="",  # file of media ids, one a line
            agreement=False,
            min_confidence=0.0,
            min_label_confidence=0.0,
            keep_fraction=1.0,
            per_class=True,
        ),
        resampling=config_dict.create(power=1.0, limit=0),
    )


def completed(settings: Mapping[str, Any]) -> config_dict.ConfigDict:
    """The config of an older run, with defaults for keys that there were not yet.

    Args:
        settings: As the run's `config.json` has them.
    """
    config = default_config()
    with config.unlocked():
        config.update(settings)
        for name, source in settings["data"].get("sources", {}).items():
            config.data.sources[name] = default_source()
            config.data.sources[name].update(source)
    return config


def source_shares(sources: Mapping[str, Any], batch_size: int) -> dict[str, int]:
    """Clips of each source in a batch of one replica, exactly by share.

    Args:
        sources: Settings by name, as in `config.data.sources`.
        batch_size: Clips of all sources in a batch.

    Raises:
        ValueError: A share is not positive, or does not give whole clips; the message
            has the nearest possible batches.
    """
    shares = {
        name: Fraction(settings.share).limit_denominator(10**6)
        for name, settings in sources.items()
    }
    for name, share in shares.items():
        if share <= 0:
            raise ValueError(
                f"config.data.sources.{name}.share is {sources[name].share}, expected "
                "more than 0: a source without clips must go"
            )
    whole = sum(shares.values())
    sizes = {name: batch_size * share / whole for name, share in shares.items()}
    if all(size.denominator == 1 for size in sizes.values()):
        return {name: int(size) for name, size in sizes.items()}
    unit = math.lcm(*((share / whole).denominator for share in shares.values()))
    below = batch_size // unit * unit
    nearest = " or ".join(str(size) for size in (below, below + unit) if size)
    found = ", ".join(f"{name} {float(size):g}" for name, size in sizes.items())
    raise ValueError(
        f"config.data.sources: their shares of a batch of {batch_size} clips are "
        f"{found}, expected whole numbers; the nearest possible batch is {nearest}"
    )


def replica_batch_size(config: config_dict.ConfigDict, replicas: int) -> int:
    """Clips of a batch of one replica.

    Args:
        config: A training's whole config.
        replicas: Number of replicas of all processes together.

    Raises:
        ValueError: The batch of a step does not divide over replicas and accumulated
            batches.
    """
    whole = config.data.global_batch_size
    if not whole:
        return config.data.batch_size
    accumulation = config.optimizer.accumulation_steps
    parts = replicas * accumulation
    if whole % parts:
        raise ValueError(
            f"config.data.global_batch_size is {whole}, expected a multiple of "
            f"{parts}: {replicas} replicas x config.optimizer.accumulation_steps "
            f"{accumulation}"
        )
    return whole // parts
