"""What TensorRT says: to a file, warnings to stderr, errors kept for the exception."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from yolotrt.artifacts.files import atomic_target
from yolotrt.text import visible

if TYPE_CHECKING:
    import tensorrt as trt

_ERRORS = ("INTERNAL_ERROR", "ERROR")


@dataclass
class Said:
    """What was said during one piece of work.

    Attributes:
        errors: Error messages, in order, each once.
        layers: The layer report that some builds print, one layer a line.
    """

    errors: list[str] = field(default_factory=list)
    layers: str = ""

    def first_error(self) -> str:
        """Return the first line of the first error: the cause of those that follow."""
        return self.errors[0].splitlines()[0] if self.errors else "it gave no reason"


class MessageLog:
    """Receives every message of one library; TensorRT calls it from several threads."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._lock = threading.Lock()
        self._said = Said()
        self._warned: set[str] = set()
        self._stream: TextIO | None = None
        self._interrupted = False

    def __call__(self, severity: str, message: str) -> None:
        """Take one message."""
        with self._lock:
            if self._stream is not None:
                self._stream.write(f"[{severity}] {message}\n")
            if severity in _ERRORS and message not in self._said.errors:
                self._said.errors.append(message)
            if severity == "WARNING":
                self._warn(message)
            if message.startswith("Layers:"):
                self._said.layers = message

    def interrupt(self) -> None:
        """Note that Ctrl-C arrived while a message was taken; the session ends with it."""
        self._interrupted = True

    def warn(self, message: str) -> None:
        """Say a warning of our own, in the same way."""
        with self._lock:
            self._warn(message)

    def forget(self) -> None:
        """Begin anew outside a session: what comes next has its own errors."""
        with self._lock:
            self._said = Said()

    def last_error(self) -> str:
        """Return the first line of the newest error, for one-line messages."""
        with self._lock:
            return self._said.errors[-1].splitlines()[0] if self._said.errors else "it gave no reason"

    @contextlib.contextmanager
    def session(self, file: Path | None = None) -> Iterator[Said]:
        """Collect what is said while the block runs, and write all of it to ``file``.

        The file is complete under its name also when the block fails: then it is wanted most.

        Raises:
            StorageError: The file cannot be written.
            KeyboardInterrupt: Ctrl-C arrived inside TensorRT, which dropped it.
        """
        with self._lock:
            self._said = said = Said()
            self._warned.clear()
            self._interrupted = False
        with self._written_to(file):
            yield said
        if self._interrupted:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def _written_to(self, file: Path | None) -> Iterator[None]:
        if file is None:
            yield
            return
        failure: BaseException | None = None
        with atomic_target(file) as part, part.open("w", encoding="utf-8") as stream:
            self._stream = stream
            try:
                yield
            except BaseException as exc:
                failure = exc
            finally:
                with self._lock:
                    self._stream = None
        if failure is not None:
            raise failure

    def _warn(self, message: str) -> None:
        """Print a warning once, on one line; TensorRT repeats some of them for every layer."""
        message = " ".join(message.split())
        if message not in self._warned:
            self._warned.add(message)
            print(f"warning: {self._title}: {visible(message)}", file=sys.stderr, flush=True)


def new_logger(api: Any, log: MessageLog) -> trt.ILogger:
    """Return a TensorRT logger that passes everything on to ``log``.

    An exception must not travel through TensorRT's own frames, so what goes wrong here is dropped; the
    bindings would drop Ctrl-C too, which is therefore noted.
    """

    class Logger(api.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            api.ILogger.__init__(self)

        def log(self, severity: trt.ILogger.Severity, message: str) -> None:
            try:
                log(severity.name, message)
            except KeyboardInterrupt:
                log.interrupt()
            except Exception:
                return

    return Logger()
