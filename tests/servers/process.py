"""A server as a child process that never outlives us.

It gets a process group of its own, so that Ctrl-C in the terminal reaches only us and we end exactly what we started;
and a parent-death signal, so that even SIGKILL on us leaves nothing behind.

Start servers from the main thread: Linux sends the parent-death signal when the *thread* that started the child ends.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

HOST = "127.0.0.1"
_PORTS = range(20_000, 32_000)  # below Linux's ephemeral ports, or a client's own socket may sit on the one we chose
# Becomes the server, after asking the kernel for a signal (PR_SET_PDEATHSIG is 1) when its parent dies; should the
# parent be dead already, no signal will come.
_LAUNCH = """
import ctypes, os, sys
parent, signal, *command = sys.argv[1:]
ctypes.CDLL(None).prctl(1, int(signal), 0, 0, 0)
if os.getppid() == int(parent):
    os.execvp(command[0], command)
"""
_SYSTEM_RANDOM = random.SystemRandom()


class DidNotStartError(RuntimeError):
    """A server ended, or did not answer in time; the text has the end of its log."""


@contextlib.contextmanager
def serving(
    command: Callable[[int], Sequence[str]],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    patience_s: float = 60.0,
    on_our_death: signal.Signals = signal.SIGKILL,
) -> Iterator[int]:
    """Start `command(port)`, wait until it answers HTTP, yield the port, end its process group.

    Args:
        command: Makes the arguments from a free port.
        log: Gets the server's stdout and stderr.
        env: Added to our environment.
        cwd: The server's working folder.
        patience_s: How long it may take until it answers.
        on_our_death: What the kernel sends it when we die. SIGTERM only for a server that ends its own children by it.

    Raises:
        DidNotStartError: Three tries on three ports failed.
    """
    for attempt in range(3):
        port = free_port()
        child = _start(command(port), log, env=env, cwd=cwd, on_our_death=on_our_death)
        try:
            if _answers(child, port, patience_s):
                yield port
                return
        finally:
            _end(child)
        if child.returncode == 0 or attempt == 2:  # another port cannot help
            break
    raise DidNotStartError(f"{command(0)[0]} did not start (exit code {child.returncode}):\n{tail(log)}")


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    while True:
        port = _SYSTEM_RANDOM.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return port


def tail(log: Path, size_bytes: int = 2_000) -> str:
    """The end of a log, as text; empty when there is none."""
    try:
        return log.read_bytes()[-size_bytes:].decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _start(
    argv: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    on_our_death: signal.Signals,
) -> subprocess.Popen[bytes]:
    # Python's preexec_fn would do the same, but not safely in a process that has threads.
    launch = [sys.executable, "-ISc", _LAUNCH, str(os.getpid()), str(int(on_our_death))]
    with log.open("ab") as sink:
        return subprocess.Popen(
            [*launch, *argv],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )


def _answers(child: subprocess.Popen[bytes], port: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and not _ended(child):
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=5) as probe:
            probe.sendall(b"GET / HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\nConnection: close\r\n\r\n")
            if probe.recv(5) == b"HTTP/":
                return not _ended(child)  # it ended: somebody else answered on its port
        time.sleep(0.05)
    return False


def _ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether it ended, without taking its exit code: until that is taken, its number cannot become somebody else's."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 3
    if not _ended(child):
        os.killpg(child.pid, signal.SIGTERM)
        while not _ended(child) and time.monotonic() < deadline:
            time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)  # a leader that did not listen, and what it left behind
    child.wait()
