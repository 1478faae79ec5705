"""A stranger's program reads the three places and the certificate, and comes to the same counts; tampering is found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.journey.auditor import Audit, audit, crc64nvme
from tests.journey.names import HOSTILE
from tests.servers.clients import boto
from tests.servers.fill import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.journey.desk import Desk
    from tests.servers.endpoints import AzureAt, S3At

BLOBS = {
    "one": b"x",
    "none": b"",
    "large": bytes(range(256)) * 4096,
    "a/deep/er": b"deeper" * 300,
    **{name: f"the blob named {name!r}".encode() for name in list(HOSTILE)[:25]},
}


class Signed(NamedTuple):
    """A migration that was certified, and all that an auditor needs."""

    desk: Desk
    azure: AzureAt
    s3: S3At
    bucket: str
    key: str
    certificate: Path
    rows: Path

    def audit(self) -> Audit:
        """Look at everything."""
        return audit(self.azure, self.s3, self.bucket, self.desk.nas, self.certificate, self.rows, self.key)


@pytest.fixture
def signed(azurite: AzureAt, moto: S3At, new_desk: Callable[[AzureAt, S3At], Desk]) -> Iterator[Signed]:
    """Two containers of Azurite, moved to moto and proven, but for one blob that came too late and one that fails."""
    desk = new_desk(azurite, moto)
    with Account(azurite) as account:
        for container in ("audit-a", "audit-b"):
            account.make_container(container)
            for name, data in BLOBS.items():
                account.put(container, name, data)
        account.put("audit-a", "blocks", b"in blocks" * 1000, block_bytes=4096)
        desk.settings(
            '[transfer]\nrange_size = "1M"\nmultipart_from = "5M"\npart_size = "5M"\n[containers]\nskip = ["z*"]\n'
        )
        desk.scs("init")
        desk.scs("run")
        desk.scs("xcheck", "--deep")
        account.put("audit-b", "late", b"too late")
        desk.scs("sync", "--all")
        done = desk.scs("report", "--certificate", "certificate", "--jsonl", "rows", "--json", code=1).document
        yield Signed(
            desk,
            azurite,
            moto,
            desk.env["AWS_BUCKET"],
            done["public_key"],
            desk.folder / "certificate",
            desk.folder / "rows",
        )
        for container in ("audit-a", "audit-b"):
            account.remove(container)


def test_crc_of_the_auditor() -> None:
    """The check value of CRC-64/NVME: the auditor's own table is right."""
    assert crc64nvme(b"123456789") == "rosUhgp5mIg="


def test_scs_report_is_what_an_auditor_finds(signed: Signed) -> None:
    """Every figure of the certificate is counted again from Azure, NAS and S3, and is the same."""
    found = signed.audit()
    assert found.differences == []
    assert (found.blobs, found.proven) == (2 * len(BLOBS) + 2, 2 * len(BLOBS) + 1)
    statement = json.loads(signed.certificate.read_text().splitlines()[0])
    assert statement["states"]["pending"]["blobs"] == 1
    assert signed.desk.scs("verify-certificate", "certificate", "--catalog", "storage.sqlite", code=1).err == ""


def _of_azure(signed: Signed) -> None:
    with Account(signed.azure) as account:
        account.put("audit-a", "one", b"y")


def _of_the_nas(signed: Signed) -> None:
    file = signed.desk.nas / "audit-b/large"
    file.write_bytes(file.read_bytes()[:-1] + b"?")


def _of_s3(signed: Signed) -> None:
    with boto(signed.s3) as client:
        client.put_object(Bucket=signed.bucket, Key="audit-a/a/deep/er", Body=b"Deeper" + b"deeper" * 299)


def _of_the_certificate(signed: Signed) -> None:
    data = bytearray(signed.certificate.read_bytes())
    data[data.index(b'"proven":{"blobs":') + 18] ^= 1
    signed.certificate.write_bytes(data)


def _of_a_line(signed: Signed) -> None:
    lines = signed.certificate.read_text().splitlines(keepends=True)
    signed.certificate.write_text("".join([lines[0], *lines[2:]]))


def _of_the_rows(signed: Signed) -> None:
    text = signed.rows.read_text()
    signed.rows.write_text(text.replace('"level":4', '"level":3', 1))


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (_of_azure, "audit-a/one: it is called proven, and azure has"),
        (_of_the_nas, "audit-b/large: it is called proven, and nas has"),
        (_of_s3, "audit-a/a/deep/er: it is called proven, and s3 has"),
        (_of_the_certificate, "the certificate is not what was signed"),
        (_of_a_line, "the certificate is not what was signed"),
        (_of_the_rows, "the rows are not those whose root was signed"),
    ],
    ids=lambda value: value.__name__.removeprefix("_of_") if callable(value) else "",
)
def test_an_auditor_finds_one_byte(signed: Signed, tamper: Callable[[Signed], None], says: str) -> None:
    """Whatever is changed after the certificate was signed, by however little, is found and named."""
    tamper(signed)
    assert [sentence for sentence in signed.audit().differences if sentence.startswith(says)] != []
