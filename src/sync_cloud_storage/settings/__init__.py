"""Flags, environment, `.env`, `scs.toml`, defaults -> one frozen `Settings`. Floor 4.

A new setting is a new entry in `table.py`, and a field of what `load` gives.

    table.py      every setting once: names, type, default, reason
    readers.py    from what a person wrote to a typed value, one function a kind
    sources.py    where settings come from, and which place counts
    access.py     what the settings of the two clouds mean together
    values.py     what comes out: frozen, complete, consistent
    templates.py  the two files of `scs init`
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.names import Placement, RenameRule
from sync_cloud_storage.settings import access, table
from sync_cloud_storage.settings.sources import DOTENV, TOML, Sources, read_dotenv, read_toml
from sync_cloud_storage.settings.templates import write_templates
from sync_cloud_storage.settings.values import (
    AzureSettings,
    Need,
    NetworkSettings,
    Settings,
    TargetSettings,
    TransferSettings,
    secrets_in,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AzureSettings",
    "Need",
    "NetworkSettings",
    "Settings",
    "TargetSettings",
    "TransferSettings",
    "load",
    "secrets_in",
    "write_templates",
]


def load(flags: Mapping[str, object], environ: Mapping[str, str], folder: Path = Path()) -> Settings:
    """Read all settings and make sure that they fit together. Changes nothing.

    Args:
        flags: Values by the option's name (`{"--db-file": "x.sqlite"}`); None is not set.
        environ: The environment.
        folder: The working folder: where `.env` and `scs.toml` are, and where relative paths begin.

    Raises:
        UsageFault: A sentence that names the setting and where it stands, and the way out.
    """
    dotenv, warnings = read_dotenv(folder / DOTENV)
    toml = read_toml(folder / TOML)
    sources = Sources(flags, environ, dotenv, toml)
    azure, doubts = access.azure(sources)
    target = _target(sources)
    allow_http = sources.value(table.ALLOW_HTTP)
    access.check_http(azure.endpoint, table.AZURE_ENDPOINT, allowed=allow_http)
    access.check_http(target.endpoint_url, table.S3_ENDPOINT, allowed=allow_http)
    media_folder = sources.value(table.MEDIA_FOLDER)
    db_file = folder / (sources.value(table.DB_FILE) or "storage.sqlite")
    if db_file.is_dir():
        raise UsageFault("SET-VALUE", f"DB_FILE: {db_file} is a folder.", "Name the catalog's file in it.")
    return Settings(
        folder=folder,
        files=tuple(folder / name for name, content in ((DOTENV, dotenv), (TOML, toml)) if content),
        azure=azure,
        target=target,
        media_folder=folder / media_folder if media_folder else None,
        db_file=db_file,
        placement=_placement(sources, azure.account),
        skip_containers=sources.value(table.SKIP_CONTAINERS),
        live_containers=sources.value(table.LIVE_CONTAINERS),
        transfer=_transfer(sources),
        network=_network(sources, folder),
        allow_http=allow_http,
        overwrite=sources.value(table.OVERWRITE),
        environment=access.sdk_environment(environ, dotenv),
        warnings=(*warnings, *doubts),
    )


def _target(sources: Sources) -> TargetSettings:
    encryption = sources.value(table.ENCRYPTION)
    kms_key = sources.value(table.KMS_KEY)
    if kms_key and encryption != "aws:kms":
        raise UsageFault(
            "SET-HALF",
            "target.kms_key in scs.toml has no use without aws:kms.",
            'Add encryption = "aws:kms" beside it.',
        )
    return TargetSettings(
        bucket=sources.value(table.BUCKET),
        region=sources.value(table.REGION),
        endpoint_url=sources.value(table.S3_ENDPOINT),
        profile=access.aws_profile(sources),
        key_template=sources.value(table.KEY_TEMPLATE),
        storage_class=sources.value(table.STORAGE_CLASS),
        acl=sources.value(table.ACL),
        encryption=encryption,
        kms_key=kms_key,
        tags=sources.value(table.TAGS),
        path_style=sources.value(table.PATH_STYLE),
    )


def _placement(sources: Sources, account: str) -> Placement:
    placement = Placement(
        key_template=sources.value(table.KEY_TEMPLATE),
        renames=tuple(
            RenameRule(rule.get("container", "*"), rule["pattern"], rule["replacement"])
            for rule in sources.value(table.RENAMES)
        ),
        skip_extensions=sources.value(table.SKIP_EXTENSIONS),
        strict_names=sources.value(table.STRICT_NAMES),
        account=account,
    )
    placement.check()
    return placement


def _transfer(sources: Sources) -> TransferSettings:
    return TransferSettings(
        workers=sources.value(table.WORKERS),
        concurrency=sources.value(table.CONCURRENCY),
        bandwidth=sources.value(table.BANDWIDTH),
        range_bytes=sources.value(table.RANGE_SIZE),
        part_bytes=sources.value(table.PART_SIZE),
        multipart_from_bytes=sources.value(table.MULTIPART_FROM),
        offline_s=sources.value(table.OFFLINE),
        attest=sources.value(table.ATTEST),
    )


def _network(sources: Sources, folder: Path) -> NetworkSettings:
    ca_files: list[Path | None] = []
    for setting in (table.CA_FILE, table.S3_CA_FILE):
        found = sources.find(setting)
        written = sources.value(setting)
        file = folder / written if written else None
        if found and file and not file.is_file():
            raise UsageFault(
                "SET-CA",
                f"{found.name} {found.where} names {file}, and there is no such file.",
                "Name a file with certificates in PEM form, or leave it out.",
            )
        ca_files.append(file)
    return NetworkSettings(
        azure_ca_file=ca_files[0],
        s3_ca_file=ca_files[1] or ca_files[0],
        https_proxy=sources.value(table.HTTPS_PROXY),
        http_proxy=sources.value(table.HTTP_PROXY),
        no_proxy=sources.value(table.NO_PROXY),
    )
