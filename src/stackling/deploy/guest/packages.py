"""The Debian packages that the guest image is made of: downloaded and unpacked, never installed.

The machine needs neither this kernel nor these programs for itself, and installing a kernel would build an initramfs
and rewrite the boot loader's menu. A package that is in the cache stays in use until `fetch(..., refresh=True)`, so
that an image can be built again without a network.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KERNEL_META_PACKAGE = "linux-image-cloud-amd64"
KERNEL_PATTERN = "linux-image-[0-9]*-cloud-amd64"
PACKAGES = (
    "busybox-static",
    "dosfstools",
    "dropbear-bin",
    "libtomcrypt1",
    "libtommath1",
    "mtools",
    "syslinux",
    "syslinux-common",
)


class PackageError(Exception):
    """A package could not be found, downloaded or unpacked; the message says which and why."""


def default_cache() -> Path:
    """The directory where packages and built images are kept: the machine's for root, the user's otherwise."""
    if os.geteuid() == 0:
        return Path("/var/cache/stackling/guest")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stackling" / "guest"


def cached(cache: Path) -> dict[str, Path]:
    """Package files in the cache by the names of `PACKAGES` and `KERNEL_PATTERN`; missing ones are left out."""
    found: dict[str, Path] = {}
    for name in (*PACKAGES, KERNEL_PATTERN):
        files = sorted((cache / "packages").glob(f"{name}_*.deb"), key=lambda file: file.stat().st_mtime_ns)
        if files:
            found[name] = files[-1]
    return found


def missing(cache: Path) -> list[str]:
    """Names of the packages that are not in the cache."""
    present = cached(cache)
    return [name for name in (*PACKAGES, KERNEL_PATTERN) if name not in present]


def fetch(cache: Path, *, refresh: bool = False) -> dict[str, Path]:
    """Download what is missing (or everything, when `refresh`) with apt and return the package files by name.

    Raises `PackageError` when apt is not there or knows no such package.
    """
    wanted = [*PACKAGES, KERNEL_PATTERN] if refresh else missing(cache)
    if wanted:
        names = [_kernel_package() if name == KERNEL_PATTERN else name for name in wanted]
        _download(names, cache / "packages")
    if lacking := missing(cache):
        raise PackageError(f"apt did not deliver {', '.join(lacking)}; run `apt-get update` and try again")
    return cached(cache)


def unpack(package: Path, into: Path) -> Path:
    """Unpack a package file into a directory and return the directory."""
    into.mkdir(parents=True, exist_ok=True)
    _run(["dpkg-deb", "-x", str(package), str(into)])
    return into


def _kernel_package() -> str:
    """The kernel package that Debian's meta package stands for at the moment."""
    listing = _run(["apt-cache", "depends", KERNEL_META_PACKAGE])
    match = re.search(r"Depends: (linux-image-\S+)", listing)
    if match is None:
        raise PackageError(f"apt knows no {KERNEL_META_PACKAGE}; run `apt-get update` and try again")
    return match.group(1)


def _download(names: list[str], into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    # Without this apt drops to its own user, who may not write here, and warns.
    sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(dir=into) as partial:
        _run(["apt-get", "download", "-q", *sandbox, *names], cwd=partial)
        for file in Path(partial).glob("*.deb"):
            file.replace(into / file.name)


def _run(command: list[str], cwd: str | None = None) -> str:
    if shutil.which(command[0]) is None:
        raise PackageError(f"{command[0]} is not on this machine; the guest image can be built on Debian only")
    environment = os.environ | {"LC_ALL": "C"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackageError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def main() -> None:
    """Command line: fetch the packages, or check that they are there."""
    parser = argparse.ArgumentParser(prog="python -m stackling.deploy.guest.packages", description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--check", action="store_true", help="only tell (by the exit code) whether all are there")
    parser.add_argument("--refresh", action="store_true", help="download today's versions")
    options = parser.parse_args()
    if options.check:
        sys.exit(bool(missing(options.cache)))
    try:
        for file in fetch(options.cache, refresh=options.refresh).values():
            print(file)
    except PackageError as error:
        sys.exit(f"guest image: {error}")


if __name__ == "__main__":
    main()
