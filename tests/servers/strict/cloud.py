"""The strict cloud: both services, each on a port of its own, with a log of every request and scripted faults."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.servers.endpoints import ACCOUNT, REGION, AzureAt, S3At, new_account_key, new_s3_keys
from tests.servers.process import HOST
from tests.servers.strict.azure import Azure
from tests.servers.strict.certificate import Certificate
from tests.servers.strict.s3 import S3
from tests.servers.strict.service import Refusal
from tests.servers.strict.sigv4 import Credentials
from tests.servers.strict.wire import HangUp, Listener, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers.strict.faults import Fault

_SECRET = {"authorization", "x-amz-security-token"}


class Logged(NamedTuple):
    """One request, and what became of it. Secrets are left out of `query` and `headers`."""

    service: str  # azure, s3
    operation: str  # GetBlob, UploadPart ...; Unknown
    verb: str
    path: str  # as sent
    query: str  # as sent, but for the signature
    headers: dict[str, str]  # lower case
    status: int = 0  # 0: hung up without an answer
    received: int = 0  # bytes of the request's body
    sent: int = 0  # bytes of the answer's body; counted while it is sent
    faults: tuple[str, ...] = ()  # what hit it, such as `Reset`


class StrictCloud:
    """Start with `with StrictCloud() as cloud:`; then `cloud.azure_at` and `cloud.s3_at` say where it is.

    Attributes:
        azure: The account: `put`, `remove`, `containers`.
        s3: The endpoint: `make_bucket`, `buckets`, `rules`.
        faults: What goes wrong, and when; change it at any time.
        log: Every request so far, oldest first.
        clock: Seconds since 1970, for dates, expiries and the age of signatures. Set another one to shift the time.
        crashes: Errors of the cloud's own, which are bugs; `__exit__` raises the first one.
    """

    def __init__(self, *, tls: Path | None = None, ports: tuple[int, int] = (0, 0)) -> None:
        """Listen, but do not answer yet.

        Args:
            tls: A folder for a certificate of an authority of its own; the addresses then begin with https.
            ports: Of Azure and of S3; 0 is any free one.
        """
        self.clock: Callable[[], float] = time.time
        key_id, secret = new_s3_keys()
        self.azure = Azure(ACCOUNT, new_account_key(), self._now)
        self.s3 = S3(Credentials(key_id, secret), REGION, self._now)
        self.faults: list[Fault] = []
        self.log: list[Logged] = []
        self.crashes: list[Exception] = []
        self._lock = threading.Lock()
        certificate = Certificate.made(tls, HOST) if tls else None
        context = certificate.context() if certificate else None
        self._listeners = [
            Listener(HOST, ports[0], context, lambda request: self._handle(self.azure, request)),
            Listener(HOST, ports[1], context, lambda request: self._handle(self.s3, request)),
        ]
        scheme, authority = ("https", str(certificate.authority)) if certificate else ("http", "")
        azure_url, s3_url = (f"{scheme}://{HOST}:{listener.port}" for listener in self._listeners)
        self.azure_at = AzureAt(f"{azure_url}/{ACCOUNT}", ACCOUNT, self.azure.key, ca_file=authority)
        self.s3_at = S3At(s3_url, key_id, secret, REGION, ca_file=authority)

    def __enter__(self) -> Self:
        for listener in self._listeners:
            listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        for listener in self._listeners:
            listener.stop()
        if self.crashes:
            raise self.crashes[0]

    @contextlib.contextmanager
    def offline(self) -> Iterator[None]:
        """Within this block both ports refuse connections, and the open ones are gone."""
        for listener in self._listeners:
            listener.stop()
        try:
            yield
        finally:
            for listener in self._listeners:
                listener.start()

    def asked(self, operation: str = "", path: str = "") -> list[Logged]:
        """The requests so far with this operation and with this text in their path; "" is any."""
        return [each for each in list(self.log) if operation in {"", each.operation} and path in each.path]

    def error(self, request: Request, status: int, code: str) -> Reply:
        """An error in the form of the service that this request came to."""
        return self._service_of(request).error(status, code)

    def _now(self) -> float:
        return self.clock()

    def _service_of(self, request: Request) -> Azure | S3:
        return self.azure if request.path.startswith(f"/{ACCOUNT}") else self.s3

    def _handle(self, service: Azure | S3, request: Request) -> tuple[Reply, Callable[[int], None]]:
        with self._lock:
            operation = _operation(service, request)
            hit = [fault for fault in self.faults if fault.is_due(service.name, operation, request)]
            number = len(self.log)
            names = tuple(type(fault.do).__name__ for fault in hit)
            self.log.append(
                Logged(service.name, operation, request.verb, request.path, *_without_secrets(request), faults=names)
            )

        def honest(asked: Request) -> Reply:
            # The client signed what it sent, not what a fault made of it.
            try:
                service.authorize(request)
                return service.answer(asked)
            except Refusal as no:
                reply = service.error(no.status, no.code, no.message)
                return reply._replace(headers={**reply.headers, **no.headers})

        def stamped(asked: Request) -> Reply:
            reply = honest(asked)
            return reply._replace(headers={**service.stamp(request, number + 1), **reply.headers})

        answer: Callable[[Request], Reply] = stamped
        for fault in reversed(hit):
            answer = _hit(fault, self, answer)
        try:
            reply = answer(request)
        except HangUp:
            self._note(number, received=request.body.taken)
            raise
        except Exception as bug:  # noqa: BLE001 - it must reach the test, not only this thread
            self.crashes.append(bug)
            reply = service.error(500, "InternalError", repr(bug))
        self._note(number, status=reply.status, received=request.body.taken)
        return reply, lambda sent: self._note(number, sent=sent)

    def _note(self, number: int, *, status: int = 0, received: int = 0, sent: int = 0) -> None:
        if number >= len(self.log):  # a test emptied it while this was on its way
            return
        was = self.log[number]
        self.log[number] = was._replace(status=status or was.status, received=received or was.received, sent=sent)


def _hit(fault: Fault, cloud: StrictCloud, answer: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    return lambda request: fault.do.play(cloud, request, answer)


def _operation(service: Azure | S3, request: Request) -> str:
    try:
        return service.operation(request)
    except Refusal:
        return "Unknown"


def _without_secrets(request: Request) -> tuple[str, dict[str, str]]:
    query = re.sub(r"(?i)(^|&)(sig|x-amz-signature)=[^&]*", r"\1\2=-REDACTED-", request.query)
    return query, {name: "-REDACTED-" if name in _SECRET else value for name, value in request.headers.items()}
