"""What `sor` needs of AWS: signatures, and the address of a deployed stack's API.

Credentials and region come from where the AWS tools take them: environment, profile, SSO, assumed role,
container or instance.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import botocore.session
import click
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from cli.exits import UnavailableError

API_OUTPUT = "ApiUrl"
"""The output of template.yaml that holds the address."""
_GATEWAY_HOST = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")
_TIMEOUTS = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "max_attempts": 3})


class Aws:
    """An AWS identity, looked up at its first use and kept, so that a role's renewals are its own."""

    def __init__(self, profile: str | None = None, region: str | None = None) -> None:
        self._region = region
        self._session = botocore.session.Session(profile=profile)
        self._credentials: Credentials | None = None

    def sign(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> dict[str, str]:
        """The headers with an AWS Signature V4 for API Gateway.

        Raises
        ------
        click.UsageError
            No credentials, or none that still hold, or no region.
        """
        named = _GATEWAY_HOST.search(urlsplit(url).hostname or "")
        with _told("no AWS credentials to sign with"):
            region = named[1] if named else self._named_region()
            if self._credentials is None:
                self._credentials = self._session.get_credentials()
            if self._credentials is None:
                raise click.UsageError(
                    "no AWS credentials to sign with: give --profile, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
                )
            request = AWSRequest(method=method, url=url, data=content, headers=dict(headers))
            SigV4Auth(self._credentials, "execute-api", region).add_auth(request)
        return dict(request.headers.items())

    def api_url(self, stack: str) -> str:
        """The address of the API that a CloudFormation stack deployed, from its output ``ApiUrl``.

        Raises
        ------
        click.UsageError
            There is no such stack with such an output, or it may not be looked at.
        UnavailableError
            CloudFormation was not reached.
        """
        with _told(f"stack {stack}: cannot be looked up"):
            region = self._named_region()
            client = self._session.create_client("cloudformation", region_name=region, config=_TIMEOUTS)
            stacks = client.describe_stacks(StackName=stack)["Stacks"]
        outputs = stacks[0].get("Outputs", []) if stacks else []
        found = [output["OutputValue"] for output in outputs if output["OutputKey"] == API_OUTPUT]
        if not found:
            raise click.UsageError(f"stack {stack} in {region} has no output {API_OUTPUT}")
        return str(found[0])

    def _named_region(self) -> str:
        region = self._region or os.environ.get("AWS_REGION") or self._session.get_config_variable("region")
        if not region:
            raise click.UsageError("no AWS region: give --region, or set AWS_REGION")
        return str(region)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Failures of botocore as errors of a command: one line, and no traceback."""
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:  # noqa: PLR2004
            raise UnavailableError(f"{what}: {told.get('Message') or error}") from error
        raise click.UsageError(f"{what}: {told.get('Message') or error}") from error
    except (NoConnectionError, HTTPClientError) as error:
        raise UnavailableError(f"{what}: {error}") from error
    except BotoCoreError as error:
        raise click.UsageError(f"{what}: {error}") from error
