r"""Kinetics-400 by IG-65M: Figures 1 a and 2 a, Tables 2 and 5.

python -m experiments.run_pipeline \
    --config=experiments/ig65m/configs/kinetics400.py:comparison \
    --workdir=runs/ig65m_kinetics400

The argument is `amounts` (Figure 1 a), `label_spaces` (Figure 2 a), `capacity` (Table
2) or `comparison` (Table 5); `se` after it keeps the frames' aspect, `smoke` needs no
data. Reads, in `data/kinetics400`, `classes.txt`, `target.csv` (splits train and val),
and the videos in `target/`; and what `files.py` lists. Top-1, not reproduced here:

| Figure 1 a, R(2+1)D-34, 8 frames | fine-tuned | linear |
| --- | --- | --- |
| from scratch | 67.0 | |
| 65M | 74.8 | 73.0 |

| Table 2, 32 frames | 18 | 34 | 101 | 152 |
| --- | --- | --- | --- | --- |
| 65M | 76.0 | 78.2 | 79.1 | 79.9 |
| from scratch | 69.3 | 69.6 | 71.7 | 72.0 |

| Table 5, top-1/top-5 | 128 x 171 | short edge |
| --- | --- | --- |
| R(2+1)D-34 on Sports-1M | 71.7/90.5 | |
| R(2+1)D-34 on 65M | 79.1/93.9 | 79.6/94.2 |
| R(2+1)D-152 on 65M | 80.5/94.6 | 81.3/95.1 |
"""

from __future__ import annotations

from experiments.ig65m.configs import files

_TABLE_5 = {"sports1m_34": ("sports1m", 34), "ig_34": ("ig_65m", 34)}
_TABLE_5 |= {"ig_152": ("ig_65m", 152)}
_DEPTHS = (18, 34, 101, 152)


def _tables(short_edge: bool) -> dict[str, files.Table]:
    if short_edge:
        comparison = {"ig_34": (0.796, 0.942), "ig_152": (0.813, 0.951)}
    else:
        comparison = {"ig_34": (0.791, 0.939), "ig_152": (0.805, 0.946)}
        comparison["sports1m_34"] = (0.717, 0.905)
    capacity = {
        f"{name}_{depth}": {"top_1": top_1}
        for name, found in (
            ("ig_65m", (0.760, 0.782, 0.791, 0.799)),
            ("scratch", (0.693, 0.696, 0.717, 0.720)),
        )
        for depth, top_1 in zip(_DEPTHS, found, strict=True)
    }
    return {
        "amounts": files.Table(
            "amount of pre-training data",
            "Figure 1 a and section 4.1.1",
            files.amounts("scratch"),
            {"scratch": {"top_1": 0.670}, "ig_65m": {"top_1": 0.748, "linear": 0.730}},
            frames=8,
            figure="videos",
            linear=True,
        ),
        "label_spaces": files.Table(
            "label spaces",
            "Figure 2 a, of whose bars the text gives differences alone",
            files.label_spaces("sports1m"),
            {},
            figure="bars",
            linear=True,
        ),
        "capacity": files.Table(
            "capacity", "Table 2", files.by_depth("scratch", "ig_65m"), capacity
        ),
        "comparison": files.Table(
            "comparison",
            "Table 5",
            _TABLE_5,
            files.of_top(comparison),
            dense=True,
        ),
    }


def get_config(argument: str = ""):
    """The rows of a table.

    Args:
        argument: See above; the first table if it names none.
    """
    words, switches = files.parse(argument, tuple(_tables(False)))
    tables = _tables(files.SHORT_EDGE in switches)
    return files.experiment("kinetics400", tables, words, switches, "val")
