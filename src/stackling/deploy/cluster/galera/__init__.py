"""The cluster's database: MariaDB with Galera on every control machine (1 to 3 of them).

``configuration`` says which files and units there are; ``rules`` decides when a node starts, joins or bootstraps;
``start`` is the program that systemd runs, which does what was decided and watches over the server.
"""

from stackling.deploy.cluster.galera.configuration import check, files, units
from stackling.deploy.cluster.galera.layout import ACCOUNT, DATABASE, UNIT, Layout

__all__ = ["ACCOUNT", "DATABASE", "UNIT", "Layout", "check", "files", "units"]
