"""Access to an account, from what a person has: a key, a SAS, or an identity. Azure's SDK is used here only."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode

from sync_cloud_storage.errors import EnvironmentFault

SAS_LIFE = timedelta(days=7)
SKEW = timedelta(minutes=15)
STORAGE_SCOPE = "https://storage.azure.com/.default"
SAS_VERSION = "2022-11-02"  # the way of signing has not changed since 2020-12-06; requests name their own version

_LETTERS = {
    ("sp", "r"): "reading",
    ("sp", "l"): "listing",
    ("ss", "b"): "the blob service",
    ("srt", "s"): "the account's list of containers",
    ("srt", "c"): "containers",
    ("srt", "o"): "blobs",
}


class AzureAccess(NamedTuple):
    """How requests are let in: a SAS (in the query) or a bearer token. Ends at `expires` (Unix time; 0: unknown)."""

    endpoint: str
    sas: str = ""
    bearer: str = ""
    expires: float = 0.0

    def __repr__(self) -> str:
        """Without the secret."""
        return f"AzureAccess({self.endpoint!r}, expires={self.expires})"


class AzureCredentials:
    """Gives access from what a person has: an account key, a SAS, or nothing but an identity (Entra ID).

    Args:
        account: The account's name.
        endpoint: The blob endpoint, no trailing slash.
        key: Account key, base64, or "".
        sas: SAS token without "?", or "". Comes before the key.
        ca_file: Certificates to trust when Entra ID is asked; "" for the machine's own.
    """

    def __init__(self, account: str, endpoint: str, *, key: str = "", sas: str = "", ca_file: str = "") -> None:
        self._account = account
        self._endpoint = endpoint
        self._key = key
        self._sas = sas.lstrip("?")
        self._ca_file = ca_file
        self._identity: Any = None

    @property
    def renewable(self) -> bool:
        """Whether fresh access can be had when it runs out."""
        return not self._sas

    def access(self, now: datetime) -> AzureAccess:
        """Access that is good at *now*.

        Raises:
            EnvironmentFault: AZ-AUTH-EXPIRED, AZ-SAS, AZ-KEY or AZ-ENTRA, each saying what to do.
        """
        if self._sas:
            return self._from_sas(now)
        return self._from_key(now) if self._key else self._from_identity()

    def _from_sas(self, now: datetime) -> AzureAccess:
        fields = {name: values[0] for name, values in parse_qs(self._sas).items()}
        if "sig" not in fields:
            raise EnvironmentFault(
                "AZ-SAS",
                "AZURE_STORAGE_SAS_TOKEN is not a SAS token: it has no signature (sig=).",
                "Copy the whole token again.",
            )
        wanted = {"sp": "rl", "ss": "b", "srt": "sco"}
        for field, letters in wanted.items():
            missing = [letter for letter in letters if letter not in fields.get(field, letters)]
            if missing:
                raise EnvironmentFault(
                    "AZ-SAS",
                    f"The SAS token does not allow {' and '.join(_LETTERS[field, letter] for letter in missing)}: "
                    f"its {field} lacks {' and '.join(missing)}.",
                    "Make an account SAS with sp=rl, srt=sco, ss=b.",
                )
        starts = _utc(fields.get("st", ""))
        if starts is not None and starts > now:
            raise EnvironmentFault(
                "AZ-SAS", f"The SAS token is valid only from {fields['st']} on.", "Wait, or check this machine's clock."
            )
        expires = _utc(fields.get("se", ""))
        if expires is not None and expires <= now:
            raise EnvironmentFault(
                "AZ-AUTH-EXPIRED",
                f"The SAS token ended at {fields['se']}.",
                "Put a new one into AZURE_STORAGE_SAS_TOKEN and run the same command again.",
            )
        return AzureAccess(self._endpoint, sas=self._sas, expires=expires.timestamp() if expires else 0.0)

    def _from_key(self, now: datetime) -> AzureAccess:
        try:
            key = base64.b64decode(self._key, validate=True)
            if not key:
                raise ValueError("it is empty")  # noqa: TRY301 - the same trouble for the same person
        except ValueError as error:
            raise EnvironmentFault(
                "AZ-KEY",
                f"The key of account '{self._account}' is not base64 ({error}).",
                "Copy the account key again.",
            ) from error
        ends = now + SAS_LIFE
        sas = _reading_sas(self._account, key, now - SKEW, ends)
        return AzureAccess(self._endpoint, sas=sas, expires=ends.timestamp())

    def _from_identity(self) -> AzureAccess:
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - a third of a second to import
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415

        try:
            if self._identity is None:
                self._identity = DefaultAzureCredential(
                    exclude_interactive_browser_credential=True, connection_verify=self._ca_file or True
                )
            token = self._identity.get_token(STORAGE_SCOPE)
        except (AzureError, ValueError) as error:
            raise EnvironmentFault(
                "AZ-ENTRA",
                f"No way into account '{self._account}': no key and no SAS is set, and Entra ID gave no token.",
                "Set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or sign in with `az login`.",
            ) from error
        return AzureAccess(self._endpoint, bearer=token.token, expires=float(token.expires_on))


def _reading_sas(account: str, key: bytes, starts: datetime, ends: datetime) -> str:
    """A SAS that lists and reads all blobs of an account, for a query; times in UTC.

    Source: Azure, "Create an account SAS", the text to sign from version 2020-12-06 on, read 2026-11-25.
    """
    start, end = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (starts, ends))
    fields = {"sp": "rl", "ss": "b", "srt": "sco", "st": start, "se": end, "sip": "", "spr": "", "sv": SAS_VERSION}
    text = "".join(f"{line}\n" for line in (account, *fields.values(), ""))  # the last: no encryption scope
    signature = base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
    return urlencode({name: value for name, value in fields.items() if value} | {"sig": signature})


def _utc(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
