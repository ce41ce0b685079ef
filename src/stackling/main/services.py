"""Which APIs a control process serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.route import Service

if TYPE_CHECKING:
    from stackling.main.wiring import Plant


def public(plant: Plant) -> list[Service]:
    """What clients use."""
    from stackling.api.identity.service import service as identity
    from stackling.api.stackling.service import service as stackling
    from stackling.store import timeline

    services = [identity(plant.identity), stackling(timeline.explain, timeline.owner)]
    import importlib
    import importlib.util

    for name in ("compute", "network", "image", "placement"):
        if importlib.util.find_spec(f"stackling.api.{name}") and importlib.util.find_spec(f"stackling.api.{name}.service"):
            services.append(importlib.import_module(f"stackling.api.{name}.service").service())
    return services


def internal(plant: Plant) -> list[Service]:
    """What agents use; never on the public port."""
    return []
