"""What one request on one handle promises: sent as it was made, heard as it was said, and nothing left for the next."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync_cloud_storage.http import transfer
from sync_cloud_storage.http.messages import Line, Request
from sync_cloud_storage.http.transfer import MAX_POOLS, CertificateRefused, Transfers
from tests.servers.strict import StrictCloud
from tests.unit.peer import CLOSE, HOST, RESET, Peer, reply
from tests.unit.telling import pumped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sync_cloud_storage.http.messages import Response, Story
    from sync_cloud_storage.http.pump import Pump


def told(*requests: Request) -> Story[list[Response]]:
    """Tell these requests one after the other."""
    said: list[Response] = []
    for request in requests:
        answer: Response = yield request
        said.append(answer)
    return said


def answers(pump: Pump, *requests: Request) -> list[Response]:
    """Get the answers to these requests, one after the other."""
    (all_of_them,) = pumped(pump, told(*requests))
    return list(all_of_them)


def get(url: str, line: Line | None = None, headers: tuple[str, ...] = ()) -> Request:
    """A plain GET."""
    return Request("GET", url, line or Line(), headers)


def descriptors() -> int:
    """Count what this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class Zeros:
    """Source: *there* zeros, though it says *size_bytes*."""

    def __init__(self, size_bytes: int, there: int | None = None) -> None:
        self.size_bytes = size_bytes
        self._there = size_bytes if there is None else there
        self._at = 0

    def read(self, count: int) -> bytes:
        """Give the next zeros."""
        data = bytes(min(count, self._there - self._at))
        self._at += len(data)
        return data

    def rewind(self) -> None:
        """Start over."""
        self._at = 0


class Kept:
    """Sink: keeps what comes."""

    def __init__(self) -> None:
        self.received = 0
        self.data = b""

    def begin(self, status: int, headers: dict[str, str]) -> bool:
        """Take everything."""
        self.received, self.data = 0, b""
        return True

    def write(self, pieces: Sequence[bytes]) -> None:
        """Take bytes."""
        self.received += sum(map(len, pieces))
        self.data += b"".join(pieces)


@contextmanager
def dropping() -> Iterator[str]:
    """A port on which everybody is hung up on."""
    with socket.create_server((HOST, 0)) as listener:

        def drop() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                    connection.recv(10)
                except OSError:
                    return
                connection.close()

        thread = threading.Thread(target=drop, daemon=True)
        thread.start()
        yield f"{HOST}:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@contextmanager
def black_hole() -> Iterator[str]:
    """A port whose queue is full: whoever knocks is not heard."""
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for one in fillers:
            one.settimeout(0)
            one.connect_ex(full.getsockname())
        time.sleep(0.05)  # until the queue is full
        yield f"{HOST}:{full.getsockname()[1]}"
        for one in fillers:
            one.close()


# ----------------------------------------------------------------------------------------------------- is anybody there


def test_unanswered_connection_is_offline(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    """A black hole is no failure of a blob: nobody is there (B05)."""
    monkeypatch.setattr(transfer, "CONNECT_TIMEOUT_S", 1)
    with black_hole() as where:
        (answer,) = answers(pump, get(f"http://{where}/"))
    assert (answer.status, answer.offline) == (0, True)


def test_handshake_that_is_cut_off_is_offline(pump: Pump) -> None:
    """A load balancer that restarts cuts TLS handshakes off: that is no refused certificate, but nobody there (B05)."""
    with dropping() as where:
        (answer,) = answers(pump, get(f"https://{where}/"))
    assert (answer.status, answer.offline) == (0, True)


def test_unknown_name_is_offline(pump: Pump) -> None:
    """A name that nobody knows is nobody there (A07)."""
    (answer,) = answers(pump, get("http://nobody.invalid/"))
    assert (answer.status, answer.offline) == (0, True)


def test_proxy_that_reaches_nobody_is_offline(pump: Pump) -> None:
    """A proxy that says 503 to CONNECT means that nobody is there (B05)."""
    with Peer(lambda _: [b"HTTP/1.1 503 no\r\n\r\n", CLOSE]) as proxy:
        (answer,) = answers(pump, get("https://nobody.invalid/", Line(proxy=proxy.url)))
    assert (answer.status, answer.offline) == (0, True)


def test_connection_that_breaks_is_not_offline(pump: Pump) -> None:
    """Somebody answered and broke off: that counts as a failure, not as nobody there (B06)."""
    with Peer(lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", RESET]) as peer:
        (answer,) = answers(pump, get(peer.url))
    assert (answer.status, answer.offline) == (0, False)
    assert answer.broken


def test_upload_whose_source_ends_early(pump: Pump) -> None:
    """A source with fewer bytes than it said breaks the upload off soon; the other side gets no whole body."""
    with Peer(lambda _: reply(200)) as peer:
        begun = time.monotonic()
        (answer,) = answers(pump, Request("PUT", peer.url, Line(), source=Zeros(100, there=40)))
        assert answer.status == 0
        assert time.monotonic() - begun < 5
        assert [len(one.body) for one in peer.asked if len(one.body) == 100] == []


def test_error_that_comes_before_the_body_is_through(pump: Pump) -> None:
    """S3 says 503 before it has read the body, and closes: the 503 is what is heard (E01)."""
    slow_down = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(slow_down)
            time.sleep(0.2)
            connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://{HOST}:{listener.getsockname()[1]}/"
        (answer,) = answers(pump, Request("PUT", url, Line(), ("Expect:",), source=Zeros(50_000_000)))
        thread.join(10)
    assert answer.status == 503


# ----------------------------------------------------------------------------------------------------------- heads


def test_trailers_are_no_headers(pump: Pump) -> None:
    """What follows the body cannot change what the head said: an ETag comes from the head."""
    said = (
        b"HTTP/1.1 200 OK\r\nETag: right\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\nETag: wrong\r\nX-More: 1\r\n\r\n"
    )
    with Peer(lambda _: said) as peer:
        (answer,) = answers(pump, get(peer.url))
    assert (answer.body, answer.header("etag"), answer.header("x-more")) == (b"ok", "right", "")


def test_names_of_headers_are_lower_case(pump: Pump) -> None:
    """Whatever case a service writes, headers are found; one that is missing is ""."""
    with Peer(lambda _: reply(200, b"", "X-MS-Request-ID:  7 ")) as peer:
        (answer,) = answers(pump, get(peer.url))
    assert (answer.header("x-ms-request-id"), answer.header("x-nobody")) == ("7", "")


# ----------------------------------------------------------------------------------------------- one after another


def test_handle_keeps_nothing_for_the_next_request(pump: Pump) -> None:
    """Requests that take turns on one handle: each has its own headers, answer and body, none of the one before."""
    line = Line()
    requests = [get(f"{{url}}/{n}", line, (f"X-Mark-{n}: {n}",)) for n in range(3)]
    with Peer(lambda asked: reply(200 + asked.number, asked.target.encode(), f"X-{asked.number}: 1")) as peer:
        got = answers(pump, *(one._replace(url=one.url.replace("{url}", peer.url)) for one in requests))
        marks = [sorted(name for name in one.headers if name.startswith("x-mark")) for one in peer.asked]
    assert [(one.status, one.body) for one in got] == [(201, b"/0"), (202, b"/1"), (203, b"/2")]
    assert [sorted(name for name in one.headers if name.startswith("x-")) for one in got] == [["x-1"], ["x-2"], ["x-3"]]
    assert marks == [["x-mark-0"], ["x-mark-1"], ["x-mark-2"]]


def test_body_limit_is_each_requests_own(pump: Pump) -> None:
    """A small limit for one body does not cut the next one on the same handle, nor the other way round."""
    with Peer(lambda _: reply(200, bytes(2000))) as peer:
        limits = (1000, 5000, 1000)
        got = answers(pump, *(get(peer.url)._replace(max_body_bytes=limit) for limit in limits))
    assert [(one.status, len(one.body)) for one in got] == [(0, 0), (200, 2000), (0, 0)]


def test_methods_do_not_rub_off(pump: Pump) -> None:
    """GET, HEAD, PUT, POST and DELETE in turns arrive as what they are, with their own bodies."""
    with Peer(lambda asked: reply(200, b"" if asked.method == "HEAD" else asked.body)) as peer:
        made = [
            Request(method, peer.url, Line(), ("Expect:",), body=body)
            for method, body in [("PUT", b"one"), ("GET", b""), ("POST", b"two"), ("DELETE", b""), ("HEAD", b"")] * 2
        ]
        got = answers(pump, *made)
        assert [(one.method, one.body) for one in peer.asked] == [(one.method, one.body) for one in made]
    assert [one.body for one in got] == [one.body for one in made]


def test_sinks_and_collected_bodies_take_turns(pump: Pump) -> None:
    """Whether a body goes to a sink or into the answer is decided by its own request."""
    sink = Kept()
    with Peer(lambda asked: reply(200, b"%d" % asked.number)) as peer:
        got = answers(pump, get(peer.url), get(peer.url)._replace(sink=sink), get(peer.url))
    assert ([one.body for one in got], sink.data) == ([b"1", b"", b"3"], b"2")


def test_renewed_credentials_do_not_pile_up_handles() -> None:
    """Each renewal of S3 credentials is a line of its own; only the newest lines keep handles, however many came."""
    transfers = Transfers(60.0, lambda _: None)
    request = Request("GET", "http://127.0.0.1:1/", Line(), ("X: 1",))
    before = descriptors()
    for number in range(10 * MAX_POOLS):
        begun = transfers.begin(request._replace(line=Line(userpwd=f"key:{number}", sigv4="aws:amz:r:s3")), 0)
        transfers.give_back(begun)
    newest = transfers.begin(request._replace(line=Line(userpwd=f"key:{number}", sigv4="aws:amz:r:s3")), 0)
    assert newest.curl is begun.curl
    transfers.give_back(newest)
    transfers.close()
    assert descriptors() == before


# ----------------------------------------------------------------------------------------------------------- who hears


def test_secrets_are_not_shown() -> None:
    """What a mistake would print of a request or line has no query, header or password (S4)."""
    line = Line(proxy="http://user:SECRET@proxy", userpwd="key:SECRET")
    request = Request("GET", "http://h/c?sig=SECRET", line, ("Authorization: Bearer SECRET",), body=b"SECRET")
    assert "SECRET" not in repr(line) + repr(request) + str(request)
    assert "http://h/c" in repr(request)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
def test_environment_names_no_proxy(pump: Pump, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Only the settings say which proxy is used: libcurl does not look into the environment on its own."""
    with Peer(lambda _: reply(200, b"proxy")) as proxy, Peer(lambda _: reply(200, b"service")) as peer:
        monkeypatch.setenv(name, proxy.url)
        (answer,) = answers(pump, get(peer.url))
        assert (answer.body, proxy.asked) == (b"service", [])


def test_proxy_that_is_set_is_used(pump: Pump) -> None:
    """With a proxy on the line requests go there; but not those to hosts that are excepted."""
    with Peer(lambda _: reply(200, b"proxy")) as proxy, Peer(lambda _: reply(200, b"service")) as peer:
        got = answers(
            pump,
            get("http://nobody.invalid/x", Line(proxy=proxy.url)),
            get(peer.url, Line(proxy=proxy.url, no_proxy=HOST)),
        )
        assert [one.target for one in proxy.asked] == ["http://nobody.invalid/x"]
    assert [one.body for one in got] == [b"proxy", b"service"]


@pytest.mark.parametrize("scheme", ["file", "ftp", "gopher"])
def test_other_protocols_are_refused(pump: Pump, scheme: str, tmp_path: Path) -> None:
    """An address of another kind is not followed to a file of this machine or anywhere else (S7)."""
    (tmp_path / "secret").write_text("secret")
    (answer,) = answers(pump, get(f"{scheme}://{'' if scheme == 'file' else HOST}{tmp_path}/secret"))
    assert (answer.status, answer.body) == (0, b"")


def test_certificates_are_checked(pump: Pump, tmp_path: Path) -> None:
    """A server whose authority is unknown is refused in a way that stops the run; with its authority all is well."""
    with StrictCloud(tls=tmp_path) as cloud:
        url = cloud.s3_at.url
        with pytest.raises(CertificateRefused):
            answers(pump, get(url))
        (answer,) = answers(pump, get(url, Line(ca_file=cloud.s3_at.ca_file)))
        assert answer.status == 403
        assert len(cloud.log) == 1


def test_authority_that_is_no_file(pump: Pump, tmp_path: Path) -> None:
    """A CA file that cannot be read is refused as such: there is no going on without TLS."""
    with StrictCloud(tls=tmp_path) as cloud, pytest.raises(CertificateRefused):
        answers(pump, get(cloud.s3_at.url, Line(ca_file=str(tmp_path / "missing"))))


def test_answer_that_ends_with_the_connection(pump: Pump) -> None:
    """A body without a length ends where the connection ends; whether it is whole is for the door to say (B08)."""
    with Peer(lambda _: [reply(200, b"some", length=False), CLOSE]) as peer:
        (answer,) = answers(pump, get(peer.url))
    assert (answer.status, answer.body) == (200, b"some")
