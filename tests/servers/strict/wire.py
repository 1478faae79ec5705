"""HTTP/1.1 on raw sockets: requests arrive exactly as they were sent, answers leave as wrong as a fault wants them.

A library would tidy up the path, the lengths and the framing: the very things that are tested here.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator
    from io import BufferedReader
    from typing import TypeAlias

    Handle: TypeAlias = Callable[["Request"], tuple["Reply", Callable[[int], None]]]

_IDLE_S = 60.0
_STRETCH = 1 << 18
_DRAIN = 64 << 20  # bytes of a refused upload that are read all the same, so that the client gets to see the refusal


class HangUp(Exception):
    """Close this connection now, without an answer."""

    def __init__(self, *, reset: bool = True) -> None:
        super().__init__()
        self.reset = reset


class Body:
    """What a client sends after its headers; read at most once. `100 Continue` goes out when the reading begins."""

    def __init__(self, source: BufferedReader, length: int | None, send: Callable[[bytes], None] | None) -> None:
        self._source: BufferedReader | BytesIO = source
        self._send, self._is_chunked, self.taken = send, length is None, 0
        self.left = 1 if length is None else length  # of a chunked body not known before it is read

    def read(self, size: int) -> bytes:
        """Up to *size* bytes; fewer only at the end."""
        self._begin()
        return self._take(self._source.read, min(size, self.left))

    def readline(self) -> bytes:
        """One line with its end, at most 8 KiB."""
        self._begin()
        return self._take(self._source.readline, min(8192, self.left))

    def pieces(self) -> Iterator[bytes]:
        """All the rest, in stretches."""
        while piece := self.read(_STRETCH):
            yield piece

    def _begin(self) -> None:
        if self._send:
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._send = None
        if self._is_chunked:  # boto3 over TLS; rare, and never large
            self._is_chunked, whole = False, b""
            while size := int(self._source.readline().split(b";")[0], 16):
                whole += self._source.read(size)
                self._source.readline()
            self._source.readline()
            self._source, self.left = BytesIO(whole), len(whole)

    def _take(self, read: Callable[[int], bytes], size: int) -> bytes:
        if not size:
            return b""
        data = read(size)
        if not data:
            raise HangUp  # the client went away
        self.left -= len(data)
        self.taken += len(data)
        return data


@dataclass(frozen=True)
class Request:
    """One request. `path` and `query` are as sent; header names are lower case."""

    verb: str
    path: str
    query: str
    headers: dict[str, str]
    header_bytes: int
    body: Body

    @property
    def target(self) -> str:
        """Path and query as sent."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def with_headers(self, **changes: str | None) -> Request:
        """The same request with other headers; `_` stands for `-`, None takes one away."""
        headers = {**self.headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return replace(self, headers={name: value for name, value in headers.items() if value is not None})


class Reply(NamedTuple):
    """One answer, and what a fault does to it on the way out."""

    status: int
    headers: dict[str, str]
    body: Iterable[bytes] = ()
    size: int = 0
    says_length: bool = True
    cut_after: int | None = None  # bytes of the body; then the connection ends
    reset: bool = False  # ... with RST instead of FIN
    stall_after: int | None = None  # bytes of the body, -1 is before the headers; then nothing for
    stall_s: float = 0.0
    bytes_per_s: int = 0  # slower than that is not possible, 0 is full speed


class Connection:
    """One client's socket. Ends with FIN, or with RST."""

    def __init__(self, plain: socket.socket, tls: ssl.SSLContext | None) -> None:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(_IDLE_S)
        self.socket, self._tls, self._source = plain, tls, plain.makefile("rb")

    def open(self) -> None:
        """Shake hands, where that is needed."""
        if self._tls:
            self._source.close()
            self.socket = self._tls.wrap_socket(self.socket, server_side=True)
            self._source = self.socket.makefile("rb")

    def read(self) -> Request | None:
        """The next request; None when the client has no more."""
        first = self._source.readline(65536)
        size, headers = len(first), dict[str, str]()
        while (line := self._source.readline(65536)) not in (b"\r\n", b""):
            size += len(line)
            name, _, value = line.decode("latin-1").partition(":")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        if not first.endswith(b" HTTP/1.1\r\n"):
            return None
        verb, target, _ = first.decode("latin-1").split(" ", 2)
        path, _, query = target.partition("?")
        length = headers.get("content-length", "0")
        is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        waits = headers.get("expect", "").lower() == "100-continue"
        size_known = None if is_chunked else int(length) if length.isdigit() else 0
        body = Body(self._source, size_known, self.socket.sendall if waits else None)
        return Request(verb, path, query, headers, size, body)

    def send(self, request: Request, reply: Reply, wait: Callable[[float], bool]) -> Iterator[int]:
        """Send an answer; yields the bytes of the body sent so far, at the end how many in all.

        *wait* pauses for so many seconds and says whether the cloud is being stopped.
        """
        lines = [f"HTTP/1.1 {reply.status} -", *(f"{name}: {value}" for name, value in reply.headers.items())]
        if reply.stall_after == -1 and wait(reply.stall_s):
            return
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8"))
        sent = 0
        pieces = () if request.verb == "HEAD" else _split(reply)
        for piece in pieces:
            stopped = sent == reply.stall_after and wait(reply.stall_s)
            if stopped or sent == reply.cut_after:
                break
            self.socket.sendall(piece)
            sent += len(piece)
            yield sent
            if reply.bytes_per_s and wait(len(piece) / reply.bytes_per_s):
                break

    def close(self, *, reset: bool = False) -> None:
        """End it; from another thread too."""
        with contextlib.suppress(OSError):
            if reset:  # closing with "linger 0" throws away what is unsent and sends RST
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._source.close()
        self.socket.close()


class Listener:
    """A listening port, a thread for each connection."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, handle: Handle) -> None:
        self._handle, self._tls = handle, tls
        self._open: set[Connection] = set()
        self._threads: list[threading.Thread] = []  # started; changed under the lock
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._socket = socket.create_server((host, port), backlog=1024)
        self.host, self.port = self._socket.getsockname()[:2]

    def start(self) -> None:
        """Begin to answer; after `stop` again, on the same port."""
        if self._stopping.is_set():
            self._stopping.clear()
            self._socket = socket.create_server((self.host, self.port), backlog=1024)
        self._in_thread(self._accept)

    def stop(self) -> None:
        """Refuse new connections, reset the open ones, wait for their threads."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._socket.close()
        while threads := self._alive():
            for connection in list(self._open):
                with contextlib.suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RDWR)  # wakes its thread, which closes it
            threads[-1].join(timeout=0.1)

    def _alive(self) -> list[threading.Thread]:
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            return list(self._threads)

    def _in_thread(self, run: Callable[..., None], *arguments: object) -> None:
        self._alive()  # forgets those that are over
        thread = threading.Thread(target=run, args=arguments, name="strict-cloud", daemon=True)
        with self._lock:
            thread.start()
            self._threads.append(thread)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            self._in_thread(self._converse, Connection(plain, self._tls))

    def _converse(self, connection: Connection) -> None:
        self._open.add(connection)
        reset = False
        try:
            with contextlib.suppress(OSError):  # the client left, or does not trust us: ssl.SSLError is one too
                connection.open()
                while not self._stopping.is_set() and (request := connection.read()):
                    if not self._answer(connection, request):
                        break
        except HangUp as end:
            reset = end.reset
        finally:
            self._open.discard(connection)
            connection.close(reset=reset)

    def _answer(self, connection: Connection, request: Request) -> bool:
        """Answer one request; whether the connection is good for another."""
        reply, log = self._handle(request)
        unread = request.body.left
        keep = reply.says_length and request.headers.get("connection", "").lower() != "close"
        keep = keep and not (unread and ("expect" in request.headers or unread > _DRAIN))
        if keep:  # refused before it was read
            for _ in request.body.pieces():
                pass
        length = {"Content-Length": str(reply.size)} if reply.says_length and reply.status not in {204, 304} else {}
        headers = {**length, "Connection": "keep-alive" if keep else "close", **reply.headers}
        for sent in connection.send(request, reply._replace(headers=headers), self._stopping.wait):
            log(sent)
        if reply.cut_after is not None or reply.reset:
            raise HangUp(reset=reply.reset)
        return keep


def _split(reply: Reply) -> Iterator[bytes]:
    """The body in pieces that end where something is to happen; an empty one at the end, for what happens there."""
    edges = sorted({edge for edge in (reply.cut_after, reply.stall_after) if edge is not None})
    slow = [max(1, reply.bytes_per_s // 10)] if reply.bytes_per_s else []
    at = 0
    for whole in reply.body:
        rest = whole
        while rest:
            stop = min([edge - at for edge in edges if edge > at] + slow + [len(rest)])
            yield rest[:stop]
            rest, at = rest[stop:], at + stop
    yield b""
