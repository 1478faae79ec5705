"""What the settings of the two clouds mean together: which account, which credential, which address. No I/O.

A credential is taken whole from the nearest source that has one, so that a SAS in the environment is not mixed with an
old key in `.env`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sync_cloud_storage.errors import UsageFault
from sync_cloud_storage.settings import readers, table
from sync_cloud_storage.settings.values import AzureSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sync_cloud_storage.settings.sources import Found, Sources
    from sync_cloud_storage.settings.table import Setting

# The emulator's account, the same on every machine and printed in its manual; no secret.
# Source: Azure documentation, "Use the Azurite emulator", well-known storage account and key.
EMULATOR_ACCOUNT = "devstoreaccount1"
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_AZURE_CREDENTIALS = (table.AZURE_KEY, table.AZURE_SAS, table.AZURE_CONNECTION)


def azure(sources: Sources) -> tuple[AzureSettings, tuple[str, ...]]:
    """The source's settings out of account, key, SAS and connection string; and warnings.

    Raises:
        UsageFault: A credential is half, contradicts itself, or is none.
    """
    nearest = min((found.rank for found in map(sources.find, _AZURE_CREDENTIALS) if found), default=9)
    key, sas, connection = (_text(sources.find_in(nearest, setting)) for setting in _AZURE_CREDENTIALS)
    parts = _connection_parts(connection) if connection else {}
    account = _agreed(sources, table.AZURE_ACCOUNT, nearest, parts.get("accountname", ""))
    endpoint = _agreed(sources, table.AZURE_ENDPOINT, nearest, _endpoint_of(parts))
    key = _same(key, parts.get("accountkey", ""), "key")
    sas = _same(sas, parts.get("sharedaccesssignature", ""), "SAS token").removeprefix("?")
    account = account or (_account_of(endpoint) if endpoint else "")
    if account and not endpoint:
        endpoint = f"https://{account}.blob.core.windows.net"
    _check_azure(account, key, sas)
    if key and sas:
        return AzureSettings(account, endpoint, sas=sas), (
            "Both a key and a SAS token of Azure are set; the SAS token is used.",
        )
    return AzureSettings(account, endpoint, key, sas), ()


def aws_profile(sources: Sources) -> str:
    """The profile to use, "" where keys are set as near or nearer.

    Raises:
        UsageFault: AWS's keys are half.
    """
    key_id, secret, session = map(sources.find, (table.AWS_KEY_ID, table.AWS_SECRET, table.AWS_SESSION))
    for one, other in ((key_id, "AWS_SECRET_ACCESS_KEY"), (secret, "AWS_ACCESS_KEY_ID")):
        if one and not (key_id and secret):
            raise UsageFault(
                "SET-HALF",
                f"{one.name} {one.where} has no {other} beside it.",
                "Set both, or neither: then AWS_PROFILE, or the machine's role, gives access.",
            )
    if session and not key_id:
        raise UsageFault(
            "SET-HALF",
            f"AWS_SESSION_TOKEN {session.where} has no keys beside it.",
            "It belongs to one AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; set all three.",
        )
    profile = sources.find(table.AWS_PROFILE)
    return "" if profile is None or (key_id and key_id.rank <= profile.rank) else sources.value(table.AWS_PROFILE)


def check_http(address: str, setting: Setting[str], *, allowed: bool) -> None:
    """Refuse plain http, unless it stays on this machine or the user allowed it.

    Raises:
        UsageFault: `SET-HTTP`.
    """
    parts = urlsplit(address)
    if parts.scheme == "http" and not allowed and not _is_loopback(parts.hostname or ""):
        raise UsageFault(
            "SET-HTTP",
            f"{setting.name}: {address} is plain http, and anybody on the way can read and change what goes there.",
            "Use https://, or allow it for your own network: ALLOW_HTTP=1, or allow_http = true under [security].",
        )


def sdk_environment(environ: Mapping[str, str], dotenv: Mapping[str, str]) -> dict[str, str]:
    """What `.env` says and *environ* lacks, of the names that the SDKs read for themselves.

    Where the real environment has AWS keys or a profile of its own, `.env` adds none: the nearer source counts, whole.
    """
    has_own_keys = all(environ.get(setting.name) for setting in (table.AWS_KEY_ID, table.AWS_SECRET))
    has_own_access = has_own_keys or bool(environ.get(table.AWS_PROFILE.name))
    access = {table.AWS_KEY_ID.name, table.AWS_SECRET.name, table.AWS_SESSION.name, table.AWS_PROFILE.name}
    return {
        name: value
        for name, value in dotenv.items()
        if value and not environ.get(name) and _SDK_NAME.fullmatch(name) and not (name in access and has_own_access)
    }


# Not AZURE_STORAGE_*: those are ours to read, and no library needs to find them.
_SDK_NAME = re.compile(
    r"AWS_\w+|AZURE_(?!STORAGE_)\w+|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE"
    r"|((https?|all|no)_proxy|(HTTPS?|ALL|NO)_PROXY)"
)


def _connection_parts(connection: str) -> dict[str, str]:
    """The parts of a connection string, names in small letters.

    Source: Azure documentation, "Configure Azure Storage connection strings".
    """
    parts: dict[str, str] = {}
    for piece in filter(None, map(str.strip, connection.strip("\"'").split(";"))):
        name, equals, value = piece.partition("=")
        if not equals:
            raise UsageFault(
                "SET-VALUE",
                "AZURE_STORAGE_CONNECTION_STRING is not a row of Name=value;Name=value.",
                "Copy it from the portal (Access keys), and put it into single quotes in .env.",
            )
        parts[name.strip().lower()] = value.strip()
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        host = parts.get("developmentstorageproxyuri", "http://127.0.0.1").rstrip("/")
        return {
            "accountname": EMULATOR_ACCOUNT,
            "accountkey": EMULATOR_KEY,
            "blobendpoint": f"{host}:10000/{EMULATOR_ACCOUNT}",
        }
    return parts


def _endpoint_of(parts: Mapping[str, str]) -> str:
    written = parts.get("blobendpoint", "")
    if not written and parts.get("accountname"):
        scheme = parts.get("defaultendpointsprotocol", "https").lower()
        written = f"{scheme}://{parts['accountname']}.blob.{parts.get('endpointsuffix') or 'core.windows.net'}"
    try:
        return readers.endpoint(written)
    except readers.Unreadable as fault:
        raise UsageFault(
            "SET-VALUE",
            f"BlobEndpoint in AZURE_STORAGE_CONNECTION_STRING {fault}.",
            "It looks like https://mystore.blob.core.windows.net",
        ) from None


def _account_of(endpoint: str) -> str:
    """The account in an address: `mystore.blob...`, or the first folder of an emulator's path."""
    parts = urlsplit(endpoint)
    folder = parts.path.strip("/").partition("/")[0]
    return folder or (parts.hostname or "").partition(".")[0]


def _agreed(sources: Sources, setting: Setting[str], rank: int, other: str) -> str:
    """The value of *setting*, or what the connection string from the source of *rank* says; they may not differ."""
    found = sources.find(setting)
    if found is None or (other and found.rank > rank):
        return other
    value = sources.value(setting)
    if other and value != other and setting is table.AZURE_ACCOUNT:
        raise UsageFault(
            "SET-TWICE",
            f"{found.name} says {value}, AZURE_STORAGE_CONNECTION_STRING says {other}.",
            "Leave one of the two out.",
        )
    return value


def _same(value: str, other: str, what: str) -> str:
    if value and other and value.removeprefix("?") != other.removeprefix("?"):
        raise UsageFault(
            "SET-TWICE",
            f"AZURE_STORAGE_CONNECTION_STRING holds another {what} than the one that is set beside it.",
            "Leave one of the two out.",
        )
    return value or other


def _check_azure(account: str, key: str, sas: str) -> None:
    if (key or sas) and not account:
        what = "a key" if key else "a SAS token"
        raise UsageFault(
            "SET-HALF",
            f"There is {what} for Azure, but no account.",
            "Set AZURE_STORAGE_ACCOUNT to the account's name.",
        )
    if sas and (sas.lower().startswith("http") or "sig=" not in sas):
        raise UsageFault(
            "SET-VALUE",
            "AZURE_STORAGE_SAS_TOKEN is not a SAS token.",
            "It begins with sv= and holds sig=; of an address, it is what follows the question mark.",
        )
    try:
        good = len(base64.b64decode(key, validate=True)) > 0 or not key
    except (binascii.Error, ValueError):
        good = False
    if not good:
        raise UsageFault(
            "SET-VALUE",
            "The key of the Azure account is not base64, so it is cut off or not a key.",
            "Copy it again from the portal (Access keys); it has 88 characters and ends with ==.",
        )


def _text(found: Found | None) -> str:
    return readers.text(found.raw) if found else ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
