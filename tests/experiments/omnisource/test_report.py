"""The page of a workdir, as older ones are, too."""

import json

from experiments.omnisource.report import gather


def test_results_from_before_there_were_tables_have_one_of_all_rows(tmp_path):
    seed = {"seed": 0, "world": None, "datasets": {}, "teachers": {}, "sources": {}}
    paper = {"source": "Table 1", "rows": {"all": {"top_1": 0.5, "top_5": 0.9}}}
    results = {
        "title": "Old",
        "strategies": ["target", "all"],
        "paper": paper,
        "seeds": [seed | {"motion": None}],
        "rows": [],
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    (table,) = gather(tmp_path).tables
    assert table.rows == ["target", "all"]
    assert (table.source, table.paper) == (paper["source"], paper["rows"])
