"""One request on one libcurl handle, and the pool of handles that are made ready once and used many times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pycurl

from sync_cloud_storage.http.messages import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_cloud_storage.http.messages import Line, Request

CONNECT_TIMEOUT_S = 20
BUFFER_BYTES = 512 << 10  # read from the socket at a time
# libcurl hands on what it read in pieces of 16 KiB: a sink is called once for many.
HAND_ON_BYTES = 256 << 10
HAND_ON_PIECES = 512  # one write takes 1,024 (IOV_MAX)
MAX_POOLS = 12

_OFFLINE = frozenset(
    {
        pycurl.E_COULDNT_CONNECT,
        pycurl.E_COULDNT_RESOLVE_HOST,
        pycurl.E_COULDNT_RESOLVE_PROXY,
        pycurl.E_SSL_CONNECT_ERROR,  # a handshake that is cut off: a load balancer that restarts
    }
)
_STATUS = ":status"  # no header can have this name
_END = ("", "")
_KNOWN: dict[bytes, tuple[str, str]] = {}  # most lines of an answer are those of the answer before it
_KNOWN_MOST = 4096
_TOO_SLOW = "Operation too slow"  # libcurl's words for a stall; every other time-out is one of connecting
_CERTIFICATE = frozenset({pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CACERT_BADFILE, pycurl.E_SSL_ISSUER_ERROR})


class CertificateRefused(Exception):
    """The other side's certificate is not to be trusted; going on would be going on without TLS."""


class Transfer:
    """A libcurl handle, made ready once for requests of one shape, and the request that is on it now."""

    __slots__ = (
        "_held_bytes",
        "_lines",
        "_most",
        "_pieces",
        "_rate",
        "_request",
        "_taking",
        "bytes_in",
        "bytes_out",
        "curl",
        "failure",
        "pool",
    )

    def __init__(self, curl: pycurl.Curl, request: Request, pool: list[Transfer]) -> None:
        self.curl = curl
        self.pool = pool
        self.failure: BaseException | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self._request = request
        self._lines: list[bytes] = []
        self._pieces: list[bytes] = []
        self._held_bytes = 0  # of _pieces, for the sink
        self._taking: bool | None = None
        self._most = -1
        self._rate = 0
        curl.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, self._pieces.append if request.sink is None else self._write)
        if request.source is not None:
            curl.setopt(pycurl.READFUNCTION, self._read)
            curl.setopt(pycurl.SEEKFUNCTION, self._seek)

    def begin(self, request: Request, rate: int) -> None:
        """Put *request*, of the same shape as the first one, on the handle."""
        curl = self.curl
        self.failure = None
        self.bytes_in = self.bytes_out = 0
        self._request = request
        self._taking = None
        self._held_bytes = 0
        self._lines.clear()
        self._pieces.clear()
        curl.setopt(pycurl.URL, request.url)
        curl.setopt(pycurl.HTTPHEADER, request.headers)
        if rate != self._rate:
            self._rate = rate
            curl.setopt(pycurl.MAX_RECV_SPEED_LARGE, rate)
            curl.setopt(pycurl.MAX_SEND_SPEED_LARGE, rate)
        if request.sink is not None:
            request.sink.received = 0  # an answer without a body never gets to begin()
        if request.max_body_bytes != self._most and request.method != "HEAD":  # there the length is the blob's
            self._most = request.max_body_bytes
            curl.setopt(pycurl.MAXFILESIZE_LARGE, self._most)
        if request.source is not None:
            request.source.rewind()
            curl.setopt(pycurl.INFILESIZE_LARGE, request.source.size_bytes)
        elif request.method in {"PUT", "POST"}:
            curl.setopt(pycurl.POSTFIELDS, request.body)
            self.bytes_out = len(request.body)

    def answer(self, code: int, text: str) -> Response:
        """The response, once libcurl is through with it (*code* 0) or gave up."""
        if self._held_bytes:
            self._feed_sink()
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self.bytes_in += len(body)
        if code in _CERTIFICATE:
            self.failure = CertificateRefused(text)
        if code:
            no_answer = code == pycurl.E_OPERATION_TIMEDOUT and _TOO_SLOW not in text
            offline = code in _OFFLINE or no_answer
            return Response(0, {}, body, broken=text or f"libcurl error {code}", offline=offline)
        return Response(*self._head(), body)

    def _head(self) -> tuple[int, dict[str, str]]:
        """Status and headers. Not by `getinfo`: libcurl does not answer questions while it is calling us."""
        pairs = [_KNOWN.get(line) or _parsed(line) for line in self._lines]
        headers = dict(pairs[1:-1])
        if pairs and pairs[0][0] == _STATUS and pairs[-1] == _END and not ("" in headers or _STATUS in headers):
            return int(pairs[0][1]), headers  # nearly always: a status, headers, an empty line
        status = 0
        found: dict[str, str] = {}
        in_head = False
        for name, value in pairs:
            if name == _STATUS:
                found.clear()  # an interim answer (100 Continue) came before
                status, in_head = int(value), True
            elif not name:
                in_head = in_head and bool(value)  # what follows an empty line are trailers: they must not pass for it
            elif in_head:
                found[name] = value
        return status, found

    def _write(self, data: bytes) -> int:
        if self._taking is None:
            try:
                self._taking = self._request.sink.begin(*self._head())  # type: ignore[union-attr]
            except Exception as failure:  # noqa: BLE001 - libcurl cannot carry it; the pump raises it in the story
                self.failure = failure
                return -1
        if self._taking:
            self.bytes_in += len(data)
            self._held_bytes += len(data)
            self._pieces.append(data)
            if self._held_bytes >= HAND_ON_BYTES or len(self._pieces) >= HAND_ON_PIECES:
                self._feed_sink()
        elif sum(map(len, self._pieces)) + len(data) <= self._request.max_body_bytes:
            self._pieces.append(data)
        return len(data) if self.failure is None else -1

    def _feed_sink(self) -> None:
        """Give the sink what is held for it."""
        try:
            self._request.sink.write(self._pieces)  # type: ignore[union-attr]
        except Exception as failure:  # noqa: BLE001 - as in _write
            self.failure = failure
        self._pieces.clear()
        self._held_bytes = 0

    def _read(self, count: int) -> bytes | int:
        try:
            data = self._request.source.read(count)  # type: ignore[union-attr]
        except Exception as failure:  # noqa: BLE001 - as in _write
            self.failure = failure
            return pycurl.READFUNC_ABORT
        self.bytes_out += len(data)
        return data

    def _seek(self, offset: int, origin: int) -> int:
        if offset or origin:
            return pycurl.SEEKFUNC_CANTSEEK
        self._request.source.rewind()  # type: ignore[union-attr]
        self.bytes_out = 0
        return pycurl.SEEKFUNC_OK


class Transfers:
    """Makes transfers on pooled handles: what stays the same from request to request is set once.

    Args:
        stall_s: A transfer slower than 1 KiB/s for this long is broken off.
        opened: Told of each new connection's file descriptor before it is used.
    """

    def __init__(self, stall_s: float, opened: Callable[[int], None]) -> None:
        self._stall_s = max(1, round(stall_s))
        self._opened = opened
        self._pools: dict[tuple[Line, str, bool, bool], list[Transfer]] = {}

    def begin(self, request: Request, rate: int) -> Transfer:
        """Make *request* ready to go, at *rate* bytes a second (0: as fast as it goes)."""
        shape = (request.line, request.method, request.source is not None, request.sink is not None)
        pool = self._pools.get(shape)
        if pool is None:
            while len(self._pools) >= MAX_POOLS:  # credentials were renewed: the oldest lines are dead
                del self._pools[next(iter(self._pools))]
            pool = self._pools[shape] = []
        transfer = pool.pop() if pool else Transfer(self._new(request), request, pool)
        transfer.begin(request, rate)
        return transfer

    def give_back(self, transfer: Transfer) -> None:
        """The handle may be used again."""
        transfer.pool.append(transfer)

    def close(self) -> None:
        """Free all handles."""
        for pool in self._pools.values():
            for transfer in pool:
                transfer.curl.close()
        self._pools.clear()

    def _new(self, request: Request) -> pycurl.Curl:
        line = request.line
        curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.SOCKOPTFUNCTION, self._socket_opened)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT_S)
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1024)
        curl.setopt(pycurl.LOW_SPEED_TIME, self._stall_s)
        curl.setopt(pycurl.BUFFERSIZE, BUFFER_BYTES)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)  # never carry a SAS or a signature to where somebody else points
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.PROXY, line.proxy)  # "" also keeps libcurl from reading the environment on its own
        if line.no_proxy:
            curl.setopt(pycurl.NOPROXY, line.no_proxy)
        if line.ca_file:
            curl.setopt(pycurl.CAINFO, line.ca_file)
        if line.raw_path:
            curl.setopt(pycurl.PATH_AS_IS, 1)
        if line.sigv4:
            curl.setopt(pycurl.AWS_SIGV4, line.sigv4)
            curl.setopt(pycurl.USERPWD, line.userpwd)
        if request.source is not None:
            curl.setopt(pycurl.UPLOAD, 1)
        elif request.method in {"PUT", "POST"}:
            curl.setopt(pycurl.POST, 1)
        if request.method == "HEAD":
            curl.setopt(pycurl.NOBODY, 1)
        elif request.method != "GET":
            curl.setopt(pycurl.CUSTOMREQUEST, request.method)
        return curl

    def _socket_opened(self, fd: int, _purpose: int) -> int:
        self._opened(fd)
        return pycurl.SOCKOPT_OK


def _parsed(line: bytes) -> tuple[str, str]:
    """Name in lower case and value of a header line, kept in `_KNOWN`.

    _END for the empty line, _STATUS and the status for the first one.
    """
    if line.startswith(b"HTTP/"):
        pair = _STATUS, line.split(maxsplit=2)[1].decode("latin-1")
    else:
        name, colon, value = line.decode("latin-1").partition(":")
        pair = (name.lower(), value.strip()) if colon else ("", name.strip())
    if len(_KNOWN) >= _KNOWN_MOST:
        _KNOWN.clear()
    _KNOWN[line] = pair
    return pair
