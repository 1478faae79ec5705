"""Puts containers and blobs into a blob service (Azurite), by raw signed requests: any name, as it is.

Microsoft's client cannot do that: it resolves dot segments, so that `a/../b` becomes another blob.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
import time
import urllib.parse
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.servers.clients import account_sas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from tests.servers.endpoints import AzureAt

VERSION = "2025-11-05"
_IDLE_S = 2.0  # Azurite hangs up after five, at the very moment when the next request goes out


class RefusedError(RuntimeError):
    """The service said no; the text has its answer."""


class Answer(NamedTuple):
    """What came back. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Account:
    """A connection to one account. Use it as a context manager; one thread at a time."""

    def __init__(self, azure: AzureAt) -> None:
        self._base = urllib.parse.urlsplit(azure.url)
        self._sas = account_sas(azure)
        host = self._base.netloc
        if self._base.scheme == "https":
            context = ssl.create_default_context(cafile=azure.ca_file or None)
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, timeout=60, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(host, timeout=60)
        self._used_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def ask(
        self,
        verb: str,
        container: str = "",
        blob: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """One request; the path goes out exactly as it is written here."""
        with self.opened(verb, container, blob, query=query, headers=headers, body=body) as response:
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())

    @contextlib.contextmanager
    def opened(
        self,
        verb: str,
        container: str = "",
        blob: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Iterator[http.client.HTTPResponse]:
        """As `ask`, with a body that is read piece by piece."""
        path = "/".join([self._base.path, container, *([urllib.parse.quote(blob, safe="/~")] if blob else [])])
        target = f"{path}?{urllib.parse.urlencode(query or {})}&{self._sas}"
        is_whole = False
        if time.monotonic() - self._used_s > _IDLE_S:
            self._connection.close()
        try:
            self._connection.putrequest(verb, target, skip_accept_encoding=True)
            for name, value in {"x-ms-version": VERSION, **(headers or {})}.items():
                self._connection.putheader(name, value.encode("utf-8"))
            if verb == "PUT":
                self._connection.putheader("Content-Length", str(len(body)))
            self._connection.endheaders(body or None)
            response = self._connection.getresponse()
            yield response
            is_whole = response.isclosed()
        finally:
            self._used_s = time.monotonic()
            if not is_whole:  # failed, or not read to its end: the connection is of no more use
                self._connection.close()

    def make_container(self, container: str) -> None:
        """The container, new or as it is."""
        self._put(container, query={"restype": "container"}, ok=(201, 409))

    def put(
        self,
        container: str,
        blob: str,
        data: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        block_bytes: int = 0,
    ) -> None:
        """Store a block blob over whatever is there.

        Args:
            container: Must be there.
            blob: Its name; dot segments and everything else go out as they are.
            data: Its bytes.
            headers: HTTP properties by their usual names: Content-Type, Content-Encoding, Cache-Control ...
            metadata: The user's pairs.
            block_bytes: 0 in one piece, and the service keeps an MD5; otherwise in blocks, and it has none.

        Raises:
            RefusedError: With the service's answer.
        """
        described = {f"x-ms-blob-{name.lower()}": value for name, value in (headers or {}).items()}
        described |= {f"x-ms-meta-{name}": value for name, value in (metadata or {}).items()}
        if not block_bytes:
            self._put(container, blob, headers={"x-ms-blob-type": "BlockBlob", **described}, body=data)
            return
        ids = []
        for number, at in enumerate(range(0, len(data), block_bytes)):
            ids.append(base64.b64encode(b"%08d" % number).decode())
            block = data[at : at + block_bytes]
            self._put(container, blob, query={"comp": "block", "blockid": ids[-1]}, body=block)
        listed = "".join(f"<Latest>{each}</Latest>" for each in ids)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        self._put(container, blob, query={"comp": "blocklist"}, headers=described, body=body)

    def remove(self, container: str, blob: str = "") -> None:
        """Delete a blob, or with no blob the container."""
        query = {} if blob else {"restype": "container"}
        answer = self.ask("DELETE", container, blob, query=query)
        if answer.status != 202:
            raise RefusedError(f"DELETE {container}/{blob}: {answer.status} {answer.body[:300]!r}")

    def _put(
        self,
        container: str,
        blob: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        ok: tuple[int, ...] = (201,),
    ) -> None:
        answer = self.ask("PUT", container, blob, query=query, headers=headers, body=body)
        if answer.status not in ok:
            raise RefusedError(f"PUT {container}/{blob}: {answer.status} {answer.body[:300]!r}")
