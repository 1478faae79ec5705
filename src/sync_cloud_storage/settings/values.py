"""The settings as frozen values. They are complete and consistent: `load` has refused everything else."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from sync_cloud_storage.errors import UsageFault

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from pathlib import Path

    from sync_cloud_storage.model import Attest
    from sync_cloud_storage.names import Placement
    from sync_cloud_storage.units import Timetable

_SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|(?:ACCESS|STORAGE)_KEY$|CONNECTION_STRING")

Need = Literal["azure", "nas", "target", "catalog"]


@dataclass(frozen=True, slots=True)
class AzureSettings:
    """The source. `endpoint` is the blob service's address without a slash at the end, "" when no account is set.

    At most one of `key` (base64) and `sas` (without "?") is set; neither: Microsoft Entra ID.
    """

    account: str = ""
    endpoint: str = ""
    key: str = field(default="", repr=False)
    sas: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """S3, or a service like it. "" means: not set, so AWS's own chain or the bucket decides.

    `endpoint_url` has no slash at the end. `path_style` None: by the endpoint. `encryption` is "", "AES256" or
    "aws:kms". AWS's keys are not here: botocore's own chain finds them, also in the environment (see
    `Settings.apply_environment`).
    """

    bucket: str = ""
    region: str = ""
    endpoint_url: str = ""
    profile: str = ""
    key_template: str = "{container}/{blob}"
    storage_class: str = ""
    acl: str = ""
    encryption: str = ""
    kms_key: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    path_style: bool | None = None


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """How fast and in which pieces. Bytes and seconds; 0 for workers, concurrency and part size: automatic.

    `attest`: of which blobs the source is asked for its own checksums.
    """

    workers: int
    concurrency: int
    bandwidth: Timetable
    range_bytes: int
    part_bytes: int
    multipart_from_bytes: int
    offline_s: float
    attest: Attest


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Certificates and proxies. None and "": what the system has. A proxy's address may hold a password."""

    azure_ca_file: Path | None = None
    s3_ca_file: Path | None = None
    https_proxy: str = field(default="", repr=False)
    http_proxy: str = field(default="", repr=False)
    no_proxy: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one start of the program.

    Args:
        folder: The working folder, where `.env` and `scs.toml` are, or would be.
        files: Which of the two were read.
        media_folder: None when it is not set.
        db_file: The catalog.
        skip_containers: Shell patterns.
        live_containers: Shell patterns.
        overwrite: Files and objects that scs did not write may be replaced.
        environment: What `.env` says and the real environment lacks, of the names that the SDKs read for themselves.
        warnings: Sentences about what works and should not stay so.
    """

    folder: Path
    files: tuple[Path, ...]
    azure: AzureSettings
    target: TargetSettings
    media_folder: Path | None
    db_file: Path
    placement: Placement
    skip_containers: tuple[str, ...]
    live_containers: tuple[str, ...]
    transfer: TransferSettings
    network: NetworkSettings
    allow_http: bool
    overwrite: bool
    environment: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = ()

    def skip_reason(self, container: str) -> str:
        """Why *container* stays where it is, or "" if it moves."""
        for pattern in self.skip_containers:
            if fnmatchcase(container, pattern):
                return f"containers.skip has {pattern}"
        return ""

    def is_live(self, container: str) -> bool:
        """Whether *container* still changes, by the settings."""
        return any(fnmatchcase(container, pattern) for pattern in self.live_containers)

    def missing(self, *needs: Need) -> tuple[str, ...]:
        """The names of settings that a verb needs and nobody set, in the order asked. The catalog has a default."""
        lacks = {
            "azure": ("AZURE_STORAGE_ACCOUNT", not self.azure.endpoint),
            "nas": ("MEDIA_FOLDER", self.media_folder is None),
            "target": ("AWS_BUCKET", not self.target.bucket),
            "catalog": ("DB_FILE", False),
        }
        return tuple(name for name, is_missing in (lacks[need] for need in needs) if is_missing)

    def require(self, *needs: Need) -> None:
        """Make sure that what a verb needs is set.

        Raises:
            UsageFault: With every missing name in one sentence.
        """
        names = self.missing(*needs)
        if not names:
            return
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        is_or_are = "is" if len(names) == 1 else "are"
        if not self.files and len(self.missing("azure", "nas", "target")) == 3:
            raise UsageFault(
                "SET-MISSING",
                f"There are no settings here yet: {listed} {is_or_are} not set.",
                "Run `scs init`: it writes .env and scs.toml with a word on each. The environment will do, too.",
            )
        raise UsageFault(
            "SET-MISSING",
            f"{listed} {is_or_are} not set.",
            "Put what is missing into .env, or into the environment.",
        )

    def secrets(self) -> tuple[str, ...]:
        """The secrets that are known here, for `redact`: ours, and what `.env` has for the SDKs."""
        return tuple(filter(None, (self.azure.key, self.azure.sas, *secrets_in(self.environment))))

    def apply_environment(self, into: MutableMapping[str, str] = os.environ) -> None:
        """Put `environment` where the SDKs look for it; what is there already stays. Once, at the start."""
        for name, value in self.environment.items():
            if not into.get(name):
                into[name] = value


def secrets_in(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values in an environment that are secret, by their names; for `redact`."""
    return tuple(value for name, value in environ.items() if value and _SECRET.search(name))
