"""Imports between rooms go down the list only."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# Single modules of `spl_tf` that every room may import.
FOR_ALL = {"binary", "cores", "files", "media_groups", "progress", "text_files"}
# What a room may import of the project, besides itself.
ALLOWED = {
    "spl_tf/labels": set(),
    "spl_tf/clips": set(),
    "spl_tf/losses": set(),
    "spl_tf/metrics": set(),
    "spl_tf/models": set(),
    "spl_tf/motion": {"clips", "labels"},
    "spl_tf/data": {"clips", "labels", "motion"},
    "spl_tf/distribution": set(),
    "spl_tf/runs": {"distribution", "models", "clips"},
    "spl_tf/inference": {
        "runs",
        "distribution",
        "data",
        "models",
        "metrics",
        "clips",
        "labels",
    },
    "spl_tf/training": {
        "motion",
        "inference",
        "runs",
        "distribution",
        "data",
        "models",
        "losses",
        "metrics",
        "clips",
        "labels",
    },
    "spl_tf/analysis": {"models", "data", "metrics", "labels"},
    "tfrecords_tools": {"clips", "labels", "motion"},
}


def nodes_of(path):
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def imported_names(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def imported_rooms(path):
    for name in (name for node in nodes_of(path) for name in imported_names(node)):
        parts = name.split(".")
        if parts[0] == "spl_tf" and len(parts) > 1:
            if parts[1] not in FOR_ALL:
                yield parts[1]
        elif parts[0] in ("experiments", "benchmarks", "tfrecords_tools"):
            yield parts[0]


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_it_may(room):
    own = room.split("/")[-1]
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        excess = set(imported_rooms(path)) - ALLOWED[room] - {own}
        assert not excess, f"{path.relative_to(ROOT)} imports {sorted(excess)}"


# Papers are found by the names that configs have, see `experiments.pipeline.registry`.
PAPERS = sorted(path.parent for path in (ROOT / "experiments").glob("*/experiment.py"))


@pytest.mark.parametrize("room", ["pipeline", "reporting", "synthetic"])
def test_what_papers_share_knows_none_of_them(room):
    assert ROOT / "experiments/spl" in PAPERS
    files = list((ROOT / "experiments" / room).rglob("*.py"))
    assert files
    for path in files:
        for node in nodes_of(path):
            names = imported_names(node)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = [node.value]
            for paper in PAPERS:
                excess = [n for n in names if f"experiments.{paper.name}." in f"{n}."]
                assert not excess, f"{path.relative_to(ROOT)} knows {excess}"


# Each takes a user's path for a pattern: with "[1]" in its name, a folder is another.
GLOBS = re.compile(
    r"gfile\.glob\(|\bglob\.i?glob\(|^(import|from) glob\b|matching_files|list_files"
    r"|latest_checkpoint\(|checkpoint_exists\(",
    re.MULTILINE,
)


@pytest.mark.parametrize("room", ["spl_tf", "tfrecords_tools", "experiments"])
def test_no_path_is_taken_for_a_pattern(room):
    for path in (ROOT / room).rglob("*.py"):
        found = GLOBS.findall(path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: use spl_tf.clips.matching"
