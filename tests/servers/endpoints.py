"""Where a server that we started is, and the credentials that it takes. Made up for this server alone: no secrets."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import NamedTuple

ACCOUNT = "scstest"
REGION = "us-east-1"


class AzureAt(NamedTuple):
    """A blob service: `url` ends with the account, as an emulator's does; `key` is the account key."""

    url: str
    account: str
    key: str
    log: Path = Path("/dev/null")
    ca_file: str = ""

    @property
    def connection_string(self) -> str:
        """What `AZURE_STORAGE_CONNECTION_STRING` would hold."""
        scheme = self.url.partition(":")[0]
        who = f"AccountName={self.account};AccountKey={self.key}"
        return f"DefaultEndpointsProtocol={scheme};{who};BlobEndpoint={self.url};"

    @property
    def env(self) -> dict[str, str]:
        """For a child that is to use this account."""
        return {"AZURE_STORAGE_CONNECTION_STRING": self.connection_string}


class S3At(NamedTuple):
    """An S3 service, path style."""

    url: str
    access_key_id: str
    secret_access_key: str
    region: str = REGION
    log: Path = Path("/dev/null")
    ca_file: str = ""

    @property
    def env(self) -> dict[str, str]:
        """For a child that is to use this service."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_DEFAULT_REGION": self.region,
        }


def new_account_key() -> str:
    """An account key as Azure makes them: 64 random bytes, base64."""
    return base64.b64encode(secrets.token_bytes(64)).decode()


def new_s3_keys() -> tuple[str, str]:
    """An access key id and a secret, as long as Amazon's, in letters and digits only."""
    return "AKIA" + secrets.token_hex(8).upper(), secrets.token_hex(20)
