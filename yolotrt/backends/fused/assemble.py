"""From a planned network to an engine file: tiles are chosen, kernels compiled, everything put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from yolotrt.backends.base import Layer
from yolotrt.backends.fused.arguments import KernelLaunch, WeightsBlob
from yolotrt.backends.fused.compile import compile_all
from yolotrt.backends.fused.cost import cost_of
from yolotrt.backends.fused.file import FusedFile, KernelCode, Program, Start
from yolotrt.backends.fused.frame_stem import every_step, frame_stems
from yolotrt.backends.fused.launch_integers import types_of
from yolotrt.backends.fused.launches import Launcher
from yolotrt.backends.fused.schedule import schedule
from yolotrt.backends.fused.steps import Conv, Grow, Network, Stem, Step
from yolotrt.backends.fused.tiles import Tile, candidates
from yolotrt.backends.fused.variants import Code, Variant, variant_of
from yolotrt.backends.profiles import Profile
from yolotrt.errors import BuildError
from yolotrt.progress import Progress, no_progress

Choices = Mapping[tuple[str, int], Sequence[Tile]]
"""For target and batch size: a tile per step."""


MOST_TRIED = 8
"""Tiles that are compiled because their numbers do not fit into registers: large selections never do."""


class Tuner(Protocol):
    """Measures which tiles are fastest on the GPU at hand.

    Attributes:
        target: That GPU, such as ``sm_90``.
    """

    target: str

    @property
    def codes(self) -> Mapping[tuple[Variant, str], Code]:
        """Machine code of all that was timed."""
        ...

    def tune(self, network: Network, batches: Sequence[int], progress: Progress) -> Choices:
        """Return the fastest tile of every step, for each batch size."""
        ...


def assemble(
    network: Network,
    targets: Sequence[str],
    profiles: Sequence[Profile],
    tuner: Tuner | None = None,
    progress: Progress = no_progress,
) -> FusedFile:
    """Return an engine.

    Args:
        network: The network, placed in its arena.
        targets: GPUs to compile for, such as ``sm_90``.
        profiles: Batch sizes.
        tuner: Chooses tiles for its own target; the others get what is plausible.
        progress: Told about each step of the build.

    Raises:
        MissingDependency: Triton is not installed.
        BuildError: A kernel cannot be compiled for a target.
    """
    weights = WeightsBlob()
    launcher = Launcher(network, weights)
    best = sorted({p.best for p in profiles})
    codes: dict[tuple[Variant, str], Code] = {}
    tuned: Choices = {}
    if tuner is not None and tuner.target in targets:
        tuned = tuner.tune(network, best, progress)
        codes |= tuner.codes
    plans: dict[tuple[str, int], list[KernelLaunch]] = {}
    untuned = [(t, b) for t in targets for b in best if (t, b) not in tuned]
    plausible(network, launcher, untuned, plans, codes, progress)
    for (target, batch), tiles in tuned.items():
        plans[target, batch] = [
            launcher.launch(step, tile) for step, tile in zip(every_step(network), tiles, strict=True)
        ]
    wanted = [(variant_of(launch), target) for (target, _), plan in plans.items() for launch in plan]
    missing = [task for task in dict.fromkeys(wanted) if task not in codes]
    codes |= compile_all(missing, lambda done, count: progress("compile kernels", done, count))
    return _put_together(network, targets, profiles, plans, codes, weights)


def plausible(
    network: Network,
    launcher: Launcher,
    wanted: Sequence[tuple[str, int]],
    plans: dict[tuple[str, int], list[KernelLaunch]],
    codes: dict[tuple[Variant, str], Code],
    progress: Progress,
) -> None:
    """Choose for every step the most plausible tile whose kernel fits the target, its numbers into registers.

    Args:
        network: The network.
        launcher: Writes its launches.
        wanted: Targets and batch sizes.
        plans: Gets the launches of each.
        codes: Gets their machine code.
        progress: Told how many kernels are compiled.

    Raises:
        BuildError: None of a step's tiles fits.
    """
    options = {
        (target, batch, i): [launcher.launch(step, tile) for tile in candidates(step, batch)]
        for target, batch in wanted
        for i, step in enumerate(every_step(network))
    }
    chosen = dict.fromkeys(options, 0)
    pending = set(options)
    while pending:
        tasks = [(variant_of(options[key][chosen[key]]), key[0]) for key in pending]
        fresh = [task for task in dict.fromkeys(tasks) if task not in codes]
        codes |= compile_all(
            fresh, lambda done, count: progress("compile kernels", done, count), lenient=True
        )
        found = {
            key: [codes.get((variant_of(launch), key[0])) for launch in options[key][: chosen[key] + 1]]
            for key in pending
        }
        pending = {key for key in pending if not _fits(found[key]) and chosen[key] + 1 < len(options[key])}
        for key, tried in found.items():
            if key in pending:
                chosen[key] += 1
                continue
            stacks = {code.stack: i for i, code in reversed([*enumerate(tried)]) if code}
            if not stacks:
                name = every_step(network)[key[2]].name
                raise BuildError(f"No kernel for {name} can be compiled for {key[0]}.")
            chosen[key] = stacks[min(stacks)]
    for target, batch in wanted:
        plans[target, batch] = [
            options[target, batch, i][chosen[target, batch, i]] for i in range(len(every_step(network)))
        ]


def _fits(tried: Sequence[Code | None]) -> bool:
    """Whether no further tile has to be tried: the last one fits, or several others are no better."""
    codes = [code for code in tried if code]
    return bool(codes) and (codes[-1].stack == 0 or len(codes) == MOST_TRIED)


def layers_of(network: Network, reasons: Mapping[str, str] = MappingProxyType({})) -> tuple[Layer, ...]:
    """Return the network's steps as every backend tells them.

    Args:
        network: The network.
        reasons: Why convolutions are not INT8, by the step's name.
    """
    return tuple(_layer(network, step, reasons.get(step.name, "")) for step in network.steps)


def _layer(network: Network, step: Step, reason: str) -> Layer:
    kind = type(step).__name__.lower()
    if isinstance(step, Grow):
        kind = "grow (transposed convolution, 3x3, 1x1 behind)"
    if isinstance(step, Conv):
        parts = [f"{step.kernel}x{step.kernel}"]
        parts += ["1x1 behind"] if step.point else []
        parts += ["residual"] if step.residual else []
        kind = f"conv ({', '.join(parts)})"
    kind += f"; not INT8: {reason}" if reason else ""
    inputs, weights, outputs = types_of(network, step)
    return Layer(step.name, kind, inputs, weights, outputs, step.nodes)


def _put_together(
    network: Network,
    targets: Sequence[str],
    profiles: Sequence[Profile],
    plans: Mapping[tuple[str, int], Sequence[KernelLaunch]],
    codes: Mapping[tuple[Variant, str], Code],
    weights: WeightsBlob,
) -> FusedFile:
    turns = schedule(network)
    costs = [cost_of(network, step) for step in every_step(network)]
    stems = frame_stems(network)
    replaced = next((i for i, step in enumerate(network.steps) if type(step) is Stem), 0)
    turns += [turns[replaced]] * len(stems)
    numbers: dict[tuple[Variant, str], int] = {}
    programs = []
    for target in targets:
        for profile in profiles:
            starts = []
            plan = zip(plans[target, profile.best], turns, costs, strict=True)
            for launch, turn, cost in plan:
                number = numbers.setdefault((variant_of(launch), target), len(numbers))
                args = tuple(arg for arg in launch.args.values() if arg is not None)
                starts.append(
                    Start(launch.step, number, args, launch.work, launch.each, launch.times, turn.stream,
                          turn.waits, cost.nbytes, cost.operations)
                )  # fmt: skip
            split = len(network.steps)
            kinds: list[str] = [stem.kind for stem in stems]
            frames = {k: (replaced, start) for k, start in zip(kinds, starts[split:], strict=True)}
            mine = tuple(starts[:split])
            programs.append(Program(target, profile.smallest, profile.largest, mine, frames))
    kernels = tuple(
        KernelCode(codes[task].cubin, codes[task].name, codes[task].threads, codes[task].shared)
        for task in numbers
    )
    return FusedFile(
        input_hw=network.input_hw,
        head=network.head[1],
        protos=network.protos[1],
        arena_nbytes=network.arena_nbytes,
        programs=tuple(programs),
        kernels=kernels,
        weights=weights.data(),
        ahead=network.ahead,
    )
