"""An engine file: a header in JSON, all weights, and machine code for each kernel and target.

Layout: eight bytes :data:`MAGIC`, the header's length as eight bytes (little endian), the header, then the
blocks that it names by offset and size, counted from the end of the header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yolotrt.backends.fused.arguments import Address, Arg, Count, Given

MAGIC = b"YTFUSED1"
_ALIGN = 256


class Damaged(Exception):
    """The bytes are no engine, or not all of one."""


@dataclass(frozen=True)
class Start:
    """A kernel's start for any batch of a program.

    Attributes:
        step: Name of the step.
        kernel: Index of the kernel.
        args: Those that the compiler left, in order.
        work: See :class:`.arguments.KernelLaunch`.
        each: Likewise.
        times: Likewise.
        stream: Where it runs; 0 is the caller's stream.
        waits: Starts of other streams that must have ended.
        nbytes: To move at least, for one image.
        operations: To compute, for one image.
    """

    step: str
    kernel: int
    args: tuple[Arg, ...]
    work: int
    each: int
    times: int
    stream: int
    waits: tuple[int, ...]
    nbytes: int
    operations: int

    def programs(self, batch: int) -> int:
        """Return the number of programs for a batch."""
        return -(-self.work * batch // self.each) * self.times


@dataclass(frozen=True)
class Program:
    """Everything that runs for batches of one profile on one target.

    Attributes:
        target: Such as ``sm_90``.
        smallest: Smallest batch.
        largest: Largest batch.
        starts: In order.
        frames: By how images lie in a frame: the start that reads it, and which of ``starts`` it replaces.
    """

    target: str
    smallest: int
    largest: int
    starts: tuple[Start, ...]
    frames: Mapping[str, tuple[int, Start]] = field(default_factory=dict)


@dataclass(frozen=True)
class KernelCode:
    """A compiled kernel.

    Attributes:
        cubin: Machine code.
        name: Of the function in it.
        threads: Per program.
        shared: Bytes of dynamic shared memory.
    """

    cubin: bytes
    name: str
    threads: int
    shared: int


@dataclass(frozen=True)
class FusedFile:
    """What an engine file holds.

    Attributes:
        input_hw: Height and width of the input.
        head: Shape of the detection head for one image.
        protos: Shape of the prototypes for one image.
        arena_nbytes: Scratch memory for one image.
        ahead: Starts of every program that can be made for some images before the others are there.
        programs: By target and profile.
        kernels: Of all programs.
        weights: All constants.
    """

    input_hw: tuple[int, int]
    head: tuple[int, ...]
    protos: tuple[int, ...]
    arena_nbytes: int
    programs: tuple[Program, ...]
    kernels: tuple[KernelCode, ...]
    weights: bytes
    ahead: int = 0

    @property
    def targets(self) -> tuple[str, ...]:
        """GPUs that it holds code for."""
        return tuple(dict.fromkeys(p.target for p in self.programs))


def write(file: FusedFile) -> bytes:
    """Return an engine as bytes."""
    blocks: list[bytes] = []
    size = 0

    def add(data: bytes) -> list[int]:
        nonlocal size
        at = size
        blocks.append(data + bytes(-len(data) % _ALIGN))
        size += len(blocks[-1])
        return [at, len(data)]

    header = {
        "input_hw": file.input_hw,
        "head": file.head,
        "protos": file.protos,
        "arena_nbytes": file.arena_nbytes,
        "ahead": file.ahead,
        "weights": add(file.weights),
        "kernels": [[*add(k.cubin), k.name, k.threads, k.shared] for k in file.kernels],
        "programs": [_program_out(p) for p in file.programs],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(MAGIC) + 8 + len(text)) % _ALIGN)
    return b"".join([MAGIC, len(text).to_bytes(8, "little"), text, *blocks])


def read(data: bytes) -> FusedFile:
    """Return what an engine's bytes hold.

    Raises:
        Damaged: They are no engine of this format.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise Damaged("it does not begin like one")
    begin = len(MAGIC) + 8
    end = begin + int.from_bytes(data[len(MAGIC) : begin], "little")
    try:
        header = json.loads(data[begin:end])

        def block(at: int, size: int) -> bytes:
            if not 0 <= at <= at + size <= len(data) - end:
                raise Damaged("it is cut off")
            return data[end + at : end + at + size]

        kernels = tuple(
            KernelCode(block(at, size), name, threads, shared)
            for at, size, name, threads, shared in header["kernels"]
        )
        return FusedFile(
            input_hw=tuple(header["input_hw"]),
            head=tuple(header["head"]),
            protos=tuple(header["protos"]),
            arena_nbytes=header["arena_nbytes"],
            programs=tuple(_program_in(p) for p in header["programs"]),
            kernels=kernels,
            weights=block(*header["weights"]),
            ahead=header.get("ahead", 0),
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise Damaged(f"its header cannot be read: {exc}") from exc


def _program_out(program: Program) -> dict[str, Any]:
    return {
        "target": program.target,
        "smallest": program.smallest,
        "largest": program.largest,
        "starts": [_start_out(s) for s in program.starts],
        "frames": {kind: [index, _start_out(s)] for kind, (index, s) in program.frames.items()},
    }


def _start_out(s: Start) -> list[Any]:
    args = [_arg_out(a) for a in s.args]
    return [s.step, s.kernel, args, s.work, s.each, s.times, s.stream, s.waits, s.nbytes, s.operations]


def _program_in(given: Mapping[str, Any]) -> Program:
    starts = tuple(_start_in(start) for start in given["starts"])
    frames = {kind: (index, _start_in(start)) for kind, (index, start) in given.get("frames", {}).items()}
    return Program(given["target"], given["smallest"], given["largest"], starts, frames)


def _start_in(given: Sequence[Any]) -> Start:
    step, kernel, args, work, each, times, stream, waits, size, ops = given
    found = tuple(_arg_in(a) for a in args)
    return Start(step, kernel, found, work, each, times, stream, tuple(waits), size, ops)


def _arg_out(arg: Arg) -> list[Any]:
    if isinstance(arg, Address):
        return [arg.space, arg.element, arg.per_image, arg.fixed, arg.item]
    if isinstance(arg, Given):
        return [arg.name]
    assert arg is not None
    return [arg.per_image, arg.fixed]


def _arg_in(given: Sequence[Any]) -> Arg:
    return {1: Given, 2: Count, 4: Address, 5: Address}[len(given)](*given)  # type: ignore[no-any-return]
