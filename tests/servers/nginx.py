"""A fast imitation of both clouds, for benchmarks: nginx with Lua (Debian's `nginx-extras`).

It checks nothing: no signature, no checksum, no limit; but it answers tens of thousands of requests a second, where
the emulators answer hundreds, so that what is measured is the client. Never test what is right with it: for that there
are Azurite, rclone and the strict cloud.

Azure: listings of containers and blobs with prefix, delimiter, marker and maxresults, in pages of 5,000; blobs are
files, with nginx's own ETag and Last-Modified in listing and answer; `x-ms-range`, If-Match. S3: PUT and the verbs of
multipart uploads; what arrives becomes files, and its CRC64NVME, as the headers had it, a line of a log: who measures
can hold one against the other afterwards. HEAD gives back size and CRC64NVME; a bucket is always there, and lists
as empty, until it is sent a POST: from then on all buckets list what they had at that time, and the ETag of an object
that came in one piece is its MD5. To remove a bucket forgets the objects of all.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from tests.servers.endpoints import ACCOUNT, AzureAt, S3At, new_account_key, new_s3_keys
from tests.servers.process import HOST, free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = Path(__file__).parent
MODIFIED_AT = 1_700_000_000  # of every blob; seconds since 1970
_STRETCH = 1 << 20
_AT_80 = "127.0.0.80"  # its port 80 is taken by nobody who listens on 127.0.0.1 alone
_SHARED_MIB = 512  # for what S3 remembers of objects: some 200 bytes each


class FastCloud(NamedTuple):
    """Where it is, and where to see what happened.

    Args:
        azure: The blob service.
        s3: The S3 service.
        s3_at_80: The same at the port that needs no name, for a client that knows no other (the CRT of AWS CLI 2.9);
            None where this process may not listen there.
        objects: What arrived: bucket/key is a file, or after a multipart upload a folder of numbered parts.
        arrivals: A line for each request to S3: verb, status, address, `x-amz-checksum-crc64nvme` or `-`. Whole 200 ms
            after the last request.
        moments: A line for each answer of Azure: seconds since 1970, verb, status, address. Only where asked for.
    """

    azure: AzureAt
    s3: S3At
    s3_at_80: S3At | None
    objects: Path
    arrivals: Path
    moments: Path


def binary() -> str:
    """The machine's nginx, with the modules that are needed.

    Raises:
        FileNotFoundError: It has none.
    """
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if not found or not (_modules(found) / "ngx_http_lua_module.so").exists():
        raise FileNotFoundError("nginx with Lua is missing: apt-get install nginx-extras")
    return found


def make_blobs(
    data: Path, blobs: Iterable[tuple[str, str, int]], *, with_files: bool = True, alike: bool = False
) -> int:
    """Make what `running` serves: files of random bytes and their listings; how many bytes in all.

    Args:
        data: A new folder, on tmpfs for a fair measurement.
        blobs: Container, name (plain ASCII: no tab, line feed, quote or dot segment; two names differ by more than
            upper and lower case), size in bytes.
        with_files: Otherwise the blobs can be listed but not read, and 1,000,000 of them fit everywhere.
        alike: Blobs of one size are one file under many names: 20 GB of them fit everywhere, too.
    """
    by_container: dict[str, list[tuple[str, int]]] = {}
    for container, name, size in blobs:
        by_container.setdefault(container, []).append((name, size))
    for folder in ("index", "rows", "blobs"):
        (data / folder).mkdir(parents=True)
    total = serial = 0
    date = formatdate(MODIFIED_AT, usegmt=True)
    first_of: dict[int, tuple[Path, str]] = {}
    with (data / "containers").open("w") as listed, (data / "md5").open("w") as md5s:
        for container in sorted(by_container):
            listed.write(f"{container}\t{_container_row(container, date)}\n")
            with (data / "index" / container).open("w") as index, (data / "rows" / container).open("w") as rows:
                start = 0
                for name, size in sorted(by_container[container]):
                    serial += 1
                    path = data / "blobs" / container / name
                    if not with_files:
                        md5 = _in_base64(hashlib.md5(b"%d" % serial, usedforsecurity=False).digest())
                    elif alike and size in first_of:
                        md5 = _link(path, *first_of[size])
                    else:
                        md5 = _write(path, size, serial)
                        first_of[size] = path, md5
                    if with_files:
                        md5s.write(f'"/{ACCOUNT}/{container}/{name}" {md5};\n')
                    row = _blob_row(name, size, md5, date)
                    index.write(f"{start}\t{name}\n")
                    rows.write(row)
                    start += len(row)
                    total += size
                index.write(f"{start}\t\n")
    return total


@contextlib.contextmanager
def running(
    folder: Path, data: Path, *, workers: int = 1, tls: Path | None = None, moments: bool = False
) -> Iterator[FastCloud]:
    """Serve what `make_blobs` made in *data*.

    Args:
        folder: For the log, the configuration, and the objects that arrive; on tmpfs for a fair measurement.
        data: From `make_blobs`.
        workers: Processes of nginx.
        tls: A folder for certificates; the addresses then begin with https.
        moments: Write down when each request to Azure was answered; see `FastCloud.moments`.

    Raises:
        FileNotFoundError: There is no nginx with Lua.
        DidNotStartError: With the end of its log.
    """
    nginx, ca_file, secure = binary(), "", ""
    for each in ("objects", "incoming", "unused"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    if tls:
        from tests.servers.strict.certificate import Certificate

        made = Certificate.made(tls, HOST)
        ca_file = str(made.authority)
        secure = f"ssl_certificate {made.chain}; ssl_certificate_key {made.chain};"
    s3_port, at_80 = 0, not tls and _may_listen_at_80()

    def command(port: int) -> list[str]:
        nonlocal s3_port
        s3_port = free_port()
        files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1 << 20)
        words = {
            "USER": "user root;" if os.geteuid() == 0 else "",
            "WORKERS": str(workers),
            "FILES": str(files),
            "KEPT": str(files // 2),  # open files that it keeps; the other half is for connections
            "SHARED": str(_SHARED_MIB),
            "FOLDER": str(folder),
            "DATA": str(data),
            "HERE": str(HERE),
            "MODULES": str(_modules(nginx)),
            "ACCOUNT": ACCOUNT,
            "AZURE_PORT": str(port),
            "S3_PORT": str(s3_port),
            "ALSO": f"listen {_AT_80}:80 backlog=4096 reuseport;" if at_80 else "",
            "SSL": "ssl" if tls else "",
            "MOMENTS": f"{folder}/moments.log moments" if moments else "off",
            "CERTIFICATE": secure,
        }
        text = (HERE / "nginx.conf.in").read_text()
        text = re.sub("@([A-Z0-9_]+)@", lambda hit: words[hit[1]], text)
        (folder / "nginx.conf").write_text(text)
        return [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]

    # SIGTERM makes the master end its workers; SIGKILL would orphan them.
    with serving(command, folder / "nginx.log", on_our_death=signal.SIGTERM) as port:
        scheme = "https" if tls else "http"
        log = folder / "nginx.log"
        azure = AzureAt(f"{scheme}://{HOST}:{port}/{ACCOUNT}", ACCOUNT, new_account_key(), log, ca_file)
        s3 = S3At(f"{scheme}://{HOST}:{s3_port}", *new_s3_keys(), log=log, ca_file=ca_file)
        plain = s3._replace(url=f"http://{_AT_80}") if at_80 else None
        yield FastCloud(azure, s3, plain, folder / "objects", folder / "arrivals.log", folder / "moments.log")


def _may_listen_at_80() -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_AT_80, 80))
        except OSError:
            return False
    return True


def _modules(nginx: str) -> Path:
    said = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"--modules-path=(\S+)", said)
    return Path(found[1] if found else "/usr/lib/nginx/modules")


def _write(path: Path, size: int, serial: int) -> str:
    """A file whose bytes nobody else has; its MD5 in base64."""
    path.parent.mkdir(parents=True, exist_ok=True)
    md5, left, block = hashlib.md5(usedforsecurity=False), size, 0
    with path.open("wb") as file:
        while left:
            piece = (b"%016x%016x" % (serial, block) + _NOISE)[: min(left, _STRETCH)]
            md5.update(piece)
            file.write(piece)
            left, block = left - len(piece), block + 1
    os.utime(path, (MODIFIED_AT, MODIFIED_AT))
    return _in_base64(md5.digest())


def _link(path: Path, file: Path, md5: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.hardlink_to(file)
    return md5


def _in_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


_NOISE = random.Random(2019).randbytes(_STRETCH)


def _container_row(name: str, date: str) -> str:
    return (
        f"<Container><Name>{name}</Name><Properties><Last-Modified>{date}</Last-Modified><Etag>&quot;0x8DE2A&quot;</Etag>"
        "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState></Properties></Container>"
    )


def _blob_row(name: str, size: int, md5: str, date: str) -> str:
    return (  # as long as Azure's own, or a listing would be measured too well
        f"<Blob><Name>{escape(name)}</Name><Properties><Creation-Time>{date}</Creation-Time>"
        f"<Last-Modified>{date}</Last-Modified><Etag>{MODIFIED_AT:x}-{size:x}</Etag><Content-Length>{size}</Content-Length>"
        "<Content-Type>application/octet-stream</Content-Type><Content-Encoding /><Content-Language /><Content-CRC64 />"
        f"<Content-MD5>{md5}</Content-MD5><Cache-Control /><Content-Disposition /><BlobType>BlockBlob</BlobType>"
        "<AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus>"
        "<LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties><OrMetadata /></Blob>"
    )
