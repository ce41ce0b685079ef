"""The config drive: an ISO 9660 image labelled ``config-2``, as cloud-init's ConfigDrive source reads it.

Layout: https://docs.openstack.org/nova/latest/user/metadata.html#config-drives (openstack/latest and ec2/latest).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from stackling.ports.document import MetadataDocument
from stackling.ports.hypervisor import HypervisorError

LABEL = "config-2"
VERSIONS = ("latest", "2018-08-27")
PROGRAMS = (("genisoimage",), ("mkisofs",), ("xorriso", "-as", "mkisofs"))
TIMEOUT = 20.0


def files(metadata: MetadataDocument, seed: str) -> dict[str, bytes]:
    """Path inside the drive → content. Pure. *seed*: 512 random bytes in base64."""
    user_data = base64.b64decode(metadata.user_data) if metadata.user_data else None
    shown: dict[str, bytes] = {}
    meta_data = {"random_seed": seed, **metadata.meta_data}
    if metadata.files:
        meta_data["files"] = [{"path": file.path, "content_path": f"/content/{number:04d}"}
                              for number, file in enumerate(metadata.files)]
        shown |= {f"openstack/content/{number:04d}": base64.b64decode(file.contents)
                  for number, file in enumerate(metadata.files)}
    for version in VERSIONS:
        shown[f"openstack/{version}/meta_data.json"] = _json(meta_data)
        shown[f"openstack/{version}/network_data.json"] = _json(metadata.network_data)
        shown[f"openstack/{version}/vendor_data.json"] = _json(metadata.vendor_data)
        shown[f"openstack/{version}/vendor_data2.json"] = _json({"static": metadata.vendor_data})
        if user_data is not None:
            shown[f"openstack/{version}/user_data"] = user_data
    ec2 = {key: value for key, value in metadata.ec2.items() if key != "user-data"}
    shown["ec2/latest/meta-data.json"] = _json(ec2)
    if user_data is not None:
        shown["ec2/latest/user-data"] = user_data
    return shown


def make(metadata: MetadataDocument, target: Path) -> None:
    """Write the drive to *target*. Raises ``HypervisorError``."""
    program = next((program for program in PROGRAMS if shutil.which(program[0])), None)
    if program is None:
        raise HypervisorError("no program that makes ISO images is installed on this host: run ./setup (genisoimage)")
    with tempfile.TemporaryDirectory(prefix="config-drive-", dir=target.parent) as directory:
        for name, content in files(metadata, base64.b64encode(os.urandom(512)).decode()).items():
            path = Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        command = [*program, "-o", str(target), "-ldots", "-allow-lowercase", "-allow-multidot", "-l", "-quiet", "-J",
                   "-r", "-V", LABEL, directory]
        if program[0] == "xorriso":
            command = [word for word in command if word not in ("-ldots", "-allow-lowercase", "-allow-multidot")]
        try:
            done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            raise HypervisorError(f"{program[0]} took longer than {TIMEOUT:g} s") from None
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip().splitlines()
            raise HypervisorError(f"the config drive can't be made: {words[-1] if words else program[0]}")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
