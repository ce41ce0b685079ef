"""OVN's units and the switch's, as pure functions of the cluster's description."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from stackling.deploy.cluster.description import Cluster, Machine
from stackling.deploy.cluster.ovn.layout import NB_PORT, Layout, northbound
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.cluster.unit import Section, unit
from stackling.deploy.embedded.ovn import OvnPaths

_PYTHON = f"{sys.executable} -I -m stackling.deploy.cluster.ovn"
_RESTART: Section = {"Restart": "always", "RestartSec": "1s"}
NB, SB, SETTINGS, NORTHD = (f"stackling-{name}.service" for name in ("ovn-nb", "ovn-sb", "ovn-settings", "northd"))
SWITCH_DB, SWITCH, CONTROLLER, GUARD = (
    f"stackling-{name}.service" for name in ("ovs-db", "ovs-switch", "ovn-controller", "ovn-guard"))
CENTRE_UNITS = (NB, SB, NORTHD)
SWITCH_UNITS = (SWITCH_DB, SWITCH, CONTROLLER, GUARD)


def files(cluster: Cluster, name: str, paths: Paths) -> list[ConfigFile]:
    """The files of machine *name*."""
    at, machine = Layout(paths), cluster.machine(name)
    found = [_socket_link(paths, at.switch), *_switch(at, paths)]
    return [*found, *_centre(cluster, machine, at, paths)] if machine.control else found


def _socket_link(paths: Paths, switch: OvnPaths) -> ConfigFile:
    """libvirt asks for the switch where Debian's package has it."""
    text = ("# Written by Stackling.\nd /run/openvswitch 0755 root root\n"
            f"L+ /run/openvswitch/db.sock - - - - {switch.socket('conf')}\n")
    return ConfigFile(paths.root / "etc/tmpfiles.d/stackling-ovs.conf", text.encode())


# -- the centre

def _centre(cluster: Cluster, machine: Machine, at: Layout, paths: Paths) -> list[ConfigFile]:
    return [_database("nb", machine, at, paths), _database("sb", machine, at, paths), _settings(at, paths),
            _northd(cluster, at, paths)]


def _database(which: str, machine: Machine, at: Layout, paths: Paths) -> ConfigFile:
    centre, name = at.centre, {"nb": "northbound", "sb": "southbound"}[which]
    if which == "nb":
        remotes = f"--remote=pssl:{NB_PORT}:{machine.address}"
        tls = [at.identity] * 3
    else:
        remotes = "--remote=db:OVN_Southbound,SB_Global,connections"
        tls = [paths.pki / "machine.key", paths.pki / "machine.crt", paths.pki / "ca.crt"]
    key, certificate, ca = tls
    command = (f"/usr/sbin/ovsdb-server {centre.database(which)} --remote=punix:{centre.socket(which)} {remotes} "
               f"--private-key={key} --certificate={certificate} --ca-cert={ca} "
               f"--unixctl={centre.run / f'ovn-{which}.ctl'} {_quiet()}")
    return unit(paths, f"stackling-ovn-{which}.service", {
        "Unit": {"Description": f"OVN's {name} database", "Documentation": "man:ovsdb(7)",
                 "After": "network-online.target", "Wants": f"network-online.target {SETTINGS}",
                 "StartLimitIntervalSec": "0"},
        "Service": {**_environment(centre), "ExecStartPre": f"{_PYTHON}.centre{_root(paths)} prepare {which}",
                    "ExecStart": command,
                    # This way a leader hands over before it goes.
                    "ExecStop": f"-/usr/bin/ovs-appctl -t {centre.run / f'ovn-{which}.ctl'} exit",
                    "TimeoutStopSec": "10s", **_RESTART},
        "Install": {"WantedBy": "multi-user.target"},
    })


def _settings(at: Layout, paths: Paths) -> ConfigFile:
    return unit(paths, SETTINGS, {
        "Unit": {"Description": "Settings in OVN's databases", "After": f"{NB} {SB}", "PartOf": f"{NB} {SB}",
                 "StartLimitIntervalSec": "0"},
        "Service": {**_environment(at.centre), "Type": "simple",
                    "ExecStart": f"{_PYTHON}.centre{_root(paths)} settings", "Restart": "on-failure",
                    "RestartSec": "2s"},
    })


def _northd(cluster: Cluster, at: Layout, paths: Paths) -> ConfigFile:
    centre = at.centre
    command = (f"/usr/bin/ovn-northd --ovnnb-db={northbound(cluster)} --ovnsb-db=unix:{centre.socket('sb')} "
               f"--private-key={at.identity} --certificate={at.identity} --ca-cert={at.identity} "
               f"--unixctl={centre.run / 'northd.ctl'} {_quiet()}")
    return unit(paths, NORTHD, {
        "Unit": {"Description": "OVN's northd", "Documentation": "man:ovn-northd(8)", "After": f"{NB} {SB}",
                 "StartLimitIntervalSec": "0"},
        "Service": {**_environment(centre), "ExecStartPre": f"/bin/mkdir -p {centre.run}", "ExecStart": command,
                    "TimeoutStopSec": "10s", **_RESTART},
        "Install": {"WantedBy": "multi-user.target"},
    })


# -- the switch

def _switch(at: Layout, paths: Paths) -> list[ConfigFile]:
    switch = at.switch
    program = f"{_PYTHON}.switch{_root(paths)}"
    conf = f"unix:{switch.socket('conf')}"
    # The bridges are made while the switch runs: it must be there to tell which datapath works.
    return [
        unit(paths, SWITCH_DB, {
            "Unit": {"Description": "Open vSwitch's database", "StartLimitIntervalSec": "0"},
            "Service": {**_environment(switch), "ExecStartPre": f"{program} prepare",
                        "ExecStart": f"/usr/sbin/ovsdb-server {switch.database('conf')} "
                                     f"--remote=punix:{switch.socket('conf')} "
                                     f"--unixctl={switch.run / 'ovs-db.ctl'} {_quiet()}",
                        "ExecStartPost": f"{program} configure", "TimeoutStartSec": "60s", **_RESTART},
            "Install": {"WantedBy": "multi-user.target"},
        }),
        unit(paths, SWITCH, {
            "Unit": {"Description": "Open vSwitch", "Documentation": "man:ovs-vswitchd(8)", "After": SWITCH_DB,
                     "Requires": SWITCH_DB, "StartLimitIntervalSec": "0"},
            "Service": {**_environment(switch), "EnvironmentFile": str(at.options),
                        "ExecStart": f"/usr/sbin/ovs-vswitchd {conf} $SWITCH_OPTIONS "
                                     f"--unixctl={switch.run / 'ovs-vswitchd.ctl'} {_quiet()}",
                        "ExecStartPost": f"{program} interfaces", "TimeoutStartSec": "60s", **_RESTART},
            "Install": {"WantedBy": "multi-user.target"},
        }),
        unit(paths, CONTROLLER, {
            "Unit": {"Description": "OVN's controller", "Documentation": "man:ovn-controller(8)",
                     "After": f"{SWITCH} network-online.target", "Requires": SWITCH_DB,
                     "Wants": f"network-online.target {SWITCH}", "StartLimitIntervalSec": "0"},
            # What it has put into the switch goes on working without it.
            "Service": {**_environment(switch),
                        "ExecStart": f"/usr/bin/ovn-controller {conf} --private-key={paths.pki / 'machine.key'} "
                                     f"--certificate={paths.pki / 'machine.crt'} --ca-cert={paths.pki / 'ca.crt'} "
                                     # names its control socket itself, by its process
                                     f"--pidfile={switch.run / 'ovn-controller.pid'} {_quiet()}",
                        "ExecStop": "/bin/kill -KILL $MAINPID", "SuccessExitStatus": "SIGKILL", **_RESTART},
            "Install": {"WantedBy": "multi-user.target"},
        }),
        unit(paths, GUARD, {
            "Unit": {"Description": "Keep guests from pretending to be routers", "After": SWITCH, "Wants": SWITCH,
                     "StartLimitIntervalSec": "0"},
            "Service": {**_environment(switch), "ExecStart": f"{program} guard", **_RESTART},
            "Install": {"WantedBy": "multi-user.target"},
        }),
    ]


def _environment(at: OvnPaths) -> Mapping[str, list[str]]:
    return {"Environment": [f"{key}={value}" for key, value in at.env.items()]}


def _quiet() -> str:
    """To the journal, without what is said twice."""
    return "-vfile:off -vsyslog:off -vconsole:info"


def _root(paths: Paths) -> str:
    return "" if paths.root == Path("/") else f" --root {paths.root}"
