"""The host document on this machine's disk: written before anything is done, older ones refused.

Theory of operation. The ledger is a journal of merges; one line is one merge, so that a crash leaves all of it or
nothing. A document is refused when its ``(era, epoch)``, or within the same pair its generation, is older than what
the ledger holds: it comes from a control node that is behind, or from before a lease moved. A higher ``era`` (the
database was restored from a backup) wins over everything, including the counters of what was done. ``MachineLock``
keeps a second agent from acting for the same machine.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

import msgspec

from stackling.agent.plan import Done, first_done
from stackling.agent.run import Run, inline
from stackling.core.journal import Journal
from stackling.ports.document import HostDocument, MetadataNetwork, ServerDesired

COMPACT_BYTES = 256 * 1024      # below this the journal is never rewritten
COMPACT_RATIO = 4               # rewritten when it has grown to this many times its size after the last rewriting


class Head(msgspec.Struct, frozen=True):
    """Which document the ledger holds."""

    host: str
    era: int = 0
    epoch: int = 0
    generation: int = 0


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the journal."""

    head: Head | None = None
    servers: tuple[ServerDesired, ...] = ()
    networks: tuple[MetadataNetwork, ...] | None = None
    done: tuple[Done, ...] = ()
    dropped: tuple[str, ...] = ()
    sequence: int = 0


class StaleDocument(Exception):
    """The document is older than the ledger."""


class MachineHeld(Exception):
    """Another agent acts for this machine."""


class Ledger:
    """The document of one host. Everything that changes it returns after it is on disk, and shows only then.

    To be used from one event loop; *run* runs the writing.
    """

    def __init__(self, path: Path, host: str, *, durable: bool = True, run: Run = inline) -> None:
        self.head = Head(host)
        self.servers: dict[str, ServerDesired] = {}
        self.networks: tuple[MetadataNetwork, ...] = ()
        self.sequence = 0
        self._done: dict[str, Done] = {}
        self._journal = Journal(path, durable=durable)
        self._run = run
        self._writing = asyncio.Lock()
        decoder = msgspec.json.Decoder(Record)
        for line in self._journal.load():
            self._take(decoder.decode(line))
        self._compacted = max(self._journal.size, COMPACT_BYTES)
        if self.head.host != host:
            raise MachineHeld(f"{path} is the ledger of host {self.head.host}, not of {host}")

    def check(self, document: HostDocument) -> None:
        """Raises ``StaleDocument`` when the ledger holds a newer one."""
        head = self.head
        if document.host != head.host:
            raise StaleDocument(f"the document is of host {document.host}, not of {head.host}")
        new, old = (document.era, document.epoch), (head.era, head.epoch)
        if new < old or (new == old and document.generation < head.generation):
            raise StaleDocument(f"document {(*new, document.generation)} is older than {(*old, head.generation)}")
        if not document.complete and new != old:
            raise StaleDocument(f"document {new} has only changes, to a document that isn't here")

    async def merge(self, document: HostDocument) -> list[str]:
        """Take *document* in; the ids whose desired state changed. Raises ``StaleDocument`` or ``OSError``."""
        self.check(document)
        restored = document.era > self.head.era and self.head.epoch > 0
        changed = [server for server in document.servers if self.servers.get(server.id) != server]
        gone = set(self.servers) - {server.id for server in document.servers} if document.complete else set[str]()
        head = Head(document.host, document.era, document.epoch, document.generation)
        networks = document.networks if document.networks != self.networks else None
        if head != self.head or changed or gone or networks is not None:
            done = (first_done(server) for server in changed if restored or server.id not in self._done)
            await self._write(Record(head=head, servers=tuple(changed), networks=networks, done=tuple(done),
                               dropped=tuple(sorted(gone))))
        return [server.id for server in changed]

    def done(self, server_id: str) -> Done:
        """What was done for a server."""
        return self._done.get(server_id) or Done(id=server_id)

    async def note(self, done: Done) -> None:
        """Something was done."""
        await self._write(Record(done=(done,)))

    async def drop(self, server_ids: tuple[str, ...]) -> None:
        """These servers are gone, and control knows it."""
        await self._write(Record(dropped=server_ids))

    async def reserve(self, sequence: int) -> None:
        """No report up to *sequence* will be numbered by a later agent."""
        await self._write(Record(sequence=sequence))

    def close(self) -> None:
        """Let go of the file."""
        self._journal.close()

    # -- how

    async def _write(self, record: Record) -> None:
        async with self._writing:
            await self._run(self._journal.append, msgspec.json.encode(record))
            self._take(record)
            if self._journal.size > COMPACT_RATIO * self._compacted:
                whole = Record(head=self.head, servers=tuple(self.servers.values()), networks=self.networks,
                               done=tuple(self._done.values()), sequence=self.sequence)
                await self._run(self._journal.rewrite, [msgspec.json.encode(whole)])
                self._compacted = max(self._journal.size, COMPACT_BYTES)

    def _take(self, record: Record) -> None:
        if record.head is not None:
            self.head = record.head
        for server in record.servers:
            self.servers[server.id] = server
        if record.networks is not None:
            self.networks = record.networks
        for done in record.done:
            self._done[done.id] = done
        for server_id in record.dropped:
            self.servers.pop(server_id, None)
            self._done.pop(server_id, None)
        self.sequence = max(self.sequence, record.sequence)


class MachineLock:
    """Held as long as the process lives. Raises ``MachineHeld`` when another one holds it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._file, 32).decode().strip()
            os.close(self._file)
            raise MachineHeld(f"another agent (pid {holder or 'unknown'}) holds {path}; two must never act for one "
                              "machine: stop it first") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let another agent act."""
        os.close(self._file)
