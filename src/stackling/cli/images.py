"""The image that every cloud starts with."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from stackling.cli import output
from stackling.cli.client import Client
from stackling.cli.problem import Problem

IMAGE = "tiny"


def ensure_image(client: Client, steps: output.Steps, *, simulated: bool) -> None:
    """The image ``tiny``, public; built from Debian's packages where it is missing."""
    known = client.get("image", "/images", name=IMAGE, owner=client.project_id)["images"]
    if any(image["status"] == "active" for image in known):
        return
    with tempfile.TemporaryDirectory(prefix="stackling-") as folder:
        file, facts = Path(folder) / IMAGE, dict[str, Any]()
        if simulated:
            file.write_bytes(bytes(1 << 20))
            facts = {"disk_format": "raw"}
        else:
            with steps.step("image tiny is built"):
                facts = _build(file)
        with steps.step("image tiny is uploaded"):
            for left in known:                      # of an upload that was interrupted
                client.delete("image", f"/images/{left['id']}")
            made = client.post("image", "/images", {
                "name": IMAGE, "container_format": "bare", "visibility": "public", **facts})
            with file.open("rb") as data:
                client.call("PUT", "image", f"/images/{made['id']}/file", data, content="application/octet-stream")


def _build(file: Path) -> dict[str, Any]:
    from stackling.deploy.guest import build, packages

    try:
        image = build.build(file)
    except packages.PackageError as error:
        raise Problem(f"the guest image can't be built: {error}") from None
    except subprocess.CalledProcessError as error:
        raise Problem(f"the guest image can't be built: {error}: {str(error.stderr).strip()[-200:]}") from None
    return {"disk_format": image.disk_format, "min_ram": image.min_ram_mib, "os_admin_user": image.login,
            "hw_qemu_guest_agent": "yes"}
