"""Servers for tests: the real ones once per session (and worker), our strict cloud anew for every test."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.servers import azurite as _azurite
from tests.servers import clients, fill
from tests.servers import moto as _moto
from tests.servers import rclone as _rclone
from tests.servers.strict import StrictCloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.endpoints import AzureAt, S3At


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureAt]:
    """Azurite, empty at the start of every test that fills it by `account`."""
    with _azurite.running(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3At]:
    """Moto's S3; `tests.servers.moto.asked` has its requests."""
    with _moto.running(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3At]:
    """`rclone serve s3`, which checks signatures."""
    with _rclone.serving_s3(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture
def strict() -> Iterator[StrictCloud]:
    """Our strict cloud, empty, in threads of this process."""
    with StrictCloud() as cloud:
        yield cloud


@pytest.fixture
def account(azurite: AzureAt) -> Iterator[fill.Account]:
    """Puts containers and blobs of any name into Azurite; all containers are gone after the test."""
    with fill.Account(azurite) as connection:
        yield connection
        with clients.blob_service(azurite) as service:
            for container in list(service.list_containers()):
                connection.remove(container.name)


@pytest.fixture
def new_bucket() -> Callable[[S3At], str]:
    """Makes an empty bucket with a new name on a server, and says its name."""

    def make(server: S3At) -> str:
        name = f"bucket-{secrets.token_hex(6)}"
        with clients.boto(server) as client:
            client.create_bucket(Bucket=name)
        return name

    return make
