"""What one command takes: seconds, processor seconds, and the memory of all its processes together."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LOOKS_A_SECOND = 4  # a look at 300 MiB in three processes costs about two milliseconds


class Took(NamedTuple):
    """What one command took, with all processes that it started."""

    seconds: float
    cpu_s: float
    peak_mib: float

    def __add__(self, other: object) -> Took:  # a turn of several commands is their sum
        """Both, one after the other."""
        if not isinstance(other, Took):
            return NotImplemented
        return Took(self.seconds + other.seconds, self.cpu_s + other.cpu_s, max(self.peak_mib, other.peak_mib))


class FailedError(RuntimeError):
    """A command ended with another code than 0, or did not do the work; the text says what it said."""


def timed(argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, out: Path | None = None) -> Took:
    """Run one command to its end.

    Args:
        argv: The command.
        env: Its whole environment.
        cwd: Its folder; what it says goes to `said.txt` there.
        out: Where its stdout goes instead.

    Raises:
        FailedError: It ended with another code than 0; with the end of what it said.
    """
    said = cwd / "said.txt"
    with said.open("wb") as err, (out or said).open("ab") as sink:
        began = time.perf_counter()
        child = start(argv, env=env, cwd=cwd, out=sink, err=err)
        try:
            with MemoryWatch(child.pid) as memory:
                _, status, usage = os.wait4(child.pid, 0)
                seconds = time.perf_counter() - began
                child.returncode = os.waitstatus_to_exitcode(status)
        finally:
            stop(child)
    if child.returncode:
        text = said.read_text("utf-8", "replace")[-2_000:]
        raise FailedError(f"{' '.join(map(str, argv))} ended with {child.returncode}:\n{text}")
    return Took(seconds, usage.ru_utime + usage.ru_stime, memory.peak_mib)


def start(
    argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, out: IO[bytes], err: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own, so that `stop` reaches all of it."""
    words = [str(word) for word in argv]
    return subprocess.Popen(
        words, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
    )


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a command that runs still, with all that it started."""
    if child.returncode is None:
        os.killpg(child.pid, 9)
        child.wait()


class MemoryWatch:
    """Looks a few times a second at how much memory a process and its descendants hold, while the block runs.

    Proportional set size: what several processes share counts once. What lives shorter than a look goes unseen.
    """

    def __init__(self, pid: int) -> None:
        self.peak_mib = 0.0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(1 / _LOOKS_A_SECOND):
            kib = sum(_pss_kib(pid) for pid in _family(self._pid))
            self.peak_mib = max(self.peak_mib, kib / 1024)


def _family(eldest: int) -> Iterator[int]:
    """A process and its descendants, as they are now."""
    parents = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_bytes()
            except OSError:
                continue  # it ended
            parents[int(entry.name)] = int(stat.rpartition(b")")[2].split()[1])
    for pid in parents:
        above = pid
        while above > 1 and above != eldest:
            above = parents.get(above, 0)
        if above == eldest:
            yield pid


def _pss_kib(pid: int) -> int:
    try:
        with Path(f"/proc/{pid}/smaps_rollup").open("rb") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith(b"Pss:")), 0)
    except OSError:
        return 0  # it ended, or is not ours


def steal_s() -> float:
    """Seconds that this machine's processors waited for a hypervisor, since it was started."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")
