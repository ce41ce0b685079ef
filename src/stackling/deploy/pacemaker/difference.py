"""What applying a configuration would change, by object, as unified differences of crm syntax. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from stackling.deploy.pacemaker import crm
from stackling.deploy.pacemaker.model import Configuration

CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One object that differs. ``before`` or ``after`` is empty where it is new or goes."""

    id: str
    before: str
    after: str

    @property
    def verb(self) -> str:
        """``add``, ``remove`` or ``change``."""
        return "add" if not self.before else "remove" if not self.after else "change"

    @property
    def lines(self) -> list[str]:
        """The unified difference, without its two head lines."""
        return list(difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), n=CONTEXT,
                                         lineterm=""))[3:]


def changes(running: Configuration, wanted: Configuration) -> list[Change]:
    """What differs, in the order of *wanted*, then what goes.

    Of the cluster's options only those that *wanted* names matter: others belong to Pacemaker or to the operator.
    """
    before, after = crm.blocks(_comparable(running, wanted)), crm.blocks(wanted)
    names = [*after, *(name for name in before if name not in after)]
    return [Change(name, before.get(name, ""), after.get(name, "")) for name in names
            if before.get(name, "") != after.get(name, "")]


def _comparable(running: Configuration, wanted: Configuration) -> Configuration:
    return Configuration(
        {name: value for name, value in running.properties.items() if name in wanted.properties},
        {name: value for name, value in running.resource_defaults.items() if name in wanted.resource_defaults},
        {name: value for name, value in running.operation_defaults.items() if name in wanted.operation_defaults},
        running.resources, running.constraints)
