"""What `signing.py` promises: one key, whole, for its owner alone, never replaced; and signatures of one message."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sync_cloud_storage import signing
from sync_cloud_storage.errors import EnvironmentFault

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "26PPQEVUjUVuUwf9GG+GvRRHEH7n76II5F/2Q29eMe0="


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A key."""
    assert signing.make(tmp_path / "key.pem")
    return tmp_path / "key.pem"


def test_a_key_is_for_its_owner_alone(file: Path) -> None:
    """Nobody else can read the file, whatever the umask; it is PKCS #8 in PEM."""
    before = os.umask(0)
    try:
        signing.make(file.with_name("second.pem"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(file.with_name("second.pem").stat().st_mode) == 0o600
    assert file.read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    assert sorted(each.name for each in file.parent.iterdir()) == ["key.pem", "second.pem"]


def test_a_key_is_never_replaced(file: Path) -> None:
    """What is there stays, be it a key or a link that leads nowhere; what a kill left is no obstacle."""
    was = file.read_bytes()
    assert not signing.make(file)
    assert file.read_bytes() == was
    link = file.with_name("link.pem")
    link.symlink_to("nowhere")
    assert not signing.make(link)
    file.with_name("third.pem.new").write_text("half")
    assert signing.make(file.with_name("third.pem"))
    assert not file.with_name("third.pem.new").exists()


def test_a_key_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that is full there is no key, and no half of one."""

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match="No space left") as caught:
        signing.make(tmp_path / "key.pem")
    assert caught.value.code == "CERT-KEY"
    assert list(tmp_path.iterdir()) == []


def test_what_is_signed_fits_nothing_else(file: Path) -> None:
    """A signature is that of one message with one key, in one way of writing it."""
    signer = signing.Signer(file)
    signature = signer.sign(b"message")
    assert signing.is_public_key(signer.public_key)
    assert signing.is_signed(b"message", signature, signer.public_key)
    assert not signing.is_signed(b"massage", signature, signer.public_key)
    assert not signing.is_signed(b"message", signature, OTHER)
    assert not signing.is_signed(b"message", signer.sign(b"other"), signer.public_key)
    for strange in ("", "x", signature[:-4], f" {signature}", signature.replace("=", ""), f"{signature}====", "é"):
        assert not signing.is_signed(b"message", strange, signer.public_key)
        assert not signing.is_signed(b"message", signature, strange)
        assert not signing.is_public_key(strange)


def test_base64_has_one_way_to_be_written(file: Path) -> None:
    """The bits that base64 does not use are nought: a key that differs only there is no key."""
    key = signing.Signer(file).public_key
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    near = f"{key[:-2]}{alphabet[alphabet.index(key[-2]) ^ 1]}="
    assert not signing.is_public_key(near)


@pytest.mark.parametrize("content", [None, b"", b"secret words", b"-----BEGIN PRIVATE KEY-----\nAAAA\n", "other kind"])
def test_a_key_that_cannot_be_used_is_said_so(tmp_path: Path, content: Any) -> None:
    """Missing, no key, or one of another kind: a sentence, a way out, and nothing of what is in the file."""
    file = tmp_path / "key.pem"
    if content == "other kind":
        content = X25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(EnvironmentFault) as caught:
        signing.Signer(file)
    assert caught.value.code == "CERT-KEY"
    assert str(file) in caught.value.sentence
    assert "scs init" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_key_that_may_not_be_read(tmp_path: Path) -> None:
    """The system's reason is told."""
    with pytest.raises(EnvironmentFault, match="Is a directory") as caught:
        signing.Signer(tmp_path)
    assert caught.value.code == "CERT-KEY"
