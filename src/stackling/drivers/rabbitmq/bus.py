"""A bus for processes of several machines: a fan-out exchange on each of several brokers that don't know each other.

Theory of operation. For each broker there is one thread with one connection, which it makes again for ever. What is
sent goes out by every broker that is connected, and everybody listens at all of them, so that the loss of one costs
nothing as long as another one reaches both; what comes more than once is recognised by its id and delivered once.
A listener may have missed something while a broker was away: when a connection stands again, everybody is told
"anything". Nothing is kept: the exchange, the queues and what is in them die with the broker.
"""

from __future__ import annotations

import contextlib
import logging
import random
import secrets
import ssl
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stackling.ports.bus import Bus

log = logging.getLogger(__name__)
Keys = Sequence[tuple[str, str]]
EXCHANGE = "stackling"
LARGEST = 32 * 1024             # bytes of a message; a larger one becomes "anything"
WAITING = 256                   # messages that wait for one broker; with more they become "anything"
REMEMBERED = 4096               # messages whose ids are known
HEARTBEAT = 6                   # seconds; a silent broker is left after twice that
CONNECTING = 4.0                # seconds a connection may take
PAUSES = (0.2, 5.0)             # seconds between attempts, growing
POLL = 0.5                      # seconds that a thread waits when nothing happens
_IN_QUEUE, _LIFETIME = 1000, "60000"
_encode = msgspec.json.Encoder().encode


class _Message(msgspec.Struct, frozen=True, array_like=True):
    sender: str
    number: int
    keys: list[tuple[str, str]]


_decode = msgspec.json.Decoder(_Message).decode


class RabbitBus:
    """``ports.bus.Bus`` over the brokers at *addresses* (``host:port``).

    *identity* is a PEM file with a certificate, its key, and the authority that brokers' certificates must have, too;
    None: no TLS. *near* is the bus of this *machine*'s processes, among which the brokers then have no part.
    Connecting begins when somebody sends or listens.
    """

    def __init__(self, addresses: Sequence[str], password: str, identity: Path | None = None,
                 account: str = "stackling", near: Bus | None = None, machine: str = "") -> None:
        self._near, self._machine = near, machine if near is not None else secrets.token_hex(8)
        self._own, self._number = f"{self._machine}/{secrets.token_hex(8)}", 0
        self._listeners: list[Callable[[Keys], None]] = []
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._lock = threading.Lock()
        self._brokers = [_Broker(address, account, password, identity, self._hear, self._connected)
                         for address in addresses]
        self._started = False

    @property
    def connected(self) -> int:
        """How many brokers are connected, for people."""
        return sum(broker.connected.is_set() for broker in self._brokers)

    def send(self, keys: Keys) -> None:
        if self._near is None:
            self._deliver(keys)
        else:
            self._near.send(keys)
        with self._lock:
            self._number += 1
            number = self._number
        data = _encode(_Message(self._own, number, list(keys)))
        if len(data) > LARGEST:
            data = _encode(_Message(self._own, number, []))
        self._start()
        for broker in self._brokers:
            broker.send(data)

    def listen(self, woken: Callable[[Keys], None]) -> None:
        self._listeners.append(woken)
        if self._near is not None:
            self._near.listen(woken)
        self._start()

    def close(self) -> None:
        """Disconnect, in the background."""
        if self._near is not None:
            self._near.close()
        for broker in self._brokers:
            broker.stop()

    # -- how

    def _start(self) -> None:
        with self._lock:
            started, self._started = self._started, True
        if not started:
            for broker in self._brokers:
                broker.start()

    def _connected(self) -> None:
        self._deliver([])

    def _hear(self, data: bytes) -> None:
        try:
            message = _decode(data)
        except msgspec.DecodeError:
            self._deliver([])
            return
        if message.sender.partition("/")[0] == self._machine:
            return
        key = (message.sender, message.number)
        with self._lock:
            if key in self._seen:
                return
            self._seen[key] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        self._deliver(message.keys)

    def _deliver(self, keys: Keys) -> None:
        for woken in self._listeners:
            try:
                woken(keys)
            except Exception:
                log.exception("a listener failed")


class _Broker(threading.Thread):
    """One broker and what waits for it."""

    def __init__(self, address: str, account: str, password: str, identity: Path | None,
                 hear: Callable[[bytes], None], connected: Callable[[], None]) -> None:
        super().__init__(name=f"bus-{address}", daemon=True)
        self._host, _, port = address.rpartition(":")
        self._port, self._account, self._password, self._identity = int(port), account, password, identity
        self._hear, self._tell = hear, connected
        self._waiting: deque[bytes] = deque(maxlen=WAITING)
        self._connection: Any = None
        self._ended = threading.Event()
        self.connected = threading.Event()

    def send(self, data: bytes) -> None:
        """Hand it over; what doesn't fit pushes the oldest out, and who is away is told "anything" when back."""
        if not self.connected.is_set():
            return
        if len(self._waiting) == WAITING:
            data = _encode(_Message("", secrets.randbits(62), []))
        self._waiting.append(data)
        self._wake()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._wake()

    def run(self) -> None:
        pause = PAUSES[0]
        while not self._ended.is_set():
            try:
                channel = self._connect()
                pause = PAUSES[0]
                self._tell()
                self._converse(channel)
            except Exception as error:
                log.log(logging.INFO if self.connected.is_set() else logging.DEBUG, "broker %s:%d: %s", self._host,
                        self._port, error or type(error).__name__)
            finally:
                self._disconnect()
            self._ended.wait(pause * random.uniform(0.7, 1.3))
            pause = min(pause * 1.7, PAUSES[1])

    # -- how

    def _connect(self) -> Any:
        import pika

        tls = None if self._identity is None else pika.SSLOptions(_tls(self._identity))
        parameters = pika.ConnectionParameters(
            self._host, self._port, "/", pika.PlainCredentials(self._account, self._password), heartbeat=HEARTBEAT,
            socket_timeout=CONNECTING, stack_timeout=CONNECTING, blocked_connection_timeout=HEARTBEAT,
            connection_attempts=1, ssl_options=tls)
        self._connection = pika.BlockingConnection(parameters)
        channel = self._connection.channel()
        channel.exchange_declare(EXCHANGE, "fanout", durable=False, auto_delete=False)
        queue = channel.queue_declare("", exclusive=True, auto_delete=True, arguments={
            "x-max-length": _IN_QUEUE, "x-message-ttl": int(_LIFETIME)}).method.queue
        channel.queue_bind(queue, EXCHANGE)
        channel.basic_consume(queue, lambda _channel, _method, _properties, body: self._hear(body), auto_ack=True)
        self._waiting.clear()
        self.connected.set()
        log.info("broker %s:%d is connected", self._host, self._port)
        return channel

    def _converse(self, channel: Any) -> None:
        while not self._ended.is_set():
            while self._waiting:
                channel.basic_publish(EXCHANGE, "", self._waiting.popleft())
            self._connection.process_data_events(POLL)

    def _wake(self) -> None:
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.add_callback_threadsafe(lambda: None)

    def _disconnect(self) -> None:
        self.connected.clear()
        connection, self._connection = self._connection, None
        if connection is not None and connection.is_open:
            with contextlib.suppress(Exception):
                connection.close()


def _tls(identity: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False              # the identity is the same on all brokers, and on nobody else
    context.load_verify_locations(identity)
    context.load_cert_chain(identity)
    return context
