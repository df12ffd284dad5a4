"""Work that tasks on two hosts share without a word to each other."""

import pytest

from experiments.evaluate import evaluate
from spl_tf import training
from tests.conftest import make_clip, write_dataset
from tests.training.finished_run import textured_clip, write_run
from tests.training.teachers import contents, write_teacher

pytestmark = pytest.mark.cluster

NAMES = ["a", "b", "c"]


def run_tasks(slurm, tasks, binary, **flags):
    flags = [f"--{name}={value}" for name, value in flags.items()]
    job = slurm.srun("-m", f"experiments.{binary}", *flags, tasks=tasks)
    assert job.wait(300) == ("COMPLETED", 0), job.printed()[-3000:]
    return job.printed()


def test_four_tasks_predict_what_one_process_does(slurm, tmp_path):
    teacher = write_teacher(tmp_path / "teacher")
    web = write_dataset(
        tmp_path / "web", [make_clip(n, n % 3) for n in range(60)], "abc", 7
    )
    training.predict(teacher, web.directory, str(tmp_path / "one"), batch_size=8)
    output = tmp_path / "four"
    flags = {"checkpoint": teacher, "input_dir": web.directory, "output_dir": output}
    printed = run_tasks(slurm, 4, "predict", batch_size=8, **flags)
    assert "60 clips in 7 shards" in printed
    assert contents(output) == contents(tmp_path / "one")


def test_two_tasks_evaluate_as_one_process_does(slurm, tmp_path):
    run = write_run(tmp_path / "run", NAMES)
    test, train = (
        write_dataset(
            tmp_path / name,
            [textured_clip(first + n, n % 3, NAMES) for n in range(40)],
            NAMES,
            shards,
            "clean",
        ).directory
        for name, first, shards in (("test", 0, 5), ("train", 100, 2))
    )
    settings = {"protocol": "linear", "train_dataset": train, "batch_size": 4}
    evaluate(run, test, str(tmp_path / "one"), **settings)
    output = tmp_path / "two"
    flags = {"checkpoint": run, "dataset": test, "output_dir": output, **settings}
    printed = run_tasks(slurm, 2, "evaluate", **flags)
    assert "40 clips, 3 classes" in printed
    assert contents(output) == contents(tmp_path / "one")
