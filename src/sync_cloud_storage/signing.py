"""The key that certificates are signed with: Ed25519 (RFC 8032), in a file beside the catalog.

The private part never leaves the file, which is written once and never replaced: who has certificates signed with it
could else no longer tell that they are ours. A public key is its 32 bytes in base64.
"""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sync_cloud_storage.draft import flush_folder
from sync_cloud_storage.errors import EnvironmentFault

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# `cryptography` is imported where it is needed: it takes a tenth of a second, and few verbs sign.

_PUBLIC_BYTES, _SIGNATURE_BYTES = 32, 64
_HINT = "Is it the file that `scs init` wrote? Put it back from where you keep it; it is never made anew over another."


class Signer:
    """Signs with the key of one file.

    Args:
        file: PKCS #8 in PEM, as `make` writes it.

    Raises:
        EnvironmentFault: `CERT-KEY`.
    """

    def __init__(self, file: Path) -> None:
        self._key = _load(file)
        self.public_key = _public(self._key)

    def sign(self, message: bytes) -> str:
        """The signature, in base64."""
        return base64.b64encode(self._key.sign(message)).decode()


def make(file: Path) -> bool:
    """Make a key where there is none, for its owner alone; whether one was made. It appears whole, or not at all.

    Not for two at once: whoever calls this holds the lock of the catalog beside it.

    Raises:
        EnvironmentFault: `CERT-KEY`.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    if os.path.lexists(file):
        return False
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = file.with_name(f"{file.name}.new")
    try:
        with suppress(FileNotFoundError):  # of one who was killed here
            draft.unlink()
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(pem)
            opened.flush()
            os.fsync(handle)
        os.link(draft, file)  # not a rename: of two that make one at the same time, the first one's stays
        draft.unlink()
        flush_folder(file.parent)
    except FileExistsError:
        with suppress(OSError):
            draft.unlink()
        return False
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise EnvironmentFault(
            "CERT-KEY",
            f"The signing key {file} cannot be written: {error.strerror}.",
            "Look at the folder: its rights, its space.",
        ) from None
    return True


def is_public_key(text: str) -> bool:
    """Whether *text* has the form of a public key."""
    return _bytes(text, _PUBLIC_BYTES) is not None


def is_signed(message: bytes, signature: str, public_key: str) -> bool:
    """Whether *signature* is that of *message* with the private part of *public_key*. Base64 has to be exact."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    key, signed = _bytes(public_key, _PUBLIC_BYTES), _bytes(signature, _SIGNATURE_BYTES)
    if key is None or signed is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signed, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _load(file: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(file.read_bytes(), None)
    except FileNotFoundError:
        raise EnvironmentFault(
            "CERT-KEY", f"There is no key to sign with: {file} is missing.", "`scs init` makes one, once."
        ) from None
    except OSError as error:
        raise EnvironmentFault("CERT-KEY", f"The signing key {file} cannot be read: {error.strerror}.", _HINT) from None
    except (ValueError, TypeError, UnsupportedAlgorithm):  # what they say may quote the file
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise EnvironmentFault("CERT-KEY", f"The file {file} is no Ed25519 key that scs can sign with.", _HINT)
    return key


def _public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _bytes(text: str, length: int) -> bytes | None:
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return found if len(found) == length and base64.b64encode(found).decode() == text else None
