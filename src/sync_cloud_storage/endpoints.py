"""From settings to the two ends of the journey: credentials, lines, profile, and whether they answer at all."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sync_cloud_storage.azure import Azure, AzureAccess, AzureCredentials
from sync_cloud_storage.errors import EnvironmentFault, UsageFault
from sync_cloud_storage.http.lanes import Lanes
from sync_cloud_storage.http.messages import Line
from sync_cloud_storage.http.pump import Pump
from sync_cloud_storage.http.retry import Patience
from sync_cloud_storage.s3 import S3, AwsChain, Profile, S3Access

if TYPE_CHECKING:
    from pathlib import Path

    from sync_cloud_storage.http.messages import Story
    from sync_cloud_storage.settings import Settings

FIRST_WORD = Patience(attempts=3, offline_s=6.0)  # at the start a person is watching: say soon what is wrong
RENEW_EARLY_S = 600.0


class Endpoints:
    """The account and the bucket of these settings. Nothing is asked before it is needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._access: AzureAccess | None = None

    # -------------------------------------------------------------------------------------------------- azure

    @cached_property
    def _azure_credentials(self) -> AzureCredentials:
        azure = self._settings.azure
        ca_file = self._settings.network.azure_ca_file
        return AzureCredentials(
            azure.account, azure.endpoint, key=azure.key, sas=azure.sas, ca_file=str(ca_file) if ca_file else ""
        )

    @property
    def azure_line(self) -> Line:
        """How the account is reached."""
        return self._line(self._settings.azure.endpoint, self._settings.network.azure_ca_file)

    def azure_access(self) -> AzureAccess:
        """Access that is good for a while; made anew shortly before it ends."""
        now = time.time()
        access = self._access
        if access is None or (self._azure_credentials.renewable and 0 < access.expires < now + RENEW_EARLY_S):
            try:
                access = self._access = self._azure_credentials.access(datetime.now(UTC))
            except EnvironmentFault:
                if access is None or access.expires <= now:  # what we have is good for a while yet
                    raise
        return access

    # ----------------------------------------------------------------------------------------------------- s3

    @cached_property
    def _chain(self) -> AwsChain:
        target = self._settings.target
        return AwsChain(profile=target.profile, region=target.region, endpoint=target.endpoint_url)

    @property
    def s3_line(self) -> Line:
        """How the bucket is reached."""
        return self._line(self._chain.endpoint, self._settings.network.s3_ca_file)

    def s3_access(self) -> S3Access:
        """Credentials that are good now."""
        return self._chain.access()

    @cached_property
    def profile(self) -> Profile:
        """The bucket and how to speak to it."""
        target = self._settings.target
        chain = self._chain
        # No certificate fits a host with a bucket name with dots (S3 User Guide, "Bucket naming rules").
        path_style = target.path_style if target.path_style is not None else not chain.is_aws or "." in target.bucket
        endpoint = chain.endpoint if path_style else chain.endpoint.replace("://", f"://{target.bucket}.", 1)
        return Profile(
            endpoint,
            target.bucket,
            chain.region,
            path_style,
            target.storage_class,
            target.acl,
            target.encryption,
            target.kms_key,
            target.tags,
        )

    # -------------------------------------------------------------------------------------------------- names

    @property
    def account_name(self) -> str:
        """What ties a catalog to the account: its name, and where it is if that is not Azure's public cloud."""
        azure = self._settings.azure
        public = azure.endpoint == f"https://{azure.account}.blob.core.windows.net"
        return azure.account if public else f"{azure.account} at {azure.endpoint}"

    @property
    def bucket_name(self) -> str:
        """What ties a catalog to the bucket: its name, and where it is if that is not AWS."""
        return self.profile.bucket if self._chain.is_aws else f"{self.profile.bucket} at {self._chain.endpoint}"

    # -------------------------------------------------------------------------------------------------- first

    def greet(self, *, azure: bool, s3: bool) -> None:
        """Ask both ends whether they let us in, before anything is begun.

        Raises:
            EnvironmentFault: Which one does not, why, and what to do.
        """
        if azure:
            _tell(Azure(self.azure_access(), self.azure_line, FIRST_WORD, time.time).containers("", most=1))
        if s3:
            _tell(S3(self.profile, self.s3_access(), self.s3_line, FIRST_WORD).bucket())

    def _line(self, endpoint: str, ca_file: Path | None) -> Line:
        network = self._settings.network
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageFault(
                "SET-VALUE",
                f"'{endpoint}' is not the address of a service.",
                "It looks like https://host or https://host:port.",
            )
        proxy = network.https_proxy if parts.scheme == "https" else network.http_proxy
        return Line(ca_file=str(ca_file) if ca_file else _system_ca_file(), proxy=proxy, no_proxy=network.no_proxy)


def _system_ca_file() -> str:
    """The machine's own certificates, or those that come with Python's packages where it has none."""
    found = ssl.get_default_verify_paths().cafile
    if found:
        return found
    import certifi  # noqa: PLC0415 - hardly ever needed

    return certifi.where()


def _tell(story: Story[Any]) -> Any:
    """Tell one story to its end, here and now."""
    pump = Pump(Lanes(1), stall_s=20.0, threads=1)
    ended: list[tuple[Any, BaseException | None]] = []
    pump.start(story, lambda value, error: ended.append((value, error)))
    try:
        while not ended:
            pump.turn(1.0)
    finally:
        pump.close()
    value, error = ended[0]
    if error is not None:
        raise error
    return value
