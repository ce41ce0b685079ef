"""Where the database's files are, and which ports it has on the management network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.cluster.paths import Paths

UNIT = "stackling-database.service"
ACCOUNT = DATABASE = "stackling"
USER = "mysql"                      # the server's account on the machine
GROUP_PORT, TRANSFER_PORT, COPY_PORT, PEER_PORT = 4567, 4568, 4444, 4569


@dataclass(frozen=True, slots=True)
class Layout:
    """The database's share of ``Paths``."""

    paths: Paths

    @property
    def configuration(self) -> Path:
        """The server's option file."""
        return self.paths.etc / "database" / "server.cnf"

    @property
    def local(self) -> Path:
        """Directory of the operator's own option files (``*.cnf``), read last."""
        return self.paths.etc / "database" / "local.d"

    @property
    def identity(self) -> Path:
        """Certificate and key of the control machines, readable by the server's account."""
        return self.paths.etc / "database" / "identity.pem"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.paths.state / "database"

    @property
    def ledger(self) -> Path:
        """What this node promised and accepted."""
        return self.paths.state / "database-ledger.json"

    @property
    def token(self) -> Path:
        """There only from ``cluster init`` until a majority has the database: this machine may begin alone. An
        operator who gives up machines that are lost for ever puts it on the one with the newest data.
        """
        return self.paths.state / "database-first"

    @property
    def run(self) -> Path:
        """The server's sockets; belongs to its account."""
        return self.paths.run / "database"

    @property
    def private_socket(self) -> Path:
        """Where the server listens from its start."""
        return self.run / "server.sock"

    @property
    def socket(self) -> Path:
        """A link to it, there from when it is safe to write."""
        return self.paths.run / "database.sock"

    @property
    def url(self) -> str:
        """For SQLAlchemy, without the password."""
        return f"mysql+pymysql://{ACCOUNT}@/{DATABASE}?unix_socket={self.socket}&charset=utf8mb4"
