"""The commands of a README, and whether their programs take their flags."""

import dataclasses
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys

from absl import flags

from experiments.pipeline import server
from spl_tf import binary

MODULE = "python -m "
# Programs that need not be installed where the tests run.
_PROGRAMS = {"make", "pip", "python", "srun", "sbatch", "gcloud", "git", "docker"}
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_SHORTHAND = re.compile(r"`(\w+)` is `(python -m [\w.]+)`")
_ASSIGNMENT = re.compile(r"[A-Z_]+=")


@dataclasses.dataclass
class Command:
    """A command as a reader would type it.

    Attributes:
        place: File and line.
        text: In one line or several, without the prompt.
        in_prose: Not of a block of commands.
        output: The lines that are shown below it.
    """

    place: str
    text: str
    in_prose: bool = False
    output: list[str] = dataclasses.field(default_factory=list)

    @property
    def words(self):
        """As the shell splits them, without what stands for more (`...`)."""
        words = shlex.split(self.text.replace("\\\n", " "))
        return [word for word in words if word != "..."]

    @property
    def module(self):
        """What `python -m` runs, or None."""
        return next(iter(self._after_python()), None)

    @property
    def arguments(self):
        """What a module is called with."""
        return self._after_python()[1:]

    def _after_python(self):
        words = self.words
        return words[words.index("python") + 2 :] if "python" in words else []


def read_commands(path, name):
    """All commands of a Markdown file: its blocks', then those within sentences.

    A block that starts with `$ ` has a command at each `$ ` and output between; any
    other block without a language is of commands if its first word is a program.
    """
    text = path.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        _, language, body = fence.groups()
        if language not in ("", "sh", "bash", "shell", "console"):
            continue
        line = text[: fence.start()].count("\n") + 2
        found += _commands_of_block(body, f"{name}:{line}")
    prose = _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
    shorthands = dict(_SHORTHAND.findall(prose))
    for span in _INLINE.finditer(prose):
        words = span[1].split()
        words[:1] = shorthands.get(words[0], words[0]).split() if words[1:] else words
        if len(words) > 1 and words[0] in _PROGRAMS:
            line = prose[: span.start()].count("\n") + 1
            found.append(Command(f"{name}:{line}", " ".join(words), in_prose=True))
    return found


def read_python(path):
    """The blocks of Python of a Markdown file."""
    found = _FENCE.finditer(path.read_text(encoding="utf-8"))
    return [fence[3] for fence in found if fence[2] == "python"]


def _commands_of_block(body, place):
    lines = body.splitlines()
    prompt = "$ " if lines[0].startswith("$ ") else ""
    if not prompt and not _starts_a_program(lines[0]):
        return []
    found = []
    goes_on = False
    for line in lines:
        if goes_on:
            found[-1].text += f"\n{line}"
        elif line.startswith(prompt):
            found.append(Command(place, line.removeprefix(prompt)))
        else:
            found[-1].output.append(line)
            continue
        goes_on = line.endswith("\\") or found[-1].text.count("'") % 2 == 1
    return found


def _starts_a_program(line):
    word = line.split(maxsplit=1)[0]
    return bool(
        word in _PROGRAMS or _ASSIGNMENT.match(word) or shutil.which(word) is not None
    )


def make_recipe(target, root):
    """The project's programs that a target of the Makefile runs."""
    done = subprocess.run(
        ["make", "--always-make", "--dry-run", target],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.replace("\\\n", " ").splitlines()
    found = [re.search(r"python -m (?!pip|venv).*", line) for line in lines]
    return [Command(f"make {target}", match[0]) for match in found if match]


def refusals(commands, folder, log):
    """What the programs say of flags that they do not take; nothing is run.

    Args:
        commands: (module, arguments) of each; values of `--config.KEY` are checked too.
        folder: Where the files are that the configs name.
        log: File for what the programs print.

    Returns:
        (module, message) per command that is refused.
    """
    server.start()  # TensorFlow is imported already in what these are forked from
    found = []
    for module, arguments in commands:
        log.write_text("")
        process = server.CONTEXT.Process(
            target=_parse, args=(module, arguments, str(folder), str(log))
        )
        process.start()
        process.join(240)
        if process.exitcode != 0:
            found.append((module, log.read_text()[-1000:]))
    return found


def _parse(module, arguments, folder, log):
    """Runs a module up to where it would read its flags, and reads them."""
    with open(log, "w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(folder)
    binary.run = _read_flags
    server.start = lambda: None  # nothing is run, so none is forked from another server
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    raise SystemExit("the program does not start with spl_tf.binary.run")


def _read_flags(main, errors=()):
    del main, errors
    try:
        flags.FLAGS(sys.argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}")
        raise SystemExit(2) from None
    raise SystemExit(0)
