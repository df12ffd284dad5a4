import pathlib

import pytest

from experiments.model_summary import summary
from tests import warm_python


def test_the_command_prints_the_table_of_a_network():
    flags = ["--name=r3d_50_g", "--input_shape=16,224,224,3"]
    done = warm_python.run("-m", "experiments.model_summary", *flags)
    assert done.returncode == 0, done.stderr
    rows = [line.split("  ") for line in done.stdout.splitlines()]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert [row[0] for row in rows] == [
        *("stage", "stem", "res2", "res3", "res4", "res5", "head", "total")
    ]
    assert rows[-3] == ["res5", "16 x 7 x 7 x 2048", "22,329,344", "17.885 G"]
    assert rows[-1] == ["total", "34,719,568", "93.095 G"]


def test_the_readme_has_the_table_that_the_command_prints():
    readme = (pathlib.Path(__file__).parents[2] / "README.md").read_text("utf-8")
    table = summary("r3d_50_g", ["16", "224", "224", "3"], 400)
    assert "\n".join(line.rstrip() for line in table.splitlines()) in readme


def test_the_number_of_classes_sets_the_size_of_the_head():
    last = summary("r3d_tiny_g", ["4", "24", "24", "3"], 12).splitlines()[-1]
    assert last.split()[:2] == ["total", "32,068"]


def test_sizes_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="input_shape is 16,x, expected T,H,W,C"):
        summary("r3d_18", ["16", "x"], 400)


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'r3d_51'; known are efficientnet_b4, "):
        summary("r3d_51", ["16", "224", "224", "3"], 400)
