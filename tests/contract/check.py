"""Run in a process of its own: check our source, and the tests' doubles, against one TensorRT module."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path


def main(module_name: str, package: str) -> None:
    from tests.backends.trt_stubs import builder_double, rtx_double, runtime_double
    from tests.contract.usage import check_source, double_problems

    module = import_module(module_name)
    report = check_source(sorted(Path(package).glob("*.py")), module)
    doubles = [
        member
        for double in ([rtx_double] if module_name == "tensorrt_rtx" else [runtime_double, builder_double])
        for member in vars(double).values()
        if isinstance(member, type) and member.__module__ == double.__name__
    ]
    classes = {name: found for name, found in vars(module).items() if isinstance(found, type)}
    found = {
        "version": module.__version__,
        "uses": sorted(report.uses),
        "sites": sorted(report.sites),
        "members": sorted({*classes, *(n for c in classes.values() for n in dir(c))}),
        "problems": report.problems,
        "double": double_problems(doubles, module),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
