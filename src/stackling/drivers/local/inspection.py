"""Run the inspector, and for qcow2 QEMU's own reading, each in a process with limits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
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
        return _too_large(found, virtual_size_cap)
    if found.problem is None and found.format == "qcow2" and (qemu_img := shutil.which("qemu-img")):
        return _qemu(qemu_img, ["-f", found.format, str(path)], found)
    return found


def inspect_remote(read: Callable[[int, int], bytes], size: int, source: str, declared: str,
                   virtual_size_cap: int) -> Inspection:
    """The same for *size* bytes that *read* (offset, length) gives, and that QEMU finds as the block driver options
    *source*. Raises what *read* raises."""
    found = _own_remote(read, size, declared)
    if found.problem is None and found.virtual_size > virtual_size_cap:
        return _too_large(found, virtual_size_cap)
    if found.problem is None and found.format == "qcow2" and (qemu_img := shutil.which("qemu-img")):
        return _qemu(qemu_img, ["--image-opts", f"driver=qcow2,{source}"], found)
    return found


def _inspector(*arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-B", inspector.__file__, *arguments]


def _own(path: Path, declared: str) -> Inspection:
    command = _inspector(declared)
    try:
        with path.open("rb") as file:
            done = subprocess.run(command, stdin=file, capture_output=True, timeout=WALL_SECONDS, check=False,
                                  env={"LC_ALL": "C.UTF-8"}, cwd="/")
    except subprocess.TimeoutExpired:
        return Inspection(declared, 0, FAILED)
    return _found(done.stdout, declared) if done.returncode == 0 else Inspection(declared, 0, FAILED)


def _own_remote(read: Callable[[int, int], bytes], size: int, declared: str) -> Inspection:
    process = subprocess.Popen(_inspector(declared, str(size)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env={"LC_ALL": "C.UTF-8"}, cwd="/")
    late = threading.Timer(WALL_SECONDS, process.kill)
    late.start()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            for line in process.stdout:
                if not line.startswith(b"read "):
                    return _found(line, declared)
                offset, length = map(int, line.split()[1:3])
                process.stdin.write(read(offset, length))
                process.stdin.flush()
    finally:
        late.cancel()
        process.kill()
        process.communicate()
    return Inspection(declared, 0, FAILED)


def _found(words: bytes, declared: str) -> Inspection:
    fields = words.decode("utf-8", "replace").rstrip("\n").split("\t")
    if len(fields) != 4 or not fields[1].isdigit():
        return Inspection(declared, 0, FAILED)
    format, size, kind, problem = fields
    return Inspection(format, int(size), problem or None, kind == "mismatch")


def _too_large(found: Inspection, most: int) -> Inspection:
    return Inspection(found.format, found.virtual_size,
                      f"holds a disk of {found.virtual_size} bytes; at most {most} are allowed")


def _qemu(qemu_img: str, image: Sequence[str], found: Inspection) -> Inspection:
    """QEMU must read the same from it as we did. The format is always given, so that nothing is guessed."""
    command = [qemu_img, "info", "--output=json", *image]
    if prlimit := shutil.which("prlimit"):
        command = [prlimit, "--cpu=20", f"--as={4 << 30}", "--fsize=0", "--core=0", "--nofile=64", *command]
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
