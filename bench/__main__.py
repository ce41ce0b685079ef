"""``python -m bench``: start a simulated cloud, measure every case, print a table (and JSON lines with --out)."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.cases import compute, identity, image, network
from bench.client import Client
from bench.measure import Bench, Figure, Processes

CASES = {
    "tokens": identity.tokens, "flavors": compute.flavors, "networks": network.networks, "ports": network.ports,
    "rules": network.security_group_rules, "floating_ips": network.floating_ips, "images": image.images,
    "servers": compute.servers,
}
PEER = json.loads(Path(__file__).with_name("peer.json").read_text())
CLI = [sys.executable, "-m", "stackling.cli.main"]


@contextmanager
def simulated_cloud() -> Iterator[tuple[Path, float]]:
    """A cloud of its own in a temporary directory, and the seconds it took to answer."""
    with tempfile.TemporaryDirectory(prefix="stk-bench-") as directory:
        start = time.perf_counter()
        subprocess.run([*CLI, "up", "--simulated", "--state-dir", directory], check=True, stdout=subprocess.DEVNULL)
        try:
            yield Path(directory), time.perf_counter() - start
        finally:
            subprocess.run([*CLI, "down", "--state-dir", directory], check=True, stdout=subprocess.DEVNULL)


async def run(directory: Path, options: argparse.Namespace) -> list[Figure]:
    """Every chosen case in turn."""
    figures: list[Figure] = []

    def report(figure: Figure) -> None:
        figures.append(figure)
        print(f"  {figure.case:28} at {figure.concurrency:<3} {figure.cpu_ms:9.2f} ms CPU {figure.ops_per_s:9.1f}/s"
              + (f"  {figure.errors} errors: {figure.first_error}" if figure.errors else ""),
              file=sys.stderr, flush=True)

    bench = Bench(Processes(directory), ops=options.ops, report=report,
                  concurrencies=tuple(int(c) for c in options.concurrency.split(",")))
    for name in options.cases.split(","):
        async with Client(directory / "clouds.yaml") as client:
            await CASES[name](client, bench)
    return figures


def table(figures: list[Figure]) -> Table:
    """Ours beside the peer's CPU time and the ratio that we aim at."""
    shown = Table("case", "at once", "ops/s", "p50 ms", "CPU ms/op", "peer", "ratio", "target")
    for figure in figures:
        peer = PEER["cases"].get(figure.case)
        ratio = peer["cpu_ms"] / figure.cpu_ms if peer and figure.cpu_ms else 0
        style = "" if not peer else "green" if ratio >= peer["target"] else "red"
        shown.add_row(figure.case, str(figure.concurrency), f"{figure.ops_per_s:.1f}", f"{figure.p50_ms:.2f}",
                      f"{figure.cpu_ms:.2f}", f"{peer['cpu_ms']:g}" if peer else "",
                      f"{ratio:.0f} x" if peer else "", f"{peer['target']} x" if peer else "", style=style)
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES), help=f"comma list of {', '.join(CASES)}")
    parser.add_argument("--ops", type=int, default=200, help="operations a case (default 200)")
    parser.add_argument("--concurrency", default="1,16", help="comma list (default 1,16)")
    parser.add_argument("--out", type=Path, help="append JSON lines to this file")
    options = parser.parse_args()
    with simulated_cloud() as (directory, seconds):
        print(f"up after {seconds:.2f} s", file=sys.stderr)
        idle = Processes(directory).memory()
        figures = asyncio.run(run(directory, options))
        busy = Processes(directory).memory()
    Console(width=110).print(table(figures))
    print(f"start to answering API: {seconds:.2f} s; memory (PSS): {idle:.0f} MiB idle, {busy:.0f} MiB after the run")
    if options.out:
        with options.out.open("a") as out:
            out.writelines(json.dumps(asdict(figure)) + "\n" for figure in figures)
    return 1 if any(figure.errors for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
