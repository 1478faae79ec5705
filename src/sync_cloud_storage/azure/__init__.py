"""Azure Blob Storage as requests and parsed answers: list, look, read. Nothing here can write to the account.

The official SDK does what happens once (a SAS from an account key, a token from Entra ID: `access.py`); everything that
happens a million times is a plain GET or HEAD that the pump sends with its path untouched, since most HTTP clients turn
`a/../b` into another blob's address (`door.py`). `pages.py` reads listings. Facts about the service: "List Blobs", "Get
Blob", "Create an account SAS" in Azure's REST reference, read 2026-11-23.
"""

from __future__ import annotations

from sync_cloud_storage.azure.access import AzureAccess, AzureCredentials
from sync_cloud_storage.azure.door import ATTEST_MOST_BYTES, Azure, is_attested

__all__ = ["ATTEST_MOST_BYTES", "Azure", "AzureAccess", "AzureCredentials", "is_attested"]
