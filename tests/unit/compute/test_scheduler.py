"""Choosing a host: who fits, who wins, and how a refusal explains itself."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from stackling.compute.model import Host, Need
from stackling.compute.scheduler import best, explain, fits, lack, reason_against

EMPTY = Host("h", "h", "nova", 8, 8192, 100, 0, 0, 0, 16.0, 1.0, 1.0, False, False, True)
SMALL = Need(1, 512, 10)

hosts = st.builds(
    Host, id=st.uuids().map(str), name=st.text("abc", min_size=1, max_size=3),
    availability_zone=st.sampled_from(["a", "b"]),
    vcpus=st.integers(0, 64), memory_mib=st.integers(0, 65536), disk_gib=st.integers(0, 1000),
    vcpus_used=st.integers(0, 64), memory_mib_used=st.integers(0, 65536), disk_gib_used=st.integers(0, 1000),
    cpu_ratio=st.sampled_from([1.0, 1.5, 16.0]), memory_ratio=st.sampled_from([1.0, 1.5]),
    disk_ratio=st.sampled_from([1.0, 2.0]), disabled=st.booleans(), fenced=st.booleans(), up=st.booleans())
needs = st.builds(Need, vcpus=st.integers(1, 32), memory_mib=st.integers(1, 32768), disk_gib=st.integers(0, 500),
                  availability_zone=st.sampled_from([None, "a"]), host=st.none())


@given(st.lists(hosts, max_size=20), needs)
def test_a_chosen_host_always_has_room_and_is_well(found: list[Host], need: Need) -> None:
    chosen = best(fits(found, need))
    if chosen is None:
        assert all(reason_against(host, need) for host in found)
        return
    assert chosen.up
    assert not chosen.disabled
    assert not chosen.fenced
    assert chosen.memory_mib_used + need.memory_mib <= chosen.memory_mib * chosen.memory_ratio
    assert chosen.vcpus_used + need.vcpus <= chosen.vcpus * chosen.cpu_ratio
    assert chosen.disk_gib_used + need.disk_gib <= chosen.disk_gib * chosen.disk_ratio
    assert need.availability_zone in (None, chosen.availability_zone)


@given(st.lists(hosts, min_size=1, max_size=20), needs)
def test_every_host_has_one_reason_in_the_explanation(found: list[Host], need: Need) -> None:
    refused = [host for host in found if reason_against(host, need)]
    text, refusals = explain(refused, need)
    assert len(refusals) == len(refused)
    if refused:
        assert text.startswith(f"0 of {len(refused)} host")


def test_the_emptier_host_wins() -> None:
    fuller = replace(EMPTY, id="f", memory_mib_used=4096)
    assert best([fuller, EMPTY]) is EMPTY
    assert best([]) is None


def test_a_soft_group_weighs_as_much_as_what_is_free() -> None:
    other = replace(EMPTY, id="o", memory_mib_used=2048)
    for apart, chosen in ((True, EMPTY), (False, other)):
        assert best([EMPTY, other], replace(SMALL, near=(("o", 1),), apart=apart)) is chosen
    third = replace(EMPTY, id="t")
    assert best([EMPTY, other, third], replace(SMALL, near=(("h", 2), ("t", 1)), apart=True)) is other
    full = replace(EMPTY, id="o", memory_mib_used=8000, vcpus_used=120, disk_gib_used=90)
    assert best([EMPTY, full], replace(SMALL, near=(("o", 1),))) is EMPTY


def test_what_is_missing_is_said_in_numbers() -> None:
    assert lack(EMPTY, SMALL) is None
    assert lack(EMPTY, Need(1, 12288, 10)) == "lacks 4096 MiB of memory"
    assert lack(EMPTY, Need(200, 512, 110)) == "lacks 72 vCPUs and 10 GiB of disk"


def test_equal_reasons_are_counted() -> None:
    found = [replace(EMPTY, id="1"), replace(EMPTY, id="2"), replace(EMPTY, id="3", disabled=True),
             replace(EMPTY, id="4", up=False), replace(EMPTY, id="5", fenced=True)]
    text, refusals = explain(found, Need(1, 12288, 1))
    assert text == "0 of 5 hosts: 2 lack 4096 MiB of memory, 1 is disabled, 1 is down, 1 is fenced"
    assert [refusal.reason for refusal in refusals][2:] == ["disabled", "down", "fenced"]
    assert explain([], SMALL)[0] == "0 of 0 hosts: no host has registered"


def test_affinity_and_its_opposite() -> None:
    assert reason_against(EMPTY, replace(SMALL, avoid=frozenset({"h"}))) == "it runs another member of the server group"
    assert reason_against(EMPTY, replace(SMALL, only=frozenset({"x"}))) is not None
    assert reason_against(EMPTY, replace(SMALL, only=frozenset({"h"}))) is None
    assert reason_against(EMPTY, replace(SMALL, host="other")) == "another host was asked for"
