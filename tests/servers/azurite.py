r"""Azurite, Microsoft's emulator of Azure Blob Storage.

Lax where Azure is not: it takes names longer than 1,024 characters, control characters and dot segments; stores `\` as
`/`; and one name with a character that XML cannot hold (ESC, NUL, U+FFFE, U+FFFF) makes every listing of its
container a 500.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.servers import install, moto
from tests.servers.endpoints import ACCOUNT, AzureAt, new_account_key
from tests.servers.process import HOST, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def running(folder: Path, *, in_memory: bool = True) -> Iterator[AzureAt]:
    """Start Azurite's blob service; installs it first where it is missing.

    Args:
        folder: For its log, and for the blobs when they are not kept in memory.
        in_memory: Blobs die with the server. In memory there is room for half of the machine's.

    Raises:
        CannotInstallError, DidNotStartError: With the reason in the text.
    """
    node_and_script = install.azurite()
    key = new_account_key()
    store = ["--inMemoryPersistence"] if in_memory else ["--location", str(folder / "azurite")]
    flags = ["--disableTelemetry", "--skipApiVersionCheck", "--blobHost", HOST, *store]
    log = folder / "azurite.log"
    with serving(
        lambda port: [*node_and_script, *flags, "--blobPort", str(port)],
        log,
        env={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}", "NODE_OPTIONS": "--no-deprecation"},
        cwd=folder,
    ) as port:
        yield AzureAt(url=f"http://{HOST}:{port}/{ACCOUNT}", account=ACCOUNT, key=key, log=log)


def asked(server: AzureAt, below: str = "/") -> list[moto.Asked]:
    """All requests so far whose path, without the account, begins with *below* (`/container/`), oldest first."""
    account = f"/{server.account}"
    found = (line._replace(path=line.path.removeprefix(account)) for line in moto.logged(server.log))
    return [line for line in found if line.path.startswith(below)]
