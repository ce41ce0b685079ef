"""All access rules of the cloud, as they are in force: each service's defaults and what an administrator changed."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import stackling.api
from stackling.api import policy_file
from stackling.api.policy import Policy
from stackling.api.policy_file import PolicyFileError


@dataclass(frozen=True, slots=True)
class Effective:
    """One rule. ``line`` is where the file of the service says it; None: it is the default. ``used``: whether it is
    one of the service's own rules."""

    service: str
    rule: str
    check: str
    line: int | None = None
    used: bool = True


def services() -> list[str]:
    """The services that have rules."""
    return [module.name for module in pkgutil.iter_modules(stackling.api.__path__)
            if module.ispkg and any((Path(path) / module.name / "policy.py").exists()
                                    for path in stackling.api.__path__)]


def file_name(service: str) -> str:
    """The administrator's file for the service of that name: called like its package, without a version."""
    return re.sub(r"-|v\d+\Z", "", service) + ".yaml"


def defaults(service: str) -> Mapping[str, str]:
    """Its own rules by name."""
    return importlib.import_module(f"stackling.api.{service}.policy").RULES


def effective(directory: Path) -> Iterator[Effective]:
    """Every rule of every service. Raises ``PolicyFileError`` for the first file in *directory* that can't be used."""
    known = services()
    for path in sorted(directory.glob("*.yaml")):
        if path.stem not in known:
            raise PolicyFileError(path, 1, f"there is no service {path.stem}; there are {', '.join(known)}")
    for service in known:
        path, own = directory / f"{service}.yaml", defaults(service)
        Policy(own).follow(path)
        lines = policy_file.read(path)
        for name, check in own.items():
            line = lines.get(name)
            yield Effective(service, name, line.text if line else check, line.number if line else None)
        for name, line in lines.items():
            if name not in own:
                yield Effective(service, name, line.text, line.number, used=False)
