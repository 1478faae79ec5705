"""The official clients of both clouds, set up for a server that we started. Nothing here is the product's."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.storage.blob import BlobServiceClient
    from botocore.client import BaseClient

    from tests.servers.endpoints import AzureAt, S3At


@contextlib.contextmanager
def blob_service(azure: AzureAt, **options: Any) -> Iterator[BlobServiceClient]:
    """Microsoft's client."""
    from azure.storage.blob import BlobServiceClient

    if azure.ca_file:
        options = {"connection_verify": azure.ca_file, **options}
    with BlobServiceClient.from_connection_string(azure.connection_string, **options) as service:
        yield service


@functools.cache
def _session() -> Any:
    import boto3

    return boto3.session.Session()  # reads Amazon's models once, not for every client


@contextlib.contextmanager
def boto(s3: S3At, **config: Any) -> Iterator[Any]:
    """Amazon's client; `config` is botocore's `Config`. Retries nothing by default, so that a fault shows."""
    from botocore.config import Config

    settings = {"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}, **config}
    client: BaseClient = _session().client(
        "s3",
        endpoint_url=s3.url,
        aws_access_key_id=s3.access_key_id,
        aws_secret_access_key=s3.secret_access_key,
        region_name=s3.region,
        verify=s3.ca_file or None,
        config=Config(**settings),
    )
    try:
        yield client
    finally:
        client.close()


def account_sas(azure: AzureAt, permission: str = "rwdlac", hours: float = 1.0) -> str:
    """An account SAS as Microsoft's client makes it; negative *hours* make one that has expired."""
    import datetime as dt

    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    now = dt.datetime.now(dt.UTC)
    return generate_account_sas(
        azure.account,
        azure.key,
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions.from_string(permission),  # type: ignore[no-untyped-call]
        start=now - dt.timedelta(days=1),
        expiry=now + dt.timedelta(hours=hours),
    )
