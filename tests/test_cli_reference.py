"""The reference of all options is what the program says of itself."""

from __future__ import annotations

from tools.cli_reference import TARGET, reference


def test_the_reference_is_up_to_date() -> None:
    assert TARGET.read_text() == reference(), "write it again with: python -m tools.cli_reference"
