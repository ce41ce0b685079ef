"""``stackling storage``: where images, servers' disks and volumes lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from stackling.cli import local, options, output
from stackling.cli.problem import FAILED, Problem
from stackling.deploy.ceph.target import Target, target
from stackling.deploy.embedded.directory import StateDirectory

root_option = click.option("--root", type=click.Path(path_type=Path), default=Path("/"), hidden=True,
                           help="Above etc/stackling and its like.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Put images, servers' disks and volumes on a Ceph cluster, or disks into a shared directory, and check it."""


@command.group()
def add() -> None:
    """Use a storage cluster or a shared directory."""


@add.command("ceph")
@options.state_dir
@click.option("--conf", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True, metavar="FILE",
              help="The cluster's ceph.conf.")
@click.option("--keyring", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help="An administrator's keyring, or one with the keys that an administrator has made for us.")
@click.option("--no-wait", is_flag=True, help="Don't wait until every machine of the cluster uses it.")
@click.option("--images-only", is_flag=True, help="Servers' disks stay on their machines.")
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@options.output_format
@root_option
def add_ceph(directory: StateDirectory, conf: Path, keyring: Path | None, images_only: bool, dry_run: bool, style: str,
             root: Path, no_wait: bool) -> int:
    """Put images, servers' disks and volumes on a Ceph cluster.

    Makes four pools and restricted users, writes their keyrings (0600), sets the cloud's stores, and proves from this
    machine that it works. Without an administrator's key it prints the exact commands for whoever has one; afterwards
    give the keyring that they made with --keyring. May be repeated, as after a machine was added.
    """
    from stackling.deploy.ceph import add as adding
    from stackling.deploy.ceph.admin import Admin, NoRights

    with explained():
        here = target(directory, root)
        here.check(disks=not images_only)
        admin = Admin(conf, keyring) if keyring else None
        if dry_run or admin is None:
            return _by_hand(style, here, admin, dry_run)
        steps = output.Steps(quiet=style == "json")
        done: list[str] = []
        try:
            with steps.step("pools and users"):
                prepared = adding.prepare(admin, here.pools, here.machines, lambda step: done.append(step.text))
        except NoRights as error:
            click.echo(f"{error}", err=True)
            return _by_hand(style, here, admin, dry_run) or FAILED
        with steps.step("keyrings and ceph.conf"):
            written = adding.write(prepared, here.files, here.own_users)
        found = _proved(here, steps)
        if not all(check.ok for check in found):
            _show(style, done, written, found, "nothing is set: see what failed")
            return FAILED
        with steps.step("the cloud's configuration"):
            next_ = here.set(prepared, disks=not images_only)
        if not no_wait:
            with steps.step("every machine uses it"):
                next_ = here.await_followers(steps.note) or next_
        _show(style, done, written, found, next_)
    return 0


@add.command("directory")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--no-wait", is_flag=True, help="Don't wait until every machine of the cluster uses it.")
@click.option("--dry-run", is_flag=True, help="Only try whether it could be used.")
@options.output_format
@root_option
def add_directory(path: Path, dry_run: bool, style: str, root: Path, no_wait: bool) -> int:
    """Put servers' disks into the directory PATH, which every machine of the cluster has mounted there.

    CephFS, NFS or any file system whose locks reach other machines. Every machine writes to it, sees what the others
    write, and must be refused a lock that another one holds; otherwise nothing is set. May be repeated.
    """
    from stackling.deploy.cluster import setup
    from stackling.deploy.directory.target import shared_directory

    with explained():
        here = shared_directory(root, path)
        assert here is not None
        here.check()
        steps = output.Steps(quiet=style == "json")
        with steps.step("proof from every machine"):
            found = here.prove(note=not dry_run)
        if not all(one.ok for one in found):
            _show(style, [], [], found, "nothing is set: see what failed")
            return FAILED
        if dry_run:
            _show(style, [], [], found, "It could be used; nothing is set.")
            return 0
        with steps.step("the cluster's description"):
            next_ = here.set()
        if not no_wait:
            with steps.step("every machine uses it"):
                missing = setup.await_followers(here.paths, setup.FOLLOW_WITHIN, steps.note)
            next_ = f"{', '.join(missing)} have not followed yet." if missing else "Every machine uses it."
    _show(style, [], [], found, next_)
    return 0


@command.command()
@options.state_dir
@options.output_format
@root_option
def check(directory: StateDirectory, style: str, root: Path) -> int:
    """Prove again, from every machine, that the storage works."""
    from stackling.deploy.directory.target import shared_directory

    with explained():
        here, shared = target(directory, root), shared_directory(root)
        steps = output.Steps(quiet=style == "json")
        if not here.files.conf.exists() and shared is None:
            raise Problem("everything is on this machine's own disk: there is nothing to check")
        found: list[Any] = []
        if here.files.conf.exists():
            found = _proved(here, steps) + _proved_elsewhere(here, steps)
        if shared is not None:
            with steps.step("proof from every machine"):
                found += shared.prove()
    _show(style, [], [], found, None)
    return 0 if all(one.ok for one in found) else FAILED


@command.command("rotate-keys")
@options.state_dir
@click.option("--keyring", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True, metavar="FILE",
              help="An administrator's keyring.")
@click.option("--wait", type=click.FloatRange(0), default=600.0, show_default=True, metavar="SECONDS",
              help="For everybody who is connected by a former key.")
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@options.output_format
@root_option
def rotate_keys(directory: StateDirectory, keyring: Path, wait: float, dry_run: bool, style: str, root: Path) -> int:
    """Give each of the cloud's users in Ceph another key.

    Nothing is detached and nothing stops: control and agents connect anew, running servers' QEMU is given the new key.
    The former keys are removed when nobody is connected by them any more. When that isn't so in time, they stay valid,
    and the command is to be run again.
    """
    from stackling.deploy.ceph import add as adding
    from stackling.deploy.ceph import rotate
    from stackling.deploy.ceph.admin import Admin

    with explained():
        here = target(directory, root)
        if not here.files.conf.exists() or not here.control:
            raise Problem("run this on a control machine of the cluster" if not here.control
                          else "no Ceph is used here: there are no keys")
        admin = Admin(here.files.conf, keyring)
        rotation = rotate.plan(adding.users(here.pools, here.machines), admin.known())
        if dry_run:
            texts = [step.text for step in (*rotate.made(rotation), *rotate.removed(rotation))]
            output.show(style, {"commands": texts}, (["what would be run"], [[text] for text in texts]))
            return 0
        return _rotate(here, admin, rotation, wait, style)


def _rotate(here: Target, admin: Any, rotation: Any, wait: float, style: str) -> int:
    from stackling.deploy.ceph import add as adding
    from stackling.deploy.ceph import proof, rotate

    steps, done = output.Steps(quiet=style == "json"), rotate.made(rotation)
    formers = rotate.formers(rotation, here.files, here.own_users)
    with steps.step("new keys"):
        for step in done:
            admin.do(step)
        prepared = adding.prepared(admin, rotation.users, {
            user.name: admin.key(user) for user in rotation.users.values()})
        written = adding.write(prepared, here.files, here.own_users)
    texts, found = [step.text for step in done], _proved(here, steps)
    if not all(check.ok for check in found):
        _show(style, texts, written, found, "The former keys stay valid: see what failed, and run it again.")
        return FAILED
    with steps.step("every machine has its key"):
        missing = here.hand_out(prepared, steps.note)
    left: dict[str, list[str]] = {}
    if not missing:
        with steps.step("nobody uses the former keys"):
            left = dict(rotate.await_nobody(admin, rotation.former, wait, steps.note))
    if missing or left:
        who = ", ".join(missing) or ", ".join(f"client.{name} ({', '.join(sorted(set(addresses)))})"
                                              for name, addresses in sorted(left.items()))
        _show(style, texts, written, found, f"Former keys are still used by {who}; they stay valid. Run it again.")
        return FAILED
    with steps.step("the former keys are removed"):
        for step in rotate.removed(rotation):
            admin.do(step)
            texts.append(step.text)
        adding.write(prepared, here.files, here.own_users)
        found += [proof.refused(here.files.conf, login) for login in formers]
    _show(style, texts, written, found, "Every machine and every running server uses its new key.")
    return 0 if all(check.ok for check in found) else FAILED


@command.command()
@options.state_dir
@options.output_format
@root_option
def show(directory: StateDirectory, style: str, root: Path) -> None:
    """Show where images, disks and volumes lie, how much there is, and how the storage is."""
    from stackling.deploy.directory.target import shared_directory

    with explained():
        here = target(directory, root)
        facts: dict[str, Any] = {"images": here.images, "disks": here.disks, "volumes": here.volumes}
        if here.files.conf.exists():
            facts.update(_usage(here))
        if (shared := shared_directory(root)) is not None:
            facts["directory"] = str(shared.path)
    output.facts(style, facts)


@contextmanager
def explained() -> Iterator[None]:
    """Failures as one line."""
    from stackling.deploy.ceph.admin import CephRefused
    from stackling.deploy.ceph.target import NoTarget
    from stackling.deploy.cluster.description import ClusterError

    try:
        with local.explained():
            yield
    except (CephRefused, ClusterError, NoTarget) as error:
        raise Problem(str(error)) from None


def _proved(here: Target, steps: output.Steps) -> list[Any]:
    from stackling.deploy.ceph import proof

    with steps.step("proof from this machine"):
        return proof.prove(here.files, here.pools, here.machine, control=here.control)


def _proved_elsewhere(here: Target, steps: output.Steps) -> list[Any]:
    if not here.control or here.machines == (here.machine,):
        return []
    with steps.step("proof from every other machine"):
        return here.prove_others()


def _by_hand(style: str, here: Target, admin: Any, dry_run: bool) -> int:
    """Print what would be done, or what somebody else has to do."""
    from stackling.deploy.ceph import add as adding

    steps = adding.plan(admin, here.pools, here.machines)
    commands = [step.text for step in steps]
    if not dry_run:
        commands = adding.by_hand(steps, here.machines, Path("stackling.keyring"))
    files = [str(here.files.conf), *(str(here.files.keyring(user)) for user in here.own_users)]
    if style == "json":
        output.show(style, {"commands": commands, "files": files})
        return 0
    if not dry_run:
        click.echo("As the cluster's administrator, run this, and then this command again with\n"
                   "--keyring stackling.keyring:\n", err=True)
    for line in commands:
        click.echo(line)
    if dry_run:
        for name in files:
            click.echo(f"# write {name}")
        click.echo(f"# set images, disks and volumes to rbd in {here.configuration}")
    return 0


def _show(style: str, done: list[str], written: list[Path], found: list[Any], next_: str | None) -> None:
    value = {"commands": done, "files": [str(path) for path in written],
             "proof": [dataclasses.asdict(one) for one in found], "next": next_}
    tables: list[Any] = []
    if done or written:
        rows = [["ran", text] for text in dict.fromkeys(done)] + [["wrote", str(path)] for path in written]
        tables.append((["what", "which"], rows))
    tables.append((["proof", "", "seconds", "what was found"], [
        [one.what, output.colored("ok", output.GREEN) if one.ok else output.colored("failed", output.RED),
         f"{one.seconds:.2f}", one.detail] for one in found]))
    output.show(style, value, *tables)
    if next_ and style != "json":
        click.echo(next_)


def _usage(here: Target) -> dict[str, Any]:
    from stackling.deploy.ceph.usage import usage

    found = usage(here.files, here.pools, here.own_users[0])
    pools = {name: f"{output.size(used)} used, room for {output.size(free)}"
             for name, (used, free) in found.pools.items()}
    return {"cluster": found.cluster, "health": found.health, "problems": ", ".join(found.problems) or None, **pools,
            "shut_out": ", ".join(found.shut_out) or None}
