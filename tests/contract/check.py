"""Run in a process of its own: check our source, and the tests' doubles, against one TensorRT module."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path


def main(module_name: str, package: str) -> None:
    from tests.backends.trt_stubs import runtime_double
    from tests.contract.usage import check_source, double_problems

    module = import_module(module_name)
    report = check_source(sorted(Path(package).glob("*.py")), module)
    members = vars(runtime_double).values()
    doubles = [c for c in members if isinstance(c, type) and c.__module__ == runtime_double.__name__]
    found = {
        "version": module.__version__,
        "uses": sorted(report.uses),
        "problems": report.problems,
        "double": double_problems(doubles, module),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
