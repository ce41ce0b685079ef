"""Prints a secret of the fence agent, for its ``…_script`` parameters: so that it is in no configuration."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from . import machine


def main() -> None:
    """``fence-secret NAME``."""
    try:
        found = json.loads(Path(machine.ETC, "secrets/fence").read_text())
        print(found[sys.argv[1]])
    except (OSError, ValueError, KeyError, IndexError) as error:
        sys.exit(f"fence-secret: {type(error).__name__}: {error}")
