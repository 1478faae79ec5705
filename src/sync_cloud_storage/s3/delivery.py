"""What S3 delivers as files and a person has copied to this machine: a manifest, and the files that it names."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# What reading a file that somebody else has written, packed and copied can raise; gzip's own are OSError and EOFError.
UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError)


def read_manifest(file: Path) -> dict[str, Any]:
    """The JSON object in *file*.

    Raises:
        OSError, ValueError: There is none.
    """
    found = json.loads(file.read_bytes())
    if not isinstance(found, dict):
        raise ValueError("it is no manifest")  # noqa: TRY004 - of what is in the file, not of an argument
    return found


def beside(manifest: Path, key: str, folder: str) -> Path | None:
    """Where the file that S3 delivered under *key* lies; None: nowhere near.

    Only the last part of the key is believed: beside the manifest, or in *folder* beside it or beside its own folder,
    as in the delivery.
    """
    name = key.rpartition("/")[2]
    here = manifest.absolute().parent
    places = (here / name, here / folder / name, here.parent / folder / name)
    return next((place for place in places if name and place.is_file()), None)


def md5_of(file: Path) -> str:
    """MD5 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
