"""Access to S3, by AWS's own chain. AWS's SDK is used here only."""

from __future__ import annotations

from typing import Any, NamedTuple

from sync_cloud_storage.errors import EnvironmentFault


class S3Access(NamedTuple):
    """Credentials for requests from now until the chain gives others."""

    key: str
    secret: str
    token: str = ""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"S3Access({self.key[:4]}...)"


class AwsChain:
    """Credentials, region and endpoint from where every AWS tool takes them: environment, profiles, SSO, instance role.

    Raises:
        EnvironmentFault: AWS-CONFIG when the chain's files cannot be read or name an unknown profile.
    """

    def __init__(self, *, profile: str, region: str, endpoint: str) -> None:
        import botocore.exceptions  # noqa: PLC0415 - 0.2 s to import
        import botocore.session  # noqa: PLC0415

        try:
            self._session: Any = botocore.session.Session(profile=profile or None)
            self._credentials = self._session.get_credentials()
            region = region or self._session.get_config_variable("region") or ""
            client = self._session.create_client("s3", region_name=region or "us-east-1", endpoint_url=endpoint or None)
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise EnvironmentFault(
                "AWS-CONFIG",
                f"The AWS settings cannot be used: {error}.",
                "Check ~/.aws/config, AWS_PROFILE and the endpoint.",
            ) from error
        self.region = region or "us-east-1"
        self.endpoint = str(client.meta.endpoint_url).rstrip("/")
        self.is_aws = self.endpoint.endswith((".amazonaws.com", ".amazonaws.com.cn"))

    def access(self) -> S3Access:
        """Credentials that are good now; renewed by the chain when they are about to end."""
        import botocore.exceptions  # noqa: PLC0415

        hint = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role."
        try:
            frozen = self._credentials.get_frozen_credentials() if self._credentials else None
        except botocore.exceptions.BotoCoreError as error:
            raise EnvironmentFault("S3-AUTH", f"The AWS credentials cannot be renewed: {error}.", hint) from error
        if not frozen or not frozen.access_key or not frozen.secret_key:
            raise EnvironmentFault("S3-AUTH", "There are no AWS credentials.", hint)
        return S3Access(frozen.access_key, frozen.secret_key, frozen.token or "")
