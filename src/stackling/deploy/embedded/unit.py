"""``stackling.service``: systemd brings one machine's cloud back after a reboot.

Theory of operation. The unit runs ``stackling up``, which starts a supervisor (or finds it running) and ends; the
supervisor is the unit's main process, by its pid file. When it dies, only it is started again, by another ``up``: it
takes over what runs, so nothing else may be killed (``KillMode=process``). ``stackling down`` from a shell ends the
supervisor with 0, which leaves the unit stopped.
"""

from __future__ import annotations

import sys

from stackling.deploy.embedded.directory import SYSTEM_DIRECTORY, StateDirectory

COMMAND = f"{sys.executable} -I -m stackling.cli.main"
_TEXT = """\
# Written by `stackling install`; put your own changes into a drop-in (systemctl edit).

[Unit]
Description=Stackling, an OpenStack cloud on this machine ({root})
Wants=network-online.target
After=network-online.target
RequiresMountsFor={root}
StartLimitIntervalSec=0

[Service]
Type=forking
PIDFile={root}/supervisor.pid
ExecStart={command} up --state-dir {root}
ExecStop={command} down --state-dir {root}
KillMode=process
Restart=on-failure
RestartSec=2s
TimeoutStartSec=180s
TimeoutStopSec=120s
LimitNOFILE=20000
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes

[Install]
WantedBy=multi-user.target
"""


def name(directory: StateDirectory) -> str:
    """The unit's name: several clouds of one machine have one each."""
    return "stackling.service" if directory.root == SYSTEM_DIRECTORY else f"stackling-{directory.digest}.service"


def text(directory: StateDirectory) -> str:
    """The unit's file."""
    return _TEXT.format(root=directory.root, command=COMMAND)
