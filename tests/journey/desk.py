"""A person's desk: a working folder with its settings, a NAS, and the installed command.

Every command line that is run here has to keep two promises whatever else it does: no traceback, and no secret.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import sqlite3
import struct
import subprocess
import sys
import sysconfig
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.servers.endpoints import AzureAt, S3At

SCS = Path(sysconfig.get_path("scripts")) / "scs"
PATIENCE_S = 60.0

# Makes the terminal the child's own: a key pressed there becomes a signal.
_AT_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_STRANGE = ("AZURE_", "AWS_", "SCS_", "DB_FILE", "MEDIA_FOLDER", "ALLOW_HTTP", "SSL_CERT_", "COLUMNS", "NO_COLOR")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Done(NamedTuple):
    """A command line that came to its end. `code` is what a shell would say: 130 for SIGINT."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its standard output, which must be one JSON document."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    @property
    def said(self) -> str:
        """All that a person saw."""
        return f"{self.out}{self.err}"


class Going:
    """A command line that is still at work. Leaving its block kills what is left of it."""

    def __init__(self, desk: Desk, words: tuple[str, ...], env: Mapping[str, str]) -> None:
        self._desk = desk
        number = next(desk.numbers)
        self.out, self.err = desk.folder / f"{number}.out", desk.folder / f"{number}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.child = subprocess.Popen(
                [str(SCS), *words],
                cwd=desk.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that must come while the command is at work."""
        until(condition, lambda: self.child.poll() is None)

    def interrupt(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ctrl-C reaches every process of the terminal; all other signals the command alone."""
        if how is signal.SIGINT:
            os.killpg(self.child.pid, how)
        else:
            self.child.send_signal(how)

    def end(self, timeout_s: float = PATIENCE_S) -> Done:
        """Wait for its end."""
        code = self.child.wait(timeout_s)
        out, err = (file.read_text("utf-8", "replace") for file in (self.out, self.err))
        return self._desk.checked(Done(code if code >= 0 else 128 - code, out, err))


class Terminal:
    """A command line at a terminal of its own. Leaving its block kills what is left of it."""

    def __init__(self, desk: Desk, words: tuple[str, ...], env: Mapping[str, str], columns: int) -> None:
        self._sent = bytearray()
        self._desk = desk
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.child = subprocess.Popen(
            [sys.executable, "-Ic", _AT_TERMINAL, str(SCS), *words],
            cwd=desk.folder,
            env={"TERM": "xterm-256color", **env},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self._reader.join()
        os.close(self._ours)

    @property
    def text(self) -> str:
        """What the terminal was sent so far."""
        return self._sent.decode("utf-8", "replace")

    def until(self, words: str) -> None:
        """Wait until the terminal shows these words."""
        until(lambda: words in self.text, self._reader.is_alive)

    def type(self, keys: str) -> None:
        r"""Press keys; "\x03" is Ctrl-C."""
        os.write(self._ours, keys.encode())

    def end(self, timeout_s: float = PATIENCE_S) -> Done:
        """Wait for its end; `out` is all that the terminal was sent."""
        code = self.child.wait(timeout_s)
        self._reader.join()
        return self._desk.checked(Done(code if code >= 0 else 128 - code, self.text, ""))

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the last one at the other end has closed it
            while piece := os.read(self._ours, 1 << 16):
                self._sent += piece


class Desk:
    """One working folder.

    Attributes:
        folder: Where the command runs; `.env`, `scs.toml` and the catalog are here.
        nas: MEDIA_FOLDER, ready to be marked.
        env: The whole environment of the command; change it at will.
        secrets: Texts that nobody may ever see.
    """

    def __init__(self, folder: Path, azure: AzureAt, s3: S3At, bucket: str) -> None:
        self.folder = folder
        self.nas = folder / "nas"
        self.nas.mkdir(parents=True)
        (folder / "home").mkdir()
        strange = {name for name in os.environ if name.startswith(_STRANGE) or name.lower() in _PROXIES}
        self.env = {
            **{name: value for name, value in os.environ.items() if name not in strange},
            **azure.env,
            **s3.env,
            "AWS_BUCKET": bucket,
            "AWS_EC2_METADATA_DISABLED": "true",  # else a missing key means seconds of asking a network
            "HOME": str(folder / "home"),
            "MEDIA_FOLDER": "nas",
        }
        self.secrets = {azure.key, s3.secret_access_key}
        self.numbers = iter(range(10**6))

    # ----------------------------------------------------------------------------------------------- the command

    def scs(
        self, *words: str, code: int = 0, env: Mapping[str, str] | None = None, timeout_s: float = PATIENCE_S
    ) -> Done:
        """Run one command line to its end; it must end with *code*."""
        with self.start(*words, env=env) as going:
            done = going.end(timeout_s)
        assert done.code == code, f"scs {' '.join(words)} ended with {done.code}, not {code}:\n{done.said}"
        return done

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> Going:
        """Start one command line, with *env* over the desk's own environment."""
        return Going(self, words, {**self.env, **(env or {})})

    def at_terminal(self, *words: str, columns: int = 80, env: Mapping[str, str] | None = None) -> Terminal:
        """Start one command line at a terminal."""
        return Terminal(self, words, {**self.env, **(env or {})}, columns)

    def checked(self, done: Done) -> Done:
        """The two promises."""
        assert "Traceback" not in done.said, done.said
        assert not [name for name in self.secrets if name in done.said], done.said
        return done

    # ------------------------------------------------------------------------------------------- what came of it

    @property
    def file(self) -> Path:
        """Where the catalog is."""
        return self.folder / "storage.sqlite"

    def settings(self, toml: str) -> None:
        """Write `scs.toml`."""
        (self.folder / "scs.toml").write_text(toml, "utf-8")

    @contextlib.contextmanager
    def catalog(self) -> Iterator[sqlite3.Connection]:
        """The catalog, as a person with sqlite3 opens it who only wants to look."""
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as connection:
            yield connection

    def select(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the catalog."""
        with self.catalog() as connection:
            return connection.execute(sql, values).fetchall()

    def states(self) -> dict[str, str]:
        """How far each blob is, by `container/blob`: pending, downloaded, uploaded, failed, skipped."""
        return dict(self.select("SELECT container || '/' || blob, state FROM blobs"))

    def files(self) -> dict[str, bytes]:
        """Every file on the NAS that is not our own, by its path below MEDIA_FOLDER."""
        return {
            str(file.relative_to(self.nas)): file.read_bytes()
            for file in self.nas.rglob("*")
            if file.is_file() and file.relative_to(self.nas).parts[0] != ".scs"
        }

    def leftovers(self) -> list[str]:
        """What lies in `.scs/tmp`."""
        return sorted(file.name for file in (self.nas / ".scs" / "tmp").iterdir())


def until(condition: Callable[[], object], is_alive: Callable[[], bool] = lambda: True) -> None:
    """Wait for something that must come while *is_alive*."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert is_alive() or condition(), "the command ended first"
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
