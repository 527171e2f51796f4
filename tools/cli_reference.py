"""Write docs/cli.md, the reference of all options, from the help of the program itself.

    python -m tools.cli_reference

A test fails when it is out of date.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

COLUMNS = 110
TARGET = Path(__file__).parents[1] / "docs" / "cli.md"
HEAD = """# All options

What `yolotrt --help` and `yolotrt VERB --help` print.

"""
EXIT_CODES = {
    0: "it is done, and each gate that was asked for is held",
    1: "an input is missing, damaged or not what is wanted; an output would replace files of yours or "
    "mix with them; a package, a device, memory or disk is missing; a gate cannot be judged (`bench`, "
    "`report`, `compare`, `eval`: `--undecided pass` makes that 0); `download --verify` found a difference",
    2: "the words make no sense: an unknown option or value, options that exclude each other, an output that "
    "is an input",
    3: "a gate failed: `--budget` of `bench`, `demo`, `report`, `tune`; `--fail-on` of `compare` (3 % unless "
    "another is given); `--max-drop` of `eval` and `build`",
    130: "interrupted by Ctrl-C or SIGTERM; files under their own names are complete",
}
"""What the errors of ``yolotrt/errors.py`` end with, in the words of the verbs."""


def help_of(*words: str) -> str:
    """Return what the program prints for ``yolotrt WORDS --help``."""
    from yolotrt.cli.app import application

    said = io.StringIO()
    before = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR")}
    os.environ |= {"COLUMNS": str(COLUMNS), "NO_COLOR": "1"}
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            application("".join(words))([*words, "--help"], prog_name="yolotrt", standalone_mode=False)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    return "".join(f"{line.rstrip()}\n" for line in said.getvalue().strip().splitlines())


def reference() -> str:
    """Return the whole page."""
    from yolotrt.cli.app import VERBS

    parts = [f"```text\n{help_of()}```\n"]
    parts += [f"## {name}\n\n```text\n{help_of(name)}```\n" for name, *_ in VERBS]
    codes = "".join(f"| {code} | {when} |\n" for code, when in EXIT_CODES.items())
    table = f"## Exit codes\n\nThe same for every verb.\n\n| code | when |\n| ---: | --- |\n{codes}\n"
    return HEAD + table + "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(reference())
    print(TARGET)
