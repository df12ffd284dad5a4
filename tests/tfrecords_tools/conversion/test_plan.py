import json

from tfrecords_tools.conversion.cutting import ClipPlan
from tfrecords_tools.conversion.plan import ConversionPlan

CLIPS = [
    ClipPlan("a.mp4", "a", 1, 0, 500_000, 8.0, (0, 2)),
    ClipPlan("b.mp4", "b", 2, 0, 500_000, 8.0),
]


def test_a_plan_comes_back_as_it_was(tmp_path):
    plan = ConversionPlan({"tool": "test"}, [CLIPS, []], [], 2)
    plan.save(str(tmp_path / "plan.jsonl"))
    assert ConversionPlan.load(str(tmp_path / "plan.jsonl")) == plan


def test_a_plan_from_before_there_were_several_labels_is_read(tmp_path):
    path = tmp_path / "plan.jsonl"
    plan = ConversionPlan({"tool": "test"}, [CLIPS[1:]], [], 1)
    plan.save(str(path))
    header, line = path.read_text().splitlines()
    path.write_text(f"{header}\n{json.dumps(json.loads(line)[:7])}\n")
    assert ConversionPlan.load(str(path)) == plan
