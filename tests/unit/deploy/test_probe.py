"""The KVM probe: what it runs really runs, and its answer is kept for one boot."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stackling.deploy.embedded import probe

needs_qemu = pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs QEMU")


@needs_qemu
def test_the_boot_sector_gets_to_its_end_without_kvm() -> None:
    trial = probe.run_boot_sector("tcg", {})
    assert trial.problem is None
    assert trial.seconds < probe.TIMEOUT


@needs_qemu
def test_a_guest_that_goes_nowhere_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_BOOT_SECTOR", b"\xeb\xfe")
    monkeypatch.setattr(probe, "TIMEOUT", 0.7)
    assert "no further than its firmware" in (probe.run_boot_sector("tcg", {}).problem or "")


def test_no_device_no_kvm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probe, "DEVICE", tmp_path / "kvm")
    assert not probe.try_kvm([]).kvm


@pytest.mark.parametrize(("kvm", "tcg", "works"), [(0.2, 0.15, True), (1.6, 0.12, False), (3.0, 1.0, True)])
def test_kvm_that_is_slower_than_none_doesnt_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kvm: float,
                                                   tcg: float, works: bool) -> None:
    seconds = {"kvm": kvm, "tcg": tcg}
    monkeypatch.setattr(probe, "DEVICE", tmp_path)
    monkeypatch.setattr(probe, "run_boot_sector", lambda how, _: probe._Run(seconds[how], None))  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(probe.os, "geteuid", lambda: 1)
    assert probe.try_kvm([]).kvm is works


def test_the_answer_is_kept_until_the_next_boot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = iter([probe.Accelerator(True, "a"), probe.Accelerator(False, "b")])
    monkeypatch.setattr(probe, "try_kvm", lambda kernels: next(answers))
    cache = tmp_path / "accelerator.json"
    assert probe.probe(cache, "boot-1").kvm
    assert probe.probe(cache, "boot-1").kvm
    assert not probe.probe(cache, "boot-2").kvm
