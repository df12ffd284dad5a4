"""Builds the page that shows what happened in a workdir.

python -m experiments.report --workdir=runs/demo

Writes `report/index.html` in the workdir of `run_pipeline`: one file that needs no
network. What a stage that failed or did not run has not written is named on the page.
"""

from __future__ import annotations

import os

from absl import flags

from experiments.pipeline import registry
from spl_tf import binary, clips
from spl_tf.runs import run_folder


def build_report(workdir: str) -> str:
    """Builds the page, replacing a former one.

    Args:
        workdir: Where `run_pipeline` works or worked, finished or not.

    Returns:
        The path of the page, `report/index.html` in the workdir.

    Raises:
        FileNotFoundError: The folder has no `results.json`.
        ValueError: A file is damaged; the message names it.
    """
    path = os.path.join(workdir, "config.json")
    config = run_folder.read_json(path)["config"] if os.path.exists(path) else {}
    page = registry.find(config).report(workdir).encode()
    folder = os.path.join(workdir, "report")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "index.html")
    clips.write_atomically(path, page)
    return path


def main(argv: list[str]) -> None:
    """Reads the flag, builds the page, prints its path."""
    binary.no_arguments(argv)
    print(build_report(flags.FLAGS.workdir))


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Folder of the experiment.", required=True)
    binary.run(main)
