r"""Something-Something v1 by IG-65M: Table 7.

python -m experiments.run_pipeline \
    --config=experiments/ig65m/configs/something_something.py \
    --workdir=runs/ig65m_something_something

`se` as the argument keeps the frames' aspect, `smoke` needs no data. Reads, in
`data/something_something`, `classes.txt`, `target.csv` (splits train and validation, as
`make_manifest --format=something_something` writes it), and the folders of frames in
`target/`, 12 frames a second; and what `files.py` lists. Top-1/top-5, not reproduced
here:

| Table 7 | 128 x 171 | short edge |
| --- | --- | --- |
| R(2+1)D-34 on Kinetics | 45.2/74.1 | |
| R(2+1)D-34 on Sports-1M | 45.7/74.5 | |
| R(2+1)D-34 on 65M | 49.7/77.5 | 49.9/77.5 |
| R(2+1)D-152 on 65M | 51.0/79.0 | 51.6/78.8 |
"""

from __future__ import annotations

from experiments.ig65m.configs import files

_ROWS = {"kinetics_34": ("kinetics", 34), "sports1m_34": ("sports1m", 34)}
_ROWS |= {"ig_34": ("ig_65m", 34), "ig_152": ("ig_65m", 152)}
_TABLE_7 = {
    "kinetics_34": (0.452, 0.741),
    "sports1m_34": (0.457, 0.745),
    "ig_34": (0.497, 0.775),
    "ig_152": (0.510, 0.790),
}
_SHORT_EDGE = {"ig_34": (0.499, 0.775), "ig_152": (0.516, 0.788)}
_COMPARISON = "comparison"


def get_config(argument: str = ""):
    """The rows of Table 7.

    Args:
        argument: See above.
    """
    words, switches = files.parse(argument, (_COMPARISON,))
    found = _SHORT_EDGE if files.SHORT_EDGE in switches else _TABLE_7
    table = files.Table(_COMPARISON, "Table 7", _ROWS, files.of_top(found), dense=True)
    config = files.experiment(
        "something_something", {_COMPARISON: table}, words, switches
    )
    if config.world is None:
        config.conversion.frames_fps = 12.0
    # Classes such as "pulling something from left to right" are no mirror images.
    for phase in ("scratch", "finetune"):
        config[phase].data.flip = False
    return config
