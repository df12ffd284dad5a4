"""The log of a run that goes on."""

import json

from spl_tf.runs.metrics_log import MetricsLog


def test_every_process_goes_on_from_the_last_line_and_one_of_them_writes(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "loss": step / 10}) for step in (10, 20, 30)]
    path.write_text("\n".join(lines) + '\n{"step": 4')
    other = MetricsLog(str(tmp_path), 1, writes=False)
    other.open(20)
    assert other.last == {"step": 20, "loss": 2.0}
    assert path.read_text().endswith('{"step": 4')
    chief = MetricsLog(str(tmp_path), 1)
    chief.open(20)
    assert chief.last == other.last
    assert path.read_text().splitlines() == lines[:2]
