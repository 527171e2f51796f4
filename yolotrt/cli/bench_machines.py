"""``yolotrt bench --ray``: the same sweep on every machine of a cluster, results apart."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from yolotrt.cli.bench_steps import show_result
from yolotrt.cli.console import say, tell
from yolotrt.cli.outputs import claim_outputs
from yolotrt.errors import ExecutionError, GateFailed, GateUndecided, UsageError

TAKEN = ("--ray", "-o", "--output", "--json")
"""Options that are this machine's; all others are the measurement's."""


def bench_machines(
    ray: str,
    output: Path | None,
    read: list[Path],
    here: Mapping[str, object],
    *,
    cpus: int,
    overwrite: bool,
) -> None:
    """Measure on every machine, and write a result for each: ``result.json`` becomes ``result-MACHINE.json``.

    Args:
        ray: The cluster.
        output: What ``--output`` named.
        read: Engines and what else is read.
        here: Options that are for one machine, and what was given for them.
        cpus: Processors of a cluster of its own.
        overwrite: Replace files of others, too.

    Raises:
        UsageError: No output was named, or an option that is for one machine.
        StorageError: A result cannot be written, or would replace something else.
        ExecutionError: It failed on a machine; results of the others are written.
        GateFailed: A budget was missed on one.
        GateUndecided: Some machine could not tell.
    """
    from yolotrt.artifacts.claims import Output
    from yolotrt.artifacts.files import write_text
    from yolotrt.bench.result import RESULT, read_result
    from yolotrt.scale.measuring import machines, without

    if given := [option for option, value in here.items() if value]:
        raise UsageError(
            f"{given[0]} does not go with --ray.", hint="Then: yolotrt report result-*.json --html p.html"
        )
    if output is None:
        raise UsageError(
            "--ray needs --output: each machine has a result of its own.", hint="Add -o result.json"
        )
    words = [*without(sys.argv[1:], *TAKEN), "--json", "-"]
    missed: list[str] = []
    undecided: list[str] = []
    failed: list[str] = []
    with machines(ray, cpus=cpus) as there:
        targets = {name: output.with_name(f"{output.stem}-{name}{output.suffix}") for name in there.names}
        claim_outputs(
            [Output("-o", target, RESULT) for target in targets.values()], read, overwrite=overwrite
        )
        for found in there.run(words, say):
            if not found.out.strip():
                said = [line for line in found.err.splitlines() if line.startswith("error: ")]
                failed.append(f"{found.machine}: {said[0].removeprefix('error: ') if said else 'it failed.'}")
                continue
            result = read_result(write_text(targets[found.machine], found.out))
            tell(f"{found.machine}:")
            show_result(result, None)
            say(f"result: {targets[found.machine]}")
            if found.code:
                (missed if found.code == GateFailed.exit_code else undecided).append(found.machine)
    if failed:
        raise ExecutionError(failed[0], hint="Engines and sources need the same paths on every machine.")
    if missed:
        raise GateFailed(f"A budget was missed on {', '.join(missed)}.", hint="Results say by how much.")
    if undecided:
        raise GateUndecided(
            f"Undecided on {', '.join(undecided)}.", hint="Measure more frames, on a machine with less to do."
        )
