"""Temporary files in `.scs/tmp`, named by the row that they belong to: the only files that may be partial.

`Temp` is for a blob that comes in one go. `Partial` is for a large one that comes in ranges and outlives a kill: a
journal beside it says which ranges were finished, and none is believed that was not read again from the disk.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import threading
from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.checksum import crc64nvme
from sync_cloud_storage.errors import BlobFault, Kind
from sync_cloud_storage.nas import kernel
from sync_cloud_storage.nas.faults import as_fault
from sync_cloud_storage.nas.folders import FILE_MODE, let_close, open_plain

if TYPE_CHECKING:
    from pathlib import Path

    from sync_cloud_storage.errors import ScsError

READ_STEP_BYTES = 1 << 20

_FRESH = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW
_JOURNAL = ".parts"
_NAME = re.compile(rf"([0-9]+)({re.escape(_JOURNAL)})?")
_RANGE = re.compile(rb"^([0-9]{1,19}) ([0-9]{1,19}) ([0-9a-f]{16})( (?:un)?attested)?$", re.MULTILINE)
_WORD = {None: b"", True: b" attested", False: b" unattested"}


class Scratch(NamedTuple):
    """`.scs/tmp`, held open."""

    fd: int
    path: Path

    def create(self, name: str) -> int:
        """A new empty file; one of the same name is a leftover of a run that was killed."""
        try:
            return os.open(name, _FRESH, FILE_MODE, dir_fd=self.fd)
        except FileExistsError:
            self.remove(name)
            return os.open(name, _FRESH, FILE_MODE, dir_fd=self.fd)

    def remove(self, name: str) -> None:
        """Remove a file that may be there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def rows(self) -> dict[int, list[str]]:
        """The names of our files by the row that they belong to."""
        found: dict[int, list[str]] = {}
        with os.scandir(self.fd) as entries:
            for entry in entries:
                if match := _NAME.fullmatch(entry.name):
                    found.setdefault(int(match[1]), []).append(entry.name)
        return found


class Temp:
    """A file that has no place yet. Ends with `Nas.publish` or `discard`; both close it.

    Attributes:
        name: In `.scs/tmp`.
        size: Bytes up to the end of the last one that was written.
    """

    __slots__ = ("_fd", "_scratch", "name", "size")

    def __init__(self, scratch: Scratch, row_id: int, size_bytes: int = 0) -> None:
        self._scratch = scratch
        self._fd = -1
        self.name = str(row_id)
        self.size = size_bytes
        self._open()

    def _open(self) -> None:
        try:
            self._fd = self._scratch.create(self.name)
        except OSError as error:
            raise self._fault(error) from error

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append *data*."""
        self.write_at(self.size, data)

    def write_at(self, offset: int, *pieces: bytes | bytearray | memoryview) -> None:
        """Write *pieces*, one after the other, at *offset*; at most 1,024 of them (IOV_MAX).

        Raises:
            ScsError: As `faults.py` says, `NAS-FULL` among them. A whole file is discarded then, ranges are not.
        """
        try:
            written = os.pwritev(self._fd, pieces, offset)
            size_bytes = sum(map(len, pieces))
            while written < size_bytes:  # a disk that fills up takes what fits, and refuses the next call
                written += os.pwrite(self._fd, memoryview(b"".join(pieces))[written:], offset + written)
        except OSError as error:
            fault = self._fault(error)
            self._write_failed()
            raise fault from error
        self.size = max(self.size, offset + size_bytes)

    def flush(self) -> None:
        """Have the bytes on the disk, then close. After an error the file is worthless: nobody may flush it again.

        The kernel forgets a failed write once it has told of it, and marks the pages clean: a second fsync would
        succeed without the bytes.
        """
        try:
            os.fsync(self._fd)
            self._close()
        except OSError as error:
            fault = self._fault(error)
            if isinstance(fault, BlobFault):
                fault = BlobFault("NAS-FSYNC", fault.sentence, fault.hint, kind=Kind.RETRY)
            raise fault from error

    def move_to_free(self, folder_fd: int, leaf: bytes) -> bool:
        """Give the file its place if nothing is there; False when something is, or the file system cannot do that."""
        return kernel.rename_to_free(self._scratch.fd, self.name.encode(), folder_fd, leaf)

    def move(self, folder_fd: int, leaf: bytes) -> None:
        """Give the file its place. Replaces a file there."""
        os.rename(self.name, leaf, src_dir_fd=self._scratch.fd, dst_dir_fd=folder_fd)

    def discard(self) -> None:
        """Close and remove; again is nothing. What cannot be removed now is swept later."""
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            self._scratch.remove(self.name)

    def keep_for_later(self) -> None:
        """The environment failed, not the bytes: nothing to keep of a file without a journal."""
        self.discard()

    def forget_journal(self) -> None:
        """The file has its place."""

    def _write_failed(self) -> None:
        self.discard()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)  # may raise what a write did not; the descriptor is gone all the same

    def _fault(self, error: OSError) -> ScsError:
        return as_fault(error, self._scratch.path / self.name, self._scratch.fd, ours=True)


class Partial(Temp):
    """A large file that comes in ranges, in any order, perhaps over several runs.

    The journal is text: a line for what the file is (ETag and size), then one for each finished range (offset, length,
    CRC64NVME, and what the source said of it where it was asked: `attested` or `unattested`). A line is one append; a
    torn one is ignored. The journal is not flushed: it only claims, and a claim counts when the bytes, read again from
    the disk, have the CRC.

    Attributes:
        size: Bytes of the whole, from the start.
        attested: Whether the source's own checksum of every finished range was that of its bytes.
    """

    __slots__ = ("_asking", "_done", "_etag", "_journal", "_reading", "attested")

    def __init__(self, scratch: Scratch, row_id: int, etag: str, size_bytes: int, *, attest: bool = False) -> None:
        self._journal = -1
        self._etag = etag
        self._asking = attest
        self._done: list[tuple[int, int, int]] = []
        self.attested = True
        # The story that owns this may end while a thread still reads for its MD5: the descriptor must not become that
        # of another file under the reader's hands.
        self._reading = threading.Lock()
        super().__init__(scratch, row_id, size_bytes)

    @property
    def done(self) -> tuple[tuple[int, int, int], ...]:
        """Finished ranges: offset, length, CRC64NVME. They do not overlap, and have no order."""
        return tuple(self._done)

    def finished(self, offset: int, length: int, crc: int, *, attested: bool | None = None) -> None:
        """Note that a range is written, with its CRC64NVME.

        *attested*: the source's own checksum of it agreed; False: the source had none to give; None: it was not asked.
        """
        line = b"%d %d %016x%s\n" % (offset, length, crc, _WORD[attested])
        try:
            whole = os.write(self._journal, line) == len(line)
        except OSError as error:
            raise self._fault(error) from error
        if not whole:
            raise self._fault(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self._add(offset, length, crc, attested=bool(attested))

    def read_into(self, room: memoryview, offset: int) -> int:
        """Fill *room* with bytes that were written; gives how many, fewer at the end of what there is."""
        try:
            with self._reading:
                return os.preadv(self._fd, [room], offset)
        except OSError as error:
            raise self._fault(error) from error

    def flush(self) -> None:
        """Have the bytes on the disk, then close.

        Raises:
            ScsError: Also `NAS-SHORT`, when the file has not the size it should.
        """
        try:
            size = os.fstat(self._fd).st_size
        except OSError as error:
            raise self._fault(error) from error
        if size != self.size:
            raise BlobFault(
                "NAS-SHORT",
                f'"{self._scratch.path / self.name}" has {size} bytes and should have {self.size}.',
                "Who else writes there?",
                kind=Kind.RETRY,
            )
        super().flush()

    def close(self) -> None:
        """Leave it for the next run."""
        with contextlib.suppress(OSError):
            self._close()

    def keep_for_later(self) -> None:
        """The environment failed, not the bytes: leave them for the next run."""
        self.close()

    def discard(self) -> None:
        """Close and remove, journal and all; again is nothing."""
        super().discard()
        self.forget_journal()

    def forget_journal(self) -> None:
        """The file has its place, or never will."""
        with contextlib.suppress(OSError):
            self._scratch.remove(self.name + _JOURNAL)

    def _write_failed(self) -> None:
        """The other ranges are as good as before."""

    def _close(self) -> None:
        with self._reading:
            journal, self._journal = self._journal, -1
            if journal >= 0:
                let_close(journal)
            super()._close()

    # ------------------------------------------------------------------------------------------------ going on

    def _open(self) -> None:
        try:
            if self._go_on():
                return
            self._close()
            self._scratch.remove(self.name + _JOURNAL)
            self._fd = self._scratch.create(self.name)
            self._journal = self._scratch.create(self.name + _JOURNAL)
            os.write(self._journal, self._header())
        except OSError as error:
            self.close()
            raise self._fault(error) from error

    def _go_on(self) -> bool:
        """Take over what another run left, if it is of the same version of the blob."""
        try:
            self._fd = self._leftover(self.name)
            self._journal = self._leftover(self.name + _JOURNAL, os.O_APPEND)
            text = _read_all(self._journal)
        except OSError:
            return False
        header, _, rest = text.partition(b"\n")
        if header + b"\n" != self._header():
            return False
        whole = len(text) - len(text.rpartition(b"\n")[2])
        os.ftruncate(self._journal, whole)  # the next line must not be appended to half of another
        try:
            # What is only in memory goes to the disk first, then out of memory: the next reads come from the disk.
            os.fsync(self._fd)
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError:
            return False
        claims = {
            int(line[1]): (int(line[2]), int(line[3], 16), line[4])
            for line in _RANGE.finditer(rest[: whole - len(header) - 1])
            if line[4] or not self._asking  # what the source was not asked about is fetched anew, and asked about
        }
        front = 0
        for offset, (length, crc, word) in sorted(claims.items()):
            if front <= offset < offset + length <= self.size and self._has(offset, length, crc):
                self._add(offset, length, crc, attested=word == _WORD[True])
                front = offset + length
        return True

    def _add(self, offset: int, length: int, crc: int, *, attested: bool) -> None:
        self._done.append((offset, length, crc))
        self.attested = self.attested and attested

    def _leftover(self, name: str, flags: int = 0) -> int:
        """Open a file of an earlier run: a plain one, with no second name under which it is somebody else's."""
        fd, found = open_plain(name, os.O_RDWR | flags, self._scratch.fd)
        if found.st_nlink == 1:
            return fd
        let_close(fd)
        raise FileNotFoundError(name)

    def _has(self, offset: int, length: int, crc: int) -> bool:
        end, found = offset + length, 0
        while offset < end:
            data = os.pread(self._fd, min(READ_STEP_BYTES, end - offset), offset)
            if not data:
                return False
            found = crc64nvme(data, found)
            offset += len(data)
        return found == crc

    def _header(self) -> bytes:
        return json.dumps([self._etag, self.size]).encode() + b"\n"


def _read_all(fd: int) -> bytes:
    pieces = []
    while piece := os.read(fd, READ_STEP_BYTES):
        pieces.append(piece)
    return b"".join(pieces)
