"""The command line's table of contents and its only error boundary."""

from __future__ import annotations

import errno
import functools
import gc
import inspect
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from yolotrt.cli.console import show_warnings, talk
from yolotrt.cli.habits import as_option, hint_for, rewritten, spaced_classes, value_of
from yolotrt.cli.libraries import missing_library
from yolotrt.distribution import __version__
from yolotrt.errors import EXIT_INTERRUPTED, StorageError, UsageError, YoloTrtError
from yolotrt.text import visible


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"yolotrt {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("-V", "--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="On stderr only warnings and errors.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="How long each step took; where an error comes from.")
    ] = False,
) -> None:
    """Hold the options that come before the verb."""
    talk.quiet, talk.verbose = quiet, verbose


_COMPLETING = "_YOLOTRT_COMPLETE"
"""Set by the shell when it asks how words may go on; they are in a variable of its own then."""

# One line each: the list of verbs has to fit a narrow terminal.
VERBS = (
    ("demo", "The complete job on a carried model."),
    ("download", "Exactly the COCO images needed, verified."),
    ("export", "Weights to ONNX."),
    ("calibrate", "Activation ranges for INT8, cached."),
    ("build", "Model to engine; exports and calibrates too."),
    ("bench", "Latency: tiled against global, over groups."),
    ("tune", "The fastest way that keeps budgets and accuracy."),
    ("compare", "Did it get slower? Two results."),
    ("report", "A page, Markdown or CSV from results."),
    ("eval", "Accuracy of engines, side by side."),
    ("predict", "What an engine finds in pictures and videos."),
    ("run", "Keep up with a video or camera."),
    ("batch", "Any number of inputs, by many workers."),
    ("serve", "An engine that others call over HTTP."),
    ("export-triton", "A repository for Triton."),
    ("profile", "Time per layer of a TensorRT engine."),
    ("scenes", "Synthetic 4K scenes with annotations."),
    ("mosaics", "Large annotated frames from small images."),
    ("inspect", "What is in a file."),
    ("doctor", "What works on this machine."),
)
"""Each verb, the function of its name in the module of its name, and what it does."""


@functools.cache
def application(verb: str) -> Callable[..., object]:
    """Return the program's commands, of which only one is read: reading all takes longer than many a call.

    Args:
        verb: The one that is called; of the others only the summaries are there. With any other word that
            holds for all of them.
    """
    app = typer.Typer(
        name="yolotrt",
        help="Make YOLO segmentation models fast on NVIDIA GPUs, and prove it.\n\n"
        "\b\nStart with:  yolotrt demo\nYour model:  yolotrt build yolo26n-seg.pt --int8 --images DIR\n"
        "             yolotrt bench --groups 1,2,4,8",
        epilog="-q and -v go before or behind the verb.\n\n"
        "Exit codes: 0 ok, 1 user or environment error, 2 usage, 3 a gate failed, 130 interrupted.",
        no_args_is_help=True,
        # Plain help needs no rich: `yolotrt --help` stays under a tenth of a second.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_root)
    for name, summary in VERBS:
        called = _function(name) if name == verb else _not_called
        # The docstrings write the marker of a paragraph that keeps its lines as two visible characters.
        text = inspect.cleandoc(called.__doc__ or "").replace("\\b\n", "\b\n")
        app.command(name, short_help=summary, help=text)(called)
    return get_command(app)


def _function(verb: str) -> Callable[..., None]:
    """Return the function of a verb; Python's own functions keep their names."""
    name = verb.replace("-", "_")
    module = import_module(f"yolotrt.cli.{name}")
    found: Callable[..., None] = getattr(module, f"{name}_", None) or getattr(module, name)
    return found


def _not_called() -> None:
    raise AssertionError("another verb was read than the one that is called")


def _verb_of(words: Sequence[str]) -> str:
    """Return the verb that the words call, also when it is a shell that asks how they may go on."""
    if _COMPLETING in os.environ:
        typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
        words = typed.split()[1:]
    return next((word for word in words if not word.startswith("-")), "")


def main() -> NoReturn:
    """Run the command line and exit.

    A :class:`YoloTrtError` becomes one line and a hint; every other exception is a bug and keeps its
    traceback. Ctrl-C ends with 130; files under their final names are complete at any moment.
    """
    # Imports make many objects and hardly any garbage: looking for some takes longer than many a call.
    gc.set_threshold(50_000)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # the terminal is closed; nohup has it ignored
        signal.signal(signal.SIGHUP, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a character that its encoding lacks is no reason to end
        sys.stdout.reconfigure(errors="backslashreplace")
    show_warnings()
    words = sys.argv[1:]
    try:
        if pair := as_option(words):
            raise UsageError(
                "Options have two dashes here, and no equals sign in between.",
                hint=_hint(words, *pair) or f"Type: {' '.join(pair)}".rstrip(),
            )
        if spaced := spaced_classes(words):
            raise UsageError(
                f"--classes takes one value: {spaced[1]} would be a source of frames.",
                hint=f"Type: --classes {spaced[0]}   (a source goes first, or behind --source)",
            )
        given = rewritten(words)
        code = application(_verb_of(given))(given, standalone_mode=False)
        if code == EXIT_INTERRUPTED:  # typer turns Ctrl-C inside a verb into this code
            raise KeyboardInterrupt
    except YoloTrtError as exc:
        if talk.verbose:
            _show_traceback(exc)
        _show(exc)
        _exit(exc.exit_code)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        _exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        _exit(1)
    except Exception as exc:
        if isinstance(exc, OSError) and (lost := _unwritten(exc)) is not None:
            _stop_writing()
            _show(lost)
            _exit(lost.exit_code)
        if _interrupted(exc):
            print("\ninterrupted", file=sys.stderr)
            _exit(EXIT_INTERRUPTED)
        if (fault := missing_library(exc)) is not None:
            _show(fault)
            _exit(fault.exit_code)
        _exit(_usage_error(exc, words))
    _exit(code if isinstance(code, int) else 0)


def _unwritten(exc: OSError) -> StorageError | None:
    """Return why stdout could not be written: errors of files have their names, and were told as such."""
    from yolotrt.artifacts.files import mapped_os_errors

    if exc.filename is not None or exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return None
    try:
        with mapped_os_errors(Path("stdout")):
            raise exc
    except StorageError as fault:
        return fault


def _interrupted(exc: BaseException | None) -> bool:
    """Return whether Ctrl-C is behind an error: an import that it breaks off says that it failed."""
    while exc is not None and not isinstance(exc, KeyboardInterrupt):
        exc = exc.__cause__ or exc.__context__
    return exc is not None


def _usage_error(exc: Exception, words: list[str]) -> int:
    """Show a usage error of typer's own; anything else is a bug and is shown with its traceback."""
    show = getattr(exc, "show", None)
    if not callable(show) or not hasattr(exc, "exit_code"):
        _show_traceback(exc)
        print(
            "This is a bug in yolotrt. Please report it with the output of: yolotrt doctor --json -",
            file=sys.stderr,
        )
        return 1
    said = io.StringIO()
    show(said)
    print(visible(said.getvalue(), keep="\n"), end="", file=sys.stderr)
    if here := _hint(words, getattr(exc, "option_name", "")) or _of_missing(exc):
        print(f"hint:  {here}", file=sys.stderr)
    return int(exc.exit_code)


def _hint(words: list[str], option: str, value: str | None = None) -> str | None:
    verb = _verb_of(words)
    command = getattr(application(verb), "commands", {}).get(verb)
    if command is not None and any(option in parameter.opts for parameter in command.params):
        return None  # it is an option of ours
    given = value_of(words, option) if value is None else value
    return hint_for(verb, option, {name for name, _ in VERBS}, given)


def _of_missing(exc: Exception) -> str | None:
    """Return what an option that was left out wants, if that is the error."""
    missing = getattr(exc, "param", None) if type(exc).__name__ == "MissingParameter" else None
    name, wants = next(iter(getattr(missing, "opts", ())), ""), getattr(missing, "help", None)
    return f"Add {name}: {wants}" if name.startswith("--") and wants else None


def _show_traceback(exc: Exception) -> None:
    import traceback

    print(visible("".join(traceback.format_exception(exc)), keep="\n"), file=sys.stderr)


def _show(exc: YoloTrtError) -> None:
    print(f"error: {visible(exc.message)}", file=sys.stderr)
    if exc.hint:  # some name two ways out, a line each
        print(f"hint:  {_lines(exc.hint)}", file=sys.stderr)


def _lines(text: str) -> str:
    """Return lines for stderr, so that none of them looks like another message."""
    return visible(text, keep="\n").replace("\n", "\n       ")


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _exit(code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except OSError as exc:  # the reader of our pipe has gone, or the disk is full
        _stop_writing()
        if not isinstance(exc, BrokenPipeError):
            _show(_unwritten(exc) or StorageError(f"Cannot write to stdout: {exc}."))
            code = code or StorageError.exit_code
    gc.freeze()  # on its way out the interpreter looks for garbage among all modules: memory that goes anyway
    sys.exit(code)


def _stop_writing() -> None:
    """Point stdout at nothing: what it still holds would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
