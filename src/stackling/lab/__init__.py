"""Machines made of namespaces on one machine, each with a systemd of its own: a laptop's cluster, and the test bench.

A *lab* is some machines, the networks between them, a stand-in for their power switches, and a *client*: a place
outside the machines from where their users look at them.

    lab = Lab.open("lab")
    lab.machine("m1").run(["systemctl", "is-system-running"])
    lab.machine("m1").kill()                # power loss
    lab.client.run(["ping", "-c1", "10.77.0.2"])
"""

from stackling.lab.lab import Lab
from stackling.lab.machine import Machine
from stackling.lab.problem import LabError

__all__ = ["Lab", "LabError", "Machine"]
