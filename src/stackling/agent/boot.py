"""Which boot of the machine this is."""

from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id(override: Path | None = None) -> str:
    """The kernel's boot id, a new one after every boot. *override* names a file to read instead (lab, tests)."""
    return (override if override is not None and override.exists() else BOOT_ID).read_text().strip()
