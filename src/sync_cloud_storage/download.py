"""The verb *download*: one version of one blob from the source to the NAS, whole and durable, or not at all.

Small blobs come in one answer, the smallest in company, and are hashed, written, flushed and renamed in groups.
Middle ones stream into their file. Large ones come in ranges side by side, each with If-Match, and go on after a kill
with the ranges they had; what is already there is read again before it is believed.

An attested blob goes the same three ways, in ranges for which the source gives its own checksum (docs/adr/0015).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.arriving import Breadth, Follower, RangeOfFile, WholeFile, missing
from sync_cloud_storage.azure import ATTEST_MOST_BYTES, is_attested
from sync_cloud_storage.checksum import Running, combine_all, crc64nvme, crc_to_s3, md5_base64
from sync_cloud_storage.company import COMPANY_BYTES, Alone, answers_to
from sync_cloud_storage.errors import BlobFault, Kind, ScsError
from sync_cloud_storage.http.messages import Aside, Each, Together, for_one
from sync_cloud_storage.listing import look
from sync_cloud_storage.model import Download, Downloaded, Failed, Gone, Leg, Look, Seen
from sync_cloud_storage.nas import Publication

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.azure import Azure
    from sync_cloud_storage.azure.door import BlobSink
    from sync_cloud_storage.http.messages import Request, Response, Story
    from sync_cloud_storage.nas import Nas, Partial, Temp

SMALL_BYTES = 512 << 10  # up to here a blob is one answer in memory
RETRIES_AFTER_DISK = 2  # a temporary file that could not be made durable is thrown away and fetched again
HASH_STEP_BYTES = 1 << 20


class Downloader:
    """Brings blobs to one NAS.

    Args:
        azure: Where from.
        nas: Where to.
        range_bytes: Length of the ranges of a large blob; a blob of more than two of them is large.
        now: UTC text.
        breadth: How many ranges of a large blob come side by side.
    """

    def __init__(
        self, azure: Azure, nas: Nas, *, range_bytes: int, now: Callable[[], str], breadth: Breadth | None = None
    ) -> None:
        self._azure = azure
        self._nas = nas
        self._range_bytes = range_bytes
        self._now = now
        self._breadth = breadth or Breadth()

    def may_join(self, task: Download) -> bool:
        """Whether a task can travel in company: it is small, and nothing but its bytes has to be asked for."""
        return task.size_bytes <= COMPANY_BYTES and not (task.attest or task.known_crc64nvme)

    def in_company(self, tasks: Sequence[Download]) -> Story[list[Downloaded | Alone]]:
        """The way of some small blobs side by side. Raises nothing: what does not go well is left to go on alone."""
        answers: list[Response | None] = yield from answers_to([self._reading(task) for task in tasks])
        arrived = [
            _Small(task, answer.body, attested=False)
            for task, answer in zip(tasks, answers, strict=True)
            if answer is not None and self._azure.is_whole(answer, task.etag, task.size_bytes)
        ]
        stored: list[Downloaded | ScsError] = yield Together(self._store, arrived)
        done = {one.id: one for one in stored if isinstance(one, Downloaded)}
        return [done.get(task.id) or Alone(answer) for task, answer in zip(tasks, answers, strict=True)]

    def _reading(self, task: Download) -> Request | None:
        """The request for a small blob; None where something about it has to be said that `download` says."""
        try:
            return self._azure.reading(task.container, task.blob, task.etag, (0, task.size_bytes), task.size_bytes)
        except BlobFault:
            return None

    def download(self, task: Download, first: Response | None = None) -> Story[Downloaded | Seen | Gone | Failed]:
        """The whole way of one blob. Environment faults are raised; everything else is a result.

        *first* is the answer to its first request, where that was made already.
        """
        try:
            return (yield from self._bring(task, first))
        except BlobFault as fault:
            if fault.kind is Kind.REPLAN:
                again = Look(task.id, task.container, task.blob, task.etag)
                return (yield from look(again, self._azure, self._now))
            return Failed(task.id, Leg.AZURE, task.etag, fault.code, str(fault))

    def _bring(self, task: Download, first: Response | None) -> Story[Downloaded]:
        is_small = task.size_bytes <= SMALL_BYTES
        if task.known_crc64nvme or (task.content_md5 and not is_small):
            there: Downloaded | None = yield Aside(self._already_there, (task,))
            if there is not None:
                return there
        one_answer = self._step(task) if task.attest else 2 * self._range_bytes
        way = self._streamed if task.size_bytes <= one_answer else self._in_ranges
        suspect = ""
        for attempt in range(RETRIES_AFTER_DISK + 1):
            try:
                if is_small:
                    return (yield from self._small(task, None if attempt else first))
                return (yield from way(task))
            except _WrongBytes as wrong:
                if suspect == wrong.crc64nvme or attempt == RETRIES_AFTER_DISK:
                    raise _wrong_bytes(task, is_twice_the_same=suspect == wrong.crc64nvme) from None
                suspect = wrong.crc64nvme
            except BlobFault as fault:
                if fault.kind is not Kind.RETRY or not fault.code.startswith("NAS-") or attempt == RETRIES_AFTER_DISK:
                    raise
        raise AssertionError  # the last round returns or raises

    def _step(self, task: Download) -> int:
        """Bytes of one range."""
        return min(self._range_bytes, ATTEST_MOST_BYTES) if task.attest else self._range_bytes

    def _read(
        self,
        task: Download,
        span: tuple[int, int],
        sink: BlobSink | None = None,
        first: Response | None = None,
    ) -> Story[tuple[Response, bool]]:
        """Bytes of the blob; and whether the source attested them: of no bytes at all there is nothing to say."""
        has_bytes = span[0] < span[1]
        answer: Response = yield from self._azure.read(
            task.container,
            task.blob,
            task.etag,
            span,
            task.size_bytes,
            sink,
            first=first,
            attest=task.attest and has_bytes,
        )
        return answer, task.attest and (is_attested(answer) or not has_bytes)

    # ------------------------------------------------------------------------------------------- three ways

    def _small(self, task: Download, first: Response | None) -> Story[Downloaded]:
        answer, attested = yield from self._read(task, (0, task.size_bytes), first=first)
        stored: Downloaded = yield from for_one(self._store, _Small(task, answer.body, attested))
        return stored

    def _streamed(self, task: Download) -> Story[Downloaded]:
        temp: Temp = yield Aside(self._nas.temp, (task.id,))
        done = False
        try:
            into = WholeFile(temp, task)
            _, attested = yield from self._read(task, (0, task.size_bytes), into)
            crc, md5 = crc_to_s3(into.crc), into.hashed.md5_base64
            result = yield from self._publish(task, temp, _evidence(task, crc, md5, self._now(), attested=attested))
            done = True
        finally:
            if not done:
                temp.discard()
        return result

    def _in_ranges(self, task: Download) -> Story[Downloaded]:
        partial: Partial = yield Aside(self._partial, (task,))
        # Stopped, or the network is away: the finished ranges are worth keeping. Wrong or outdated bytes are not.
        end = partial.close
        try:
            had = sum(length for _, length, _ in partial.done)
            follower = Follower(partial) if task.content_md5 else None
            spans = missing(partial.done, task.size_bytes, self._step(task))
            yield Each((self._range(task, partial, span, follower) for span in spans), self._breadth)
            if follower is not None:
                yield from follower.catch_up()
            crc = crc_to_s3(combine_all((crc, length) for _, length, crc in sorted(partial.done)))
            md5 = follower.hashed.base64 if follower is not None else ""
            evidence = _evidence(task, crc, md5, self._now(), attested=partial.attested)
            return (yield from self._publish(task, partial, evidence._replace(bytes_moved=task.size_bytes - had)))
        except BlobFault as fault:
            if isinstance(fault, _WrongBytes) or fault.kind is Kind.REPLAN or fault.code.startswith("NAS-"):
                end = partial.discard
            raise
        finally:
            end()

    def _partial(self, task: Download) -> Partial:
        return self._nas.partial(task.id, task.etag, task.size_bytes, attest=task.attest)

    def _range(self, task: Download, partial: Partial, span: tuple[int, int], follower: Follower | None) -> Story[None]:
        since = self._breadth.moment()
        into = RangeOfFile(partial, span, follower)
        _, attested = yield from self._read(task, span, into)
        self._breadth.learn(since)
        partial.finished(span[0], span[1] - span[0], into.crc, attested=attested if task.attest else None)
        if follower is not None:
            follower.arrived(span[0], span[1] - span[0])
            yield from follower.catch_up()

    # ------------------------------------------------------------------------------------------- to the disk

    def _publish(self, task: Download, temp: Temp | Partial, result: Downloaded) -> Story[Downloaded]:
        try:
            yield from for_one(self._nas.publish, Publication(temp, task.nas_path, task.may_replace))
        except BlobFault as fault:
            if fault.code != "NAS-EXISTS":
                raise
            # A run before this one may have been killed between the rename and the commit: the same bytes are ours.
            if not (yield Aside(self._holds, (task, result.crc64nvme))):
                raise
        return result

    def _store(self, group: Sequence[_Small]) -> Sequence[Downloaded | ScsError]:
        """Hash, write and publish many small blobs; what is already there and right is left alone."""
        now = self._now()
        outcomes: dict[int, Downloaded | ScsError] = {}
        publications: list[tuple[_Small, Publication]] = []
        for small in group:
            task, body, attested = small
            try:
                md5 = md5_base64(body) if task.content_md5 else ""
                outcomes[task.id] = _evidence(task, crc_to_s3(crc64nvme(body)), md5, now, attested=attested)
                temp = self._nas.temp(task.id)
            except ScsError as error:
                outcomes[task.id] = error
                continue
            try:
                temp.write(body)
            except ScsError as error:
                temp.discard()
                outcomes[task.id] = error
            else:
                publications.append((small, Publication(temp, task.nas_path, task.may_replace)))
        errors = self._nas.publish([publication for _, publication in publications])
        for (small, _), fault in zip(publications, errors, strict=True):
            if fault is not None and (left := self._unless_ours(small, fault)) is not None:
                outcomes[small.task.id] = left
        return [outcomes[small.task.id] for small in group]

    def _unless_ours(self, small: _Small, fault: ScsError) -> ScsError | None:
        """None when the file in the way has the very bytes: an earlier run was killed after the rename."""
        try:
            ours = fault.code == "NAS-EXISTS" and self._holds(small.task, crc_to_s3(crc64nvme(small.body)))
        except ScsError as error:
            return error
        return None if ours else fault

    def _holds(self, task: Download, crc: str) -> bool:
        """Whether the file at the blob's place has just these bytes: an earlier run was killed after the rename."""
        size, found = self._nas.hash_file(task.nas_path)
        if (size, crc_to_s3(found)) != (task.size_bytes, crc):
            return False
        self._nas.make_durable(task.nas_path)
        return True

    def _already_there(self, task: Download) -> Downloaded | None:
        """Adopt a file that is there and proves to be this version: by the source's own MD5, else by what is known."""
        if self._nas.size_of(task.nas_path) != task.size_bytes:
            return None
        if not task.content_md5:
            if not self._holds(task, task.known_crc64nvme):
                return None
            return _evidence(task, task.known_crc64nvme, "", self._now(), attested=False)._replace(bytes_moved=0)
        hashed = Running(md5=True)
        with self._nas.open_read(task.nas_path) as file:
            offset = 0
            while data := file.read_at(offset, HASH_STEP_BYTES):
                hashed.update(data)
                offset += len(data)
        if hashed.md5_base64 != task.content_md5:
            return None
        self._nas.make_durable(task.nas_path)
        evidence = _evidence(task, crc_to_s3(hashed.crc), task.content_md5, self._now(), attested=False)
        return evidence._replace(bytes_moved=0)


class _Small(NamedTuple):
    task: Download
    body: bytes
    attested: bool


class _WrongBytes(BlobFault):
    """The bytes that came are not those that the source's MD5 speaks of."""

    def __init__(self, crc64nvme: str) -> None:
        super().__init__("AZ-MD5", "The bytes do not have the MD5 that the source says.")
        self.crc64nvme = crc64nvme


def _evidence(task: Download, crc: str, md5: str, at_utc: str, *, attested: bool) -> Downloaded:
    if task.content_md5 and md5 != task.content_md5:
        raise _WrongBytes(crc)
    if task.known_crc64nvme not in {"", crc} and not (task.content_md5 or attested):
        raise _WrongBytes(crc)  # one of two downloads of this version was wrong, and nobody has said which
    # What the source said of this version earlier holds for the same bytes.
    attested = attested or bool(task.known_attested and crc == task.known_crc64nvme)
    return Downloaded(task.id, task.etag, crc, md5, task.size_bytes, at_utc, attested)


def _wrong_bytes(task: Download, *, is_twice_the_same: bool) -> BlobFault:
    """What to say of bytes that were fetched more than once, and are never those that they have to be."""
    if not task.content_md5:
        return BlobFault(
            "AZ-OTHER",
            f"{_name(task)}: an earlier download of it had checksum {task.known_crc64nvme}, and now other bytes come; "
            "the source has no Content-MD5 that would say which are right.",
            "Have Azure say it: scs run --retry-failed --attest",
        )
    if not is_twice_the_same:
        return BlobFault("AZ-MD5", f"{_name(task)}: the bytes do not have the MD5 that the source says.")
    # The same wrong bytes twice: the stored MD5 is wrong at the source, not the transfer.
    return BlobFault(
        "AZ-MD5-SOURCE",
        f"{_name(task)}: two downloads gave the same bytes, and they do not have the Content-MD5 stored at the source; "
        "whoever wrote it was wrong, or the blob is damaged there.",
        "Compare the blob with its origin; then set its Content-MD5 right at the source, and: scs sync --all",
    )


def _name(task: Download) -> str:
    return f"Blob '{task.blob}' in container '{task.container}'"
