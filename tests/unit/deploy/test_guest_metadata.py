"""The guest's reader of JSON, run with this machine's awk."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stackling.deploy.guest.tree import own_files

pytestmark = pytest.mark.skipif(shutil.which("awk") is None, reason="needs awk")


def flatten(tmp_path: Path, document: Any, **style: Any) -> dict[str, str]:
    script = tmp_path / "json.awk"
    script.write_bytes(own_files()["json.awk"])
    text = json.dumps(document, **style)
    done = subprocess.run(
        ["awk", "-f", str(script)], input=text, capture_output=True, text=True, check=True, timeout=10
    )
    return dict(line.split("\t", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"separators": (",", ":")}])
def test_values_are_found_by_their_path(tmp_path: Path, style: dict[str, Any]) -> None:
    document = {
        "uuid": "7f3c",
        "meta": {"hostname": "not this one"},
        "hostname": "web.novalocal",
        "public_keys": {"my.key": "ssh-ed25519 AAAA me@here\n"},
        "keys": [{"name": "my.key", "type": "ssh"}],
        "devices": [],
        "launch_index": 0,
        "project_id": None,
    }
    found = flatten(tmp_path, document, **style)
    assert found["hostname"] == "web.novalocal"
    assert found["public_keys.my.key"] == "ssh-ed25519 AAAA me@here"
    assert found["keys.0.type"] == "ssh"
    assert found["launch_index"] == "0"
    assert found["project_id"] == "null"


def test_escapes(tmp_path: Path) -> None:
    assert flatten(tmp_path, {"a": 'say "x" \\ {"b": 1}', "c": "1\n2"}) == {"a": 'say "x" \\ {"b": 1}', "c": "1 2"}


def test_a_broken_document_ends(tmp_path: Path) -> None:
    script = tmp_path / "json.awk"
    script.write_bytes(own_files()["json.awk"])
    for text in ("", "{", "[1,", '{"a"', '{"a": [}', "<html>not json</html>"):
        subprocess.run(["awk", "-f", str(script)], input=text, capture_output=True, text=True, check=True, timeout=10)
