"""OVN and Open vSwitch of one machine: their processes as data, and the steps around starting them.

Order of a bring-up: ``namespaces.make``, ``datapath``, ``prepare``; start the processes of ``ovn_processes`` in the
order that ``after`` gives; once ``ovs-db`` is ready ``configure``, before ``ovn-controller``; then ``uplink.bring_up``.
All sockets lie in one directory that only root can enter, so nothing listens on the network. The databases lie in the
state directory and survive everything.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stackling.deploy.embedded.command import CommandFailed, run, succeeds
from stackling.deploy.embedded.process import ProcessSpec

log = logging.getLogger(__name__)
INTEGRATION, EXTERNAL = "br-int", "br-ex"
PHYSICAL_NETWORK = "public"
SCHEMA_FILES = {
    "nb": Path("/usr/share/ovn/ovn-nb.ovsschema"),
    "sb": Path("/usr/share/ovn/ovn-sb.ovsschema"),
    "conf": Path("/usr/share/openvswitch/vswitch.ovsschema"),
}

# OVN lets every router advertisement through its access rules, so a guest with an IPv6 address could pretend to be
# the router. This flow joins OVN's own port security for neighbour discovery (table 74, which only what a guest with
# port security sends goes through; register 10, bit 12: drop it). ovn-controller wipes all flows when it connects,
# and the monitor then tells us.
ND_TABLE = 74
GUARD_FLOW = f"table={ND_TABLE},priority=65000,icmp6,icmp_type=134,actions=load:1->NXM_NX_REG10[12]"
GUARD_WATCH = f"watch:table={ND_TABLE},icmp6,icmp_type=134"
GUARD = """
trap 'trap - TERM; kill 0' TERM
while :; do
    ovs-ofctl monitor "$1" "$3" 2>&1 | while read -r line; do
        case $line in
            *DELETED*) ovs-ofctl add-flow "$1" "$2" ;;
            *"(xid=0x0)"*) ;;
            *"MONITOR reply"*) ovs-ofctl add-flow "$1" "$2" ;;
        esac
    done &
    wait $!
    sleep 0.2
done
"""


@dataclass(frozen=True, slots=True)
class OvnPaths:
    """Where it all lies: databases and logs are kept, ``run`` holds sockets and pid files."""

    state: Path
    run: Path
    log: Path

    @classmethod
    def under(cls, directory: Path) -> OvnPaths:
        """The usual layout inside a state directory."""
        return cls(directory / "ovn", directory / "run" / "ovn", directory / "log")

    def socket(self, name: str) -> Path:
        """``nb``, ``sb`` or ``conf``'s socket."""
        return self.run / f"{name}.sock"

    def database(self, name: str) -> Path:
        """The file of ``nb``, ``sb`` or ``conf``."""
        return self.state / f"{name}.db"

    @property
    def northbound(self) -> str:
        """What the OVN driver connects to."""
        return f"unix:{self.socket('nb')}"

    @property
    def southbound(self) -> str:
        """Where the OVN driver reads how members of load balancers are."""
        return f"unix:{self.socket('sb')}"

    @property
    def env(self) -> Mapping[str, str]:
        """Environment in which OVN's and OVS's own tools find these sockets."""
        run, state, logs = str(self.run), str(self.state), str(self.log)
        return {"OVS_RUNDIR": run, "OVN_RUNDIR": run, "OVS_DBDIR": state, "OVN_DBDIR": state, "OVS_LOGDIR": logs,
                "OVN_LOGDIR": logs, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def datapath(netns: str | None) -> str:
    """``system`` where the kernel can forward for Open vSwitch, else ``netdev`` (in userspace). Really tries it."""
    if not Path("/sys/module/openvswitch").exists():
        succeeds("modprobe", "openvswitch")
    if not Path("/sys/module/openvswitch").exists():
        return "netdev"
    if not succeeds("ovs-dpctl", "add-dp", "stk-probe", netns=netns):
        return "netdev"
    succeeds("ovs-dpctl", "del-dp", "stk-probe", netns=netns)
    return "system"


def prepare(paths: OvnPaths, *, new_boot: bool) -> None:
    """Make directories and databases. *new_boot*: no interface of before exists, so the switch starts afresh."""
    for directory in (paths.state, paths.run, paths.log):
        directory.mkdir(parents=True, exist_ok=True)
    paths.state.chmod(0o700)
    paths.run.chmod(0o700)
    if new_boot:
        paths.database("conf").unlink(missing_ok=True)
    for name, schema in SCHEMA_FILES.items():
        file = paths.database(name)
        (file.parent / f".{file.name}.~lock~").unlink(missing_ok=True)
        if not file.exists():
            fresh = file.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            run("ovsdb-tool", "create", str(fresh), str(schema))
            fresh.replace(file)
        elif run("ovsdb-tool", "needs-conversion", str(file), str(schema)).strip() == "yes":
            run("ovsdb-tool", "convert", str(file), str(schema))


def ovn_processes(paths: OvnPaths, netns: str | None, datapath: str) -> list[ProcessSpec]:
    """The processes, in an order in which they can be started."""
    nb, sb, conf = (f"unix:{paths.socket(name)}" for name in ("nb", "sb", "conf"))
    switch = ("ovs-vswitchd", conf, *(("--disable-system",) if datapath == "netdev" else ()))
    return [
        _database(paths, "ovn-nb", "nb", netns),
        _database(paths, "ovn-sb", "sb", netns),
        _database(paths, "ovs-db", "conf", netns),
        _daemon(paths, "ovs-vswitchd", switch, netns, ("ovs-db",)),
        _daemon(paths, "ovn-northd", ("ovn-northd", f"--ovnnb-db={nb}", f"--ovnsb-db={sb}"), netns,
                ("ovn-nb", "ovn-sb")),
        _daemon(paths, "ovn-controller", ("ovn-controller", conf), netns, ("ovs-db", "ovn-sb")),
        ProcessSpec("ovn-guard", ("sh", "-c", GUARD, "ovn-guard", f"unix:{paths.run}/{INTEGRATION}.mgmt", GUARD_FLOW,
                                  GUARD_WATCH), paths.env, netns, after=("ovs-vswitchd",), stop_timeout=1.0),
    ]


def configure(paths: OvnPaths, chassis: str, datapath: str, *, mappings: Mapping[str, str] | None = None,
              southbound: str | None = None, tunnel_ip: str = "127.0.0.1", timeout: float = 10.0) -> None:
    """Tell the switch who it is and where OVN is, and make the bridges. ``ovs-db`` runs, ``ovn-controller`` not yet:
    one that once found no identity (OVN 23.03) never looks again.

    *chassis* is this machine's name in OVN; *mappings* gives the bridge of each physical network.
    """
    bridges = dict(mappings if mappings is not None else {PHYSICAL_NETWORK: EXTERNAL})
    ids = {
        "system-id": chassis, "hostname": chassis, "ovn-remote": southbound or f"unix:{paths.socket('sb')}",
        "ovn-encap-type": "geneve", "ovn-encap-ip": tunnel_ip, "ovn-bridge-datapath-type": datapath,
        "ovn-bridge-mappings": ",".join(f"{network}:{bridge}" for network, bridge in bridges.items()),
        "ovn-monitor-all": "true", "ovn-cms-options": "enable-chassis-as-gw",
    }
    commands = ["--", "set", "Open_vSwitch", ".", *(f'external_ids:{key}="{value}"' for key, value in ids.items())]
    for bridge in (INTEGRATION, *bridges.values()):
        commands += ["--", "--may-exist", "add-br", bridge, "--", "set", "Bridge", bridge,
                     f"datapath_type={datapath}"]
    commands += ["--", "set", "Bridge", INTEGRATION, "fail_mode=secure", "other_config:disable-in-band=true"]
    vsctl(paths, "--no-wait", "init", *commands, timeout=timeout)


def vsctl(paths: OvnPaths, *arguments: str, timeout: float = 10.0) -> str:
    """``ovs-vsctl`` on this switch."""
    return run("ovs-vsctl", f"--db=unix:{paths.socket('conf')}", f"--timeout={max(1, round(timeout))}", *arguments,
               env=paths.env, timeout=timeout + 2)


def plug(paths: OvnPaths, bridge: str, device: str, port_id: str | None = None) -> None:
    """Make *device* a port of *bridge*; on the integration bridge *port_id* says which logical port it is."""
    interface = ["--", "set", "Interface", device, f"external_ids:iface-id={port_id}"] if port_id else []
    vsctl(paths, "--no-wait", "--may-exist", "add-port", bridge, device, *interface)


def unplug(paths: OvnPaths, device: str) -> None:
    """Take *device* out of whatever bridge it is in; quietly when the switch isn't running (it will look again)."""
    try:
        vsctl(paths, "--no-wait", "--if-exists", "del-port", device, timeout=5.0)
    except CommandFailed as error:
        log.info("could not unplug %s: %s", device, error)


def _database(paths: OvnPaths, name: str, database: str, netns: str | None) -> ProcessSpec:
    socket, file = paths.socket(database), paths.database(database)
    argv = ("ovsdb-server", str(file), f"--remote=punix:{socket}")
    spec = _daemon(paths, name, argv, netns, (), socket)
    return spec if database == "conf" else replace(spec, before=_made_anew(file, SCHEMA_FILES[database]))


def _made_anew(file: Path, schema: Path) -> str:
    """Shell that makes a database that has vanished: all that OVN's hold is put there again."""
    old, new = shlex.quote(str(file)), shlex.quote(str(file.with_suffix(".new")))
    return f"[ -e {old} ] || {{ rm -f {new}; ovsdb-tool create {new} {shlex.quote(str(schema))} && mv {new} {old}; }}"


def _daemon(paths: OvnPaths, name: str, argv: tuple[str, ...], netns: str | None, after: tuple[str, ...],
            ready: Path | None = None) -> ProcessSpec:
    control = paths.run / f"{name}.ctl"
    common = [f"--log-file={paths.log / f'{name}.log'}", "-vconsole:off"]
    if name == "ovn-controller":                # names its own control socket: ovn-controller.<pid>.ctl
        return ProcessSpec(name, (*argv, *common), paths.env, netns, after=after)
    common.append(f"--unixctl={control}")
    return ProcessSpec(name, (*argv, *common), paths.env, netns, after=after, ready=ready or control)
