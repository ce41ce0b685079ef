"""``stackling cluster``: several machines as one cloud."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from stackling.cli import options, output
from stackling.cli.problem import Problem
from stackling.deploy.cluster import bundle, description, member, remote, setup, token
from stackling.deploy.cluster.description import Cluster, ClusterError, Machine
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.embedded.command import CommandFailed

root_option = click.option("--root", type=click.Path(path_type=Path), default=Path("/"), hidden=True,
                           help="Above etc/stackling and its like; systemd isn't told then.")


@contextmanager
def explained() -> Iterator[None]:
    """Failures as one line."""
    try:
        yield
    except (ClusterError, CommandFailed) as error:
        raise Problem(str(error)) from None
    except OSError as error:
        raise Problem(f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Make several machines one cloud."""


@command.command()
@click.option("--from", "source", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help="The description of the cluster (cluster.toml), with every machine.")
@click.option("--machine", "name", metavar="NAME", help="Which of them this is.  [default: this machine's name]")
@click.option("--name", "cluster_name", metavar="NAME", help="Without --from: the cluster's name.")
@click.option("--address", metavar="IP", help="Without --from: this machine's address on the management network.")
@click.option("--virtual-ip", metavar="IP/LEN", help="Without --from: the address of the APIs.")
@click.option("--fence-secrets", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help="JSON object of what the fence agent needs and nobody else may see.")
@click.option("--no-start", is_flag=True, help="Only write files.")
@options.output_format
@root_option
def init(source: Path | None, name: str | None, cluster_name: str | None, address: str | None, virtual_ip: str | None,
         fence_secrets: Path | None, no_start: bool, style: str, root: Path) -> None:
    """Make a cluster, with this machine as its first one.

    Secrets and certificates are made for every machine of the description; each of the others takes its own with
    "stackling cluster join BUNDLE".
    """
    name = name or socket.gethostname().partition(".")[0]
    with explained():
        cluster = description.read(source) if source else _alone(name, cluster_name, address, virtual_ip)
        fence = json.loads(fence_secrets.read_text()) if fence_secrets else None
        others = member.init(cluster, name, Paths(root), fence)
        _set_up(Paths(root), start=not no_start)
    lines = [f"cluster {cluster.name} is made; this is {name}, the APIs will be at {cluster.public_url}",
             "next: have the others join, then `stackling ha apply` here starts the cloud",
             *(f"  {other}: bring {path} there (it holds secrets), and run `stackling cluster join FILE`"
               for other, path in others.items())]
    output.done(style, {"name": cluster.name, "machine": name, "api": cluster.public_url,
                        "bundles": {other: str(path) for other, path in others.items()}}, "\n".join(lines), err=False)


@command.command()
@click.argument("ticket", metavar="BUNDLE|TOKEN")
@click.option("--machine", "name", metavar="NAME", help="With a token: this machine's name.  [default: its host name]")
@click.option("--address", metavar="IP", help="With a token: its address on the management network.")
@click.option("--storage", metavar="IP", default="", help="With a token: on the storage network.  [default: the same]")
@click.option("--tenant", metavar="IP", default="", help="With a token: on the tunnels' network.  [default: the same]")
@click.option("--control", is_flag=True, help="With a token made for it: a control machine, too.")
@click.option("--no-compute", is_flag=True, help="With a token: it runs no servers.")
@click.option("--fence", multiple=True, metavar="KEY=VALUE", help="With a token: what the fence agent needs to know of "
                                                                  "it (no secrets).")
@click.option("--no-start", is_flag=True, help="Only write files.")
@options.output_format
@root_option
def join(ticket: str, name: str | None, address: str | None, storage: str, tenant: str, control: bool,
         no_compute: bool, fence: tuple[str, ...], no_start: bool, style: str, root: Path) -> None:
    """Make this machine one of a cluster.

    With the bundle that "stackling cluster init" made for it, or with a token of "stackling cluster token". A token of
    "-" is read from standard input.
    """
    paths = Paths(root)
    if ticket == "-":
        ticket = sys.stdin.readline().strip()
    with explained():
        if token.is_token(ticket):
            if not address:
                raise click.UsageError("a token needs --address, too")
            machine = Machine(
                name=name or socket.gethostname().partition(".")[0], address=address, storage=storage, tenant=tenant,
                control=control, compute=not no_compute, fence=dict(_pair(one) for one in fence))
            member.refuse_other(paths, machine.name)
            found = remote.join(token.read(ticket), machine)
        else:
            found = bundle.read(Path(ticket))
        member.join(found, paths)
        _set_up(paths, start=not no_start)
    output.done(style, {"machine": found.machine, "name": found.cluster.name, "api": found.cluster.public_url},
                f"this is {found.machine} of cluster {found.cluster.name}", err=False)


@command.command("token")
@click.option("--hours", type=click.FloatRange(0, 168, min_open=True), default=1.0, show_default=True,
              help="How long it can be used.")
@click.option("--control", is_flag=True, help="For a control machine: it gets every secret of the cluster.")
@options.output_format
@root_option
def make_token(hours: float, control: bool, style: str, root: Path) -> None:
    """Print a token by which one machine can join. Run it on a control machine.

    Whoever has the token can join until it expires or is used: treat it as a password.
    """
    with explained():
        made = token.write(remote.make_token(Paths(root), hours * 3600, control=control))
    output.done(style, {"token": made, "hours": hours, "control": control}, made, err=False)


@command.command()
@click.option("--quiet", is_flag=True, help="Say nothing when there is nothing new.")
@options.output_format
@root_option
def sync(quiet: bool, style: str, root: Path) -> None:
    """Bring this machine to the cluster's present description. A timer does that every minute."""
    with explained():
        changed = setup.sync(Paths(root))
    if changed or not quiet:
        output.done(style, {"written": [str(path) for path in changed]},
                    "\n".join(f"written: {path}" for path in changed) or "this machine is up to date", err=False)


@command.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE")
@click.option("--no-wait", is_flag=True, help="Don't wait for the other machines.")
@options.output_format
@root_option
def update(source: Path, no_wait: bool, style: str, root: Path) -> None:
    """Give the cluster another description (cluster.toml), and wait until every machine follows it.

    Machines get in by "join" only.
    """
    paths = Paths(root)
    with explained():
        new, old = description.read(source), remote.described(paths)
        if strangers := {one.name for one in new.machines} - {one.name for one in old.cluster.machines}:
            raise Problem(f"{', '.join(sorted(strangers))}: machines get in by `stackling cluster join`")
        remote.replace(paths, remote.Described(old.generation + 1, new))
        setup.sync(paths)
        missing = () if no_wait else setup.await_followers(
            paths, setup.FOLLOW_WITHIN, lambda names: click.echo(f"waiting for {names}", err=True))
    lines = [f"the description is at generation {old.generation + 1}"]
    if missing:
        lines.append(f"{', '.join(missing)} have not followed yet; they do when they are on")
    output.done(style, {"generation": old.generation + 1, "missing": list(missing)}, "\n".join(lines), err=False)


@command.command()
@options.output_format
@root_option
def status(style: str, root: Path) -> None:
    """Show the cluster's machines, and which of their control planes are ready."""
    with explained():
        cluster, here = description.read(Paths(root).cluster), Paths(root).name
        rows = setup.healths(cluster, Paths(root))
    value = {"name": cluster.name, "api": cluster.public_url, "machine": here, "machines": [
        {"name": machine.name, "address": machine.address, "control": machine.control, "compute": machine.compute,
         "ready": rows[machine.name].ready, "problem": rows[machine.name].problem} for machine in cluster.machines]}
    if style == "table":
        click.echo(f"{cluster.name}: {cluster.public_url}")
    shown = [[machine.name + (" *" if machine.name == here else ""), machine.address,
              "control" if machine.control else "", "compute" if machine.compute else "",
              {True: "ready", False: "not ready", None: ""}[rows[machine.name].ready], rows[machine.name].problem]
             for machine in cluster.machines]
    output.show(style, value, (["machine", "address", "", "", "control plane", "problem"], shown))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"--fence takes KEY=VALUE, not {text!r}")
    return key, value


def _alone(name: str, cluster_name: str | None, address: str | None, virtual_ip: str | None) -> Cluster:
    if not (cluster_name and address and virtual_ip):
        raise click.UsageError("give --from FILE, or --name, --address and --virtual-ip")
    return description.check(Cluster(name=cluster_name, virtual_ip=virtual_ip,
                                     machines=(Machine(name=name, address=address),)))


def _set_up(paths: Paths, *, start: bool) -> None:
    if paths.root == Path("/") and os.geteuid() != 0:
        raise Problem("only root can set up a machine of a cluster")
    setup.set_up(paths, start=start)
