"""A peer on raw sockets that says exactly the bytes a test wants to hear, right or wrong."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HOST = "127.0.0.1"
CLOSE = "close"
RESET = "reset"


class Asked(NamedTuple):
    """One request as it came: `target` and header values untouched, names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    number: int  # of all requests, from 1 on
    connection: int  # of all connections, from 1 on


Answer = bytes | list[bytes | float | str]  # bytes are sent, seconds waited, CLOSE and RESET end the connection


def reply(status: int = 200, body: bytes = b"", *lines: str, length: bool = True) -> bytes:
    """A whole answer; `length` off leaves Content-Length out, so that only the end of the connection ends the body."""
    head = [f"HTTP/1.1 {status} -", *lines, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Peer:
    """Listens on loopback; `with Peer(answer) as peer:`.

    Attributes:
        url: Where it is.
        asked: All requests so far.
    """

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self._answer = answer
        self._listener = socket.create_server((HOST, 0), backlog=512)
        self.url = f"http://{HOST}:{self._listener.getsockname()[1]}"
        self._ending = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
                thread = threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True)
                self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            source = connection.makefile("rb")
            while not self._ending.is_set() and (asked := self._read(source, number)) is not None:
                answer = self._answer(asked)
                if not self._say(connection, [answer] if isinstance(answer, bytes) else answer):
                    break
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            with contextlib.suppress(OSError):
                source.close()
            connection.close()

    def _read(self, source: object, connection: int) -> Asked | None:
        first = source.readline()  # type: ignore[attr-defined]
        if not first:
            return None
        headers: dict[str, str] = {}
        while (line := source.readline()) not in {b"\r\n", b""}:  # type: ignore[attr-defined]
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = source.read(int(headers.get("content-length", "0")))  # type: ignore[attr-defined]
        method, target, _ = first.decode("latin-1").split(" ", 2)
        with self._lock:
            asked = Asked(method, target, headers, body, len(self.asked) + 1, connection)
            self.asked.append(asked)
        return asked

    def _say(self, connection: socket.socket, steps: Iterable[bytes | float | str]) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif isinstance(step, float):
                self._ending.wait(step)
            else:
                if step == RESET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
        return True
