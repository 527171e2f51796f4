"""Running the command line in this process, with its real error boundary."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@functools.cache
def _command() -> Any:
    """Return the program's commands: to read all options again takes longer than many a call."""
    from typer.main import get_command

    from yolotrt.cli.app import app

    return get_command(app)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run ``yolotrt ARGUMENTS`` in an empty folder, as a newcomer would."""
    from yolotrt.cli.app import main

    monkeypatch.setattr("yolotrt.cli.app.app", _command())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr("sys.argv", ["yolotrt", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        code = left.value.code
        return Done(code if isinstance(code, int) else 1, printed.out, printed.err)

    return run
