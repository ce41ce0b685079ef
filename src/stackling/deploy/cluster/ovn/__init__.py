"""OVN of a cluster: its two databases and northd on the control machines, a switch on every machine.

``configuration`` says which units there are; ``centre`` and ``switch`` are the programs that they run around OVN's own.

Who may do what. The northbound database and its replication speak TLS with the control machines' own identity, so
that another machine's certificate opens nothing there. The southbound database takes every machine's certificate, and
role-based access (ovn-northd's ``ovn-controller`` role) lets each change what is its own: the certificate's common name
is the chassis' name. northd, which may change everything, uses the southbound server's unix socket: OVSDB wants it to
talk to the leader, so northd is active where that is, and the others wait.
"""

from stackling.deploy.cluster.ovn.configuration import files
from stackling.deploy.cluster.ovn.layout import NB_PORT, SB_PORT, Layout, northbound, southbound

__all__ = ["NB_PORT", "SB_PORT", "Layout", "files", "northbound", "southbound"]
