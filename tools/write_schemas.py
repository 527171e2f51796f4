"""Write the JSON Schemas that the package carries; a test says when that is due."""

from __future__ import annotations

from pathlib import Path

import yolotrt
from yolotrt.artifacts.files import write_text
from yolotrt.artifacts.schema import schema_name, schema_text
from yolotrt.workflow.documents import DOCUMENTS

FOLDER = Path(yolotrt.__file__).parent / "schemas"


def main() -> None:
    wanted = {FOLDER / schema_name(document): schema_text(document) for document in DOCUMENTS}
    for path in FOLDER.glob("*.schema.json"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        write_text(path, text)


if __name__ == "__main__":
    main()
