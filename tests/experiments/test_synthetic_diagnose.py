"""The diagnosis of six clips, against figures that were worked out by hand."""

import dataclasses

import pytest

from experiments.synthetic import diagnose
from spl_tf.labels import ConfusionMatrix, build_label_map
from tests import warm_python
from tests.conftest import make_clip, write_dataset

CLASSES = ["rings rise", "rings sink", "checks rise", "checks sink"]
TRUTH = """\
video,segment,start,end,shown,scene,class,damage
videos/0.mp4,0,0.0,1.0,action,rings,rings rise,
videos/0.mp4,1,1.0,2.0,sibling,rings,rings sink,
videos/0.mp4,2,2.0,3.0,background,rings,,
videos/0.mp4,3,3.0,4.0,filler,,,
videos/1.mp4,0,0.0,1.0,action,checks,checks rise,
videos/1.mp4,1,1.0,2.0,action,checks,checks rise,
videos/2.mp4,0,0.0,1.0,action,checks,checks rise,empty
"""
# Of the clips in the truth's order; the last video has none.
WEAK = [0, 0, 0, 0, 1, 1]
TEACHER = [0, 0, 2, 1, 2, 3]


@pytest.fixture
def folders(tmp_path):
    """The world, its clips and an SPL-B label map."""
    (tmp_path / "world").mkdir()
    (tmp_path / "world/hidden_truth.csv").write_text(TRUTH)
    write_dataset(tmp_path / "clips", web_clips(), CLASSES)
    confusion = ConfusionMatrix(CLASSES)
    confusion.update(WEAK, TEACHER)
    build_label_map(confusion, "spl_b").save(tmp_path / "map")
    return tmp_path / "world", tmp_path / "clips", tmp_path / "map"


def web_clips(teacher=TEACHER):
    made = []
    for number, weak in enumerate(WEAK):
        video, second = (0, number) if number < 4 else (1, number - 4)
        clip = make_clip(
            video,
            weak,
            frames=1,
            teacher=teacher[number : number + 1],
            names=CLASSES,
        )
        start, end = 1_000_000 * second, 1_000_000 * (second + 1)
        clip_id = f"{clip.media_id}@{start}-{end}"
        made.append(dataclasses.replace(clip, id=clip_id, start=start, end=end))
    return made


def test_accuracies_are_those_counted_by_hand(folders):
    results = diagnose.diagnose(*folders)
    assert results["note"] == "diagnosis only: nothing in training sees this"
    assert results["clips"] == 6
    assert results["noise_ratio"] == pytest.approx(4 / 6)
    approx = pytest.approx
    assert results["weak"] == approx(
        {"precision": 1 / 6, "scene": 3 / 5, "motion": 1 / 4, "class": 1 / 4}
    )
    assert results["teacher"] == approx(
        {"precision": 2 / 6, "scene": 4 / 5, "motion": 2 / 4, "class": 2 / 4}
    )
    assert results["agreement"] == approx(
        {"share": 2 / 6, "precision": 1 / 2, "scene": 1, "motion": 1 / 2, "class": 0.5}
    )


def test_kinds_of_segments_are_told_apart(folders):
    kinds = diagnose.diagnose(*folders[:2])["kinds"]
    shares = {kind: values["share"] for kind, values in kinds.items()}
    assert shares == pytest.approx(
        {"action": 3 / 6, "sibling": 1 / 6, "background": 1 / 6, "filler": 1 / 6}
    )
    assert kinds["action"]["agreement"] == pytest.approx(1 / 3)
    assert kinds["action"]["teacher"]["class"] == pytest.approx(2 / 3)
    assert kinds["sibling"]["weak"]["scene"] == 1
    assert kinds["sibling"]["weak"]["motion"] == 0
    assert kinds["background"]["teacher"]["scene"] == 0
    assert kinds["background"]["teacher"]["class"] is None
    assert kinds["filler"]["weak"] == {
        "precision": 0,
        "scene": None,
        "motion": None,
        "class": None,
    }


def test_labels_say_what_their_clips_show(folders):
    labels = diagnose.diagnose(*folders)["labels"]
    assert [(row["label"], row["name"], row["clips"]) for row in labels] == [
        (0, "rings rise", 2),
        (4, "rings rise ~ other", 2),
        (5, "rings sink ~ other", 2),
    ]
    assert [row["mostly_share"] for row in labels] == [0.5, 0.5, 1]
    assert labels[2]["mostly"] == "checks rise"
    assert labels[1]["kinds"] == {
        "action": 0,
        "sibling": 0,
        "background": 0.5,
        "filler": 0.5,
    }


def test_an_image_shows_its_only_segment(tmp_path):
    (tmp_path / "hidden_truth.csv").write_text(
        "video,segment,start,end,shown,scene,class,damage,copy_of\n"
        "videos/0.mp4,0,0.0,0.0,sibling,rings,rings sink,,\n"
        "videos/1.mp4,0,0.0,0.0,action,checks,checks rise,,videos/val.mp4\n"
    )
    images = [
        make_clip(number, label, frames=1, teacher=[2], names=CLASSES)
        for number, label in enumerate([0, 2])
    ]
    images = [dataclasses.replace(image, start=0, end=0) for image in images]
    write_dataset(tmp_path / "clips", images, CLASSES)
    truth = diagnose.read_clip_truth(tmp_path, tmp_path / "clips")
    assert dict(zip(truth.weak.tolist(), truth.shown.tolist(), strict=True)) == {
        0: 1,
        2: 2,
    }


def test_clips_without_teacher_and_of_another_world_are_named(folders, tmp_path):
    world, clips_dir, _ = folders
    write_dataset(tmp_path / "before", web_clips(teacher=[]), CLASSES)
    with pytest.raises(ValueError, match="before has clips without the teacher"):
        diagnose.diagnose(world, tmp_path / "before")
    kept = TRUTH.replace("videos/1.mp4,1,1.0,2.0,action,checks,checks rise,\n", "")
    (world / "hidden_truth.csv").write_text(kept)
    with pytest.raises(ValueError, match=r"video1@1000000.*no web video 'videos/1"):
        diagnose.diagnose(world, clips_dir)
    (world / "hidden_truth.csv").write_text("video,segment\n")
    with pytest.raises(ValueError, match="render the world again"):
        diagnose.diagnose(world, clips_dir)


def test_the_binary_prints_the_tables(folders):
    world, clips_dir, label_map = folders
    flags = [f"--world={world}", f"--clips={clips_dir}", f"--label_map={label_map}"]
    run = warm_python.run("-m", "experiments.synthetic.diagnose", *flags)
    assert run.returncode == 0, run.stderr
    lines = [line.split() for line in run.stdout.splitlines()]
    assert run.stdout.startswith("diagnosis only")
    assert ["teacher", "6", "33.3%", "80.0%", "50.0%", "50.0%"] in lines
    assert ["weak", "on", "filler", "1", "0.0%", "-", "-", "-"] in lines
    assert any(line[:5] == ["rings", "sink", "~", "other", "2"] for line in lines)
