"""Run the inspector, and for qcow2 QEMU's own reading, each in a process with limits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from stackling.drivers.local import inspector
from stackling.ports.images import Inspection

WALL_SECONDS = 60.0
FAILED = "could not be inspected within the limits of time and memory"


def inspect(path: Path, declared: str, virtual_size_cap: int) -> Inspection:
    """What the file at *path* is. Blocking; never raises for what the file holds."""
    found = _own(path, declared)
    if found.problem is None and found.virtual_size > virtual_size_cap:
        return Inspection(found.format, found.virtual_size,
                          f"holds a disk of {found.virtual_size} bytes; at most {virtual_size_cap} are allowed")
    if found.problem is None and found.format == "qcow2" and (qemu_img := shutil.which("qemu-img")):
        return _qemu(qemu_img, path, found)
    return found


def _own(path: Path, declared: str) -> Inspection:
    command = [sys.executable, "-I", "-S", "-B", inspector.__file__, declared]
    try:
        with path.open("rb") as file:
            done = subprocess.run(command, stdin=file, capture_output=True, timeout=WALL_SECONDS, check=False,
                                  env={"LC_ALL": "C.UTF-8"}, cwd="/")
    except subprocess.TimeoutExpired:
        return Inspection(declared, 0, FAILED)
    fields = done.stdout.decode("utf-8", "replace").rstrip("\n").split("\t")
    if done.returncode != 0 or len(fields) != 4 or not fields[1].isdigit():
        return Inspection(declared, 0, FAILED)
    format, size, kind, problem = fields
    return Inspection(format, int(size), problem or None, kind == "mismatch")


def _qemu(qemu_img: str, path: Path, found: Inspection) -> Inspection:
    """QEMU must read the same from it as we did. The format is always given, so that nothing is guessed."""
    command = [qemu_img, "info", "--output=json", "-f", found.format, str(path)]
    if prlimit := shutil.which("prlimit"):
        command = [prlimit, "--cpu=20", f"--as={2 << 30}", "--fsize=0", "--core=0", "--nofile=64", *command]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WALL_SECONDS, check=False,
                              env={"LC_ALL": "C.UTF-8"}, cwd="/")
        told: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    except (subprocess.TimeoutExpired, ValueError):
        return Inspection(found.format, 0, FAILED)
    if done.returncode != 0:
        return Inspection(found.format, 0, "can't be read by QEMU")
    details = told.get("format-specific", {}).get("data", {})
    if told.get("backing-filename") or told.get("full-backing-filename") or details.get("data-file"):
        return Inspection(found.format, 0, "depends on another file")
    if told.get("format") != found.format or told.get("virtual-size") != found.virtual_size:
        return Inspection(found.format, 0, "is read by QEMU as something else")
    return found
