"""Backends by name, imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Literal, cast

from yolotrt.backends.base import Availability, Backend, Precision
from yolotrt.backends.names import CLASSES, NAMES
from yolotrt.errors import EnvironmentFault, UsageError


def backend(name: str) -> Backend:
    """Return a backend by name.

    Raises:
        UsageError: There is none of this name.
    """
    if name not in CLASSES:
        raise UsageError(f"There is no backend {name!r}.", hint=f"Choose from: auto, {', '.join(NAMES)}.")
    module, _, attribute = CLASSES[name].partition(":")
    return cast(Backend, getattr(import_module(module), attribute)())


def engine_endings(name: str) -> tuple[str, ...]:
    """Return what default names of a backend's engines end with: now, and as earlier versions had it.

    Those named a backend twice whose suffix is its name.
    """
    suffix = backend(name).suffix
    former = f".{name}{suffix}"
    return (suffix, former) if suffix == f".{name}" else (former,)


def packages() -> tuple[str, ...]:
    """Return the distributions that results of any backend depend on."""
    return tuple(dict.fromkeys(package for name in NAMES for package in backend(name).packages))


def availabilities() -> dict[str, Availability]:
    """Return what each backend says about itself on this machine, in order of preference."""
    return {name: backend(name).availability() for name in NAMES}


def choose(
    name: str, purpose: Literal["run", "build"] = "run", precision: Precision | None = None
) -> tuple[Backend, str]:
    """Resolve ``auto`` or a name to a usable backend and the reason for the choice.

    ``auto`` takes only what can run here, and builds only what it can run in the precision that is asked for;
    a backend asked for by name may build for another machine.

    Args:
        name: A backend, or ``auto``.
        purpose: What it is wanted for.
        precision: What it is to build; None stands for any network.

    Raises:
        UsageError: There is none of this name.
        EnvironmentFault: The backend asked for does not work here.
    """
    names = tuple(NAMES) if name == "auto" else (name,)
    why = ""
    for candidate in names:
        found = backend(candidate)
        if name == "auto" and (precision or "fp32") not in found.precisions:
            continue
        state = found.availability()
        if name == "auto" and purpose == "build" and state.usable and not state.builds:
            why += f"{candidate}: {state.reason.rstrip('.')}. "
            continue
        if state.usable or (purpose == "build" and name != "auto" and state.builds):
            measured = f"; {found.measured}" if name == "auto" and found.measured else ""
            return found, state.reason + measured
        if name != "auto":
            reason = state.reason.rstrip(".")
            raise EnvironmentFault(
                f"{name} cannot be used here: {reason}.", hint=state.hint or "See: yolotrt doctor"
            )
        why += f"{candidate}: {state.reason.rstrip('.')}. "
    raise EnvironmentFault(f"No usable backend. {why.strip()}", hint="See: yolotrt doctor")
