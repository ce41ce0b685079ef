"""QoS specs of volume types, as they are listed."""

from __future__ import annotations

from typing import Any

from tests.api.compute_world import world as world
from tests.api.volume_world import V, Volumes
from tests.api.volume_world import volumes as volumes


def test_qos_specs_are_listed_in_pages(volumes: Volumes) -> None:
    admin = volumes.world.admin
    new = ({"name": name, "consumer": consumer} for name, consumer in (
        ("b", "front-end"), ("a", "back-end"), ("c", "both")))
    made = [admin.post(f"{V}/qos-specs", {"qos_specs": one}).json()["qos_specs"] for one in new]

    def names(**query: Any) -> list[str]:
        answer = admin.get(f"{V}/qos-specs", params=query)
        assert answer.status_code == 200, answer.text
        return [one["name"] for one in answer.json()["qos_specs"]]

    assert names() == ["c", "a", "b"]           # the newest first
    assert names(limit=1) == ["c"]
    assert names(limit=2, marker=made[2]["id"]) == ["a", "b"]
    assert names(offset=2) == ["b"]
    assert names(sort="name:asc") == ["a", "b", "c"]
    assert names(consumer="back-end") == names(name="a") == ["a"]
    assert admin.get(f"{V}/qos-specs", params={"limit": "x"}).status_code == 400
    assert admin.get(f"{V}/qos-specs", params={"sort": "specs"}).status_code == 400
    assert volumes.client.get(f"{V}/qos-specs").status_code == 403
