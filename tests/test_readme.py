"""Every command of the READMEs works as it is written there.

`make test` checks that each is known and that its program takes its flags;
`make test-slow` runs them, in their order, in one folder.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import counting_images, write_video
from tests.readme_commands import (
    MODULE,
    make_recipe,
    read_commands,
    read_python,
    refusals,
)

ROOT = Path(__file__).parents[1]
READMES = (
    "README.md",
    "experiments/README.md",
    "experiments/spl/README.md",
    "experiments/omnisource/README.md",
    "experiments/motionfit/README.md",
)

# Targets whose recipe is run here, with the flags of SHORTER.
RECIPES = ("make demo", "make table", "make ablations")
_TOOLS = "tests/tfrecords_tools"
# What is not run here, by a part of it, and what runs it instead.
ELSEWHERE = {
    # Their rows and studies are run at a tiny size there.
    "make omnisource": "tests/experiments/omnisource/test_studies.py",
    "make motionfit": "tests/experiments/motionfit/test_config.py",
    "make test-s3": "tests/remote/test_s3.py",
    "make test": "Makefile",  # this is it, and so is make test-slow
    "make lint": ".ci/run",
    "make bench": "Makefile",
    "pip install 'spl_tf[beam]'": "setup.py",  # `dev` has it
    "pip install 'spl_tf[tfio]'": "Makefile",  # make test-s3
    "pip install 'spl_tf[torch]'": "tests/models/public_weights/test_files.py",
    # They need the weights that another project published; the test makes such a file.
    "experiments.import_weights": "tests/experiments/test_import_weights.py",
    "--checkpoint=runs/k400": "tests/experiments/test_import_weights.py",
    # The rendered world's small frames have no texture to follow; the test's have.
    "experiments.fit_camera_motion": "tests/experiments/test_fit_camera_motion.py",
    # They need several evaluations of the same clips.
    "--predictions=rgb/": "tests/experiments/test_evaluate.py",
    "experiments.confusing_pairs": "tests/experiments/test_confusing_pairs.py",
    # They need a cluster; the tests start the processes of one.
    "TF_CONFIG=": "tests/distribution/test_multi_worker.py",
    "srun": "tests/cluster/test_training.py",
    "--tpu=": "tests/experiments/test_train.py",
    # They need datasets that are not here; the tests make small ones.
    # They start from the clips and runs of the first README.
    "experiments.tune": "tests/experiments/test_tune.py",
    "--output_dir=linear": "tests/experiments/test_evaluate.py",
    "tfrecords_tools.make_subset": f"{_TOOLS}/test_make_subset.py",
    "make_manifest --format=": f"{_TOOLS}/manifest_formats/test_manifest_formats.py",
    "convert_tfds --name=ucf101": f"{_TOOLS}/conversion/test_convert_tfds.py",
}

_FEW_STEPS = [
    "schedule.warmup.steps=2",
    "schedule.warmup.epochs=0.0",
    "schedule.length.steps=4",
    "schedule.length.epochs=0.0",
    "data.batch_size=8",
    "runtime.steps_per_call=2",
    "runtime.log_every_steps=2",
    "runtime.checkpoint_every_steps=2",
]
_TINY = ["model.name=r3d_tiny_g", "data.num_frames=4", "data.crop_size=24"]


def _settings(names, *phases):
    if not phases:
        return [f"--config.{name}" for name in names]
    return [f"--config.{phase}.{name}" for phase in phases for name in names]


_PHASES = _settings(_FEW_STEPS, "scratch", "pretrain", "finetune")
# Flags that are appended where a command matches, so that it takes seconds.
SHORTER = (
    ("experiments.train ", _settings([*_FEW_STEPS, *_TINY])),
    ("experiments.run_pipeline ", _PHASES),
    (
        "configs/synthetic.py",
        _settings(
            (
                "world.target_clips_per_class=6",
                "world.validation_clips_per_class=2",
                "world.web_videos_per_class=6",
                "max_skipped_fraction=0.5",
            )
        ),
    ),
    ("configs/table.py", ["--dry_run"]),
    ("configs/ablation.py", ["--dry_run"]),
    ("tfrecords_tools.convert_", ["--num_shards=2"]),  # each shard's start is slow
    ("my_experiment.py", ["--strategies=none,spl_b"]),
)


def written_commands():
    """What the READMEs say, with the recipes of make targets in their places."""
    for name in READMES:
        for command in read_commands(ROOT / name, name):
            if command.text in RECIPES:
                yield from make_recipe(command.text.split()[1], ROOT)
            else:
                yield command


def runner_elsewhere(command):
    """The file that runs a command which is not run here, or None."""
    text = " ".join(command.text.replace("\\\n", " ").split())
    return next((ELSEWHERE[part] for part in ELSEWHERE if part in text), None)


def appended(command):
    text = f"{command.module} {' '.join(command.arguments)}"
    return [flag for pattern, flags in SHORTER if pattern in text for flag in flags]


def is_head(command):
    return command.text.startswith("head ")


def shows_all(command):
    """Whether its output is the same here; the files begin with the shown lines."""
    return bool(command.output) and (
        is_head(command) or command.module == "experiments.model_summary"
    )


def is_run_here(command):
    """All but what has no program here, and a program's name in a sentence."""
    if runner_elsewhere(command):
        return False
    return is_head(command) or (
        command.text.startswith(MODULE) and not is_mentioned(command)
    )


def is_mentioned(command):
    """Whether it is a program's name in a sentence."""
    return bool(
        command.in_prose
        and command.module
        and not command.arguments
        and (ROOT / f"{command.module.replace('.', '/')}.py").exists()
    )


def test_every_command_is_run_by_a_test():
    commands = list(written_commands())
    assert len(commands) > 10
    unknown = [
        f"{command.place}: {command.text}"
        for command in commands
        if not (
            runner_elsewhere(command) or is_run_here(command) or is_mentioned(command)
        )
    ]
    assert not unknown, "say in ELSEWHERE what runs them, or make them run here"
    for name in ELSEWHERE.values():
        assert (ROOT / name).exists(), name


def test_the_programs_take_the_flags_of_the_commands(tmp_path):
    folder = make_folder(tmp_path / "repository")
    commands = [
        (command.module, command.arguments + appended(command))
        for command in written_commands()
        if command.module and not is_mentioned(command)
    ]
    assert not refusals(commands, folder, tmp_path / "log")


def test_flags_that_do_not_exist_are_seen(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(
        "```\n$ python -m experiments.predict --checkpoint=a --input_dir=b \\\n"
        "    --output_dir=c --no_such=1\nprinted\n```\n"
        "and `python -m experiments.train --config=experiments/spl/configs/tiny.py\n"
        "--workdir=d --config.data.no_such=1`\n"
    )
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    commands = read_commands(path, "README.md")
    assert [command.place for command in commands] == ["README.md:2", "README.md:6"]
    assert commands[0].output == ["printed"]
    found = refusals(
        [(command.module, command.arguments) for command in commands],
        tmp_path,
        tmp_path / "log",
    )
    assert [module for module, _ in found] == [c.module for c in commands]
    assert all("no_such" in message for _, message in found)


def test_the_python_of_the_readme_runs():
    names = {
        "class_names": ["a", "b", "c"],
        "weak": np.array([0, 1, 2, 2]),
        "teacher": np.array([0, 2, 2, 1]),
    }
    blocks = read_python(ROOT / READMES[0])
    assert blocks
    for block in blocks:
        exec(block, names)
    assert names["labels"].tolist() == [0, 4, 2, 5]


@pytest.mark.slow
def test_every_command_runs(tmp_path):
    folder = make_folder(tmp_path / "repository")
    write_inputs(folder)
    failures, done_before = [], []
    for command in written_commands():
        if not is_run_here(command) or command.words in done_before:
            continue
        done_before.append(command.words)
        prepare(folder, command)
        words = " ".join([command.text, *appended(command)])
        done = run(folder, words)
        if done.returncode:
            failures.append(f"{command.place}: {words}\n{done.stderr[-2000:]}")
        elif shows_all(command) and done.stdout.splitlines() != command.output:
            failures.append(f"{command.place}: {words}\nprinted\n{done.stdout}")
    assert not failures, "\n\n".join(failures)


def run(folder, words):
    """Runs a command line in a shell, with this Python."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-c", words],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def make_folder(folder):
    """Like the repository's: its programs' configs, and the experiment of a user.

    That is experiments/README.md's, on the files of the demo.
    """
    folder.mkdir()
    (folder / "experiments").symlink_to(ROOT / "experiments")
    (config,) = read_python(ROOT / READMES[1])
    world = "runs/demo/seed_0/world"
    config = re.sub(r'"(\w+\.(?:csv|txt))"', rf'"{world}/\1"', config)
    (folder / "my_experiment.py").write_text(config)
    return folder


def write_inputs(folder):
    """The files that a reader brings along."""
    names = [
        "baking cookies",
        "scrambling eggs",
        "making pizza",
        "peeling potatoes",
        "cutting apple",
        "café",
    ]
    (folder / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (folder / "translations.csv").write_text(
        "en,fr,es,pt\n" + "".join(f"{n},{n} fr,{n} es,{n} pt\n" for n in names),
        encoding="utf-8",
    )
    rng = np.random.default_rng(0)
    pairs = [(0, 1), (2, 4), (0, 0), (3, 3), *rng.integers(0, 6, (2000, 2))]
    (folder / "pairs.csv").write_text(
        "clip,weak,teacher\n"
        + "".join(
            f'{row},"{names[weak]}","{names[teacher]}"\n'
            for row, (weak, teacher) in enumerate(pairs)
        ),
        encoding="utf-8",
    )
    videos = [
        ("h264.mp4", "making pizza", "libx264"),
        ("h264 hd.mkv", "scrambling eggs", "libx264"),
        ("vp9.webm", "café", "libvpx-vp9"),
    ]
    (folder / "videos").mkdir()
    for number, (name, _, codec) in enumerate(videos):
        images = counting_images(32, width=64 + 2 * number)
        write_video(folder / "videos" / name, images, codec=codec)
    whole = (folder / "videos" / "h264.mp4").read_bytes()
    (folder / "videos" / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    rows = [f"{name},{label}\n" for name, label, _ in videos]
    (folder / "web.csv").write_text(
        "".join(["video,label\n", *rows, "cut.mp4,making pizza\n"]), encoding="utf-8"
    )
    for number, name in enumerate(names):
        (folder / "images" / name).mkdir(parents=True)
        Image.fromarray(counting_images(number + 1)[-1]).save(
            folder / "images" / name / "one.jpg"
        )


def prepare(folder, command):
    """Makes what a command reads and no command before it has made."""
    if "--dataset=clips/val" in command.words:
        run_pipeline_clips = folder / "runs/demo/seed_0/clips/target_val"
        shutil.copytree(run_pipeline_clips, folder / "clips/val", dirs_exist_ok=True)
    if "--reindex" in command.words:
        # The records alone, as another tool leaves them.
        (folder / "shards").mkdir()
        for path in (folder / "clips/target").glob("*.tfrecord*"):
            shutil.copy(path, folder / "shards")
