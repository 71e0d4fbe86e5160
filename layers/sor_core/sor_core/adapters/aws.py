"""Clients of AWS's services.

They come from botocore, which is what boto3 is made of: boto3's own part is resources and file
transfers, which nothing here uses, and importing it makes every cold start longer.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from botocore.config import Config
from botocore.session import Session, get_session

_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 2},
    tcp_keepalive=True,
)


class AwsClients:
    """Makes clients that share one session: its credentials, and what it has read of AWS's descriptions."""

    def client(self, service: str) -> Any:
        """Make a client, with timeouts; address and credentials are the environment's, as for boto3."""
        return self._session.create_client(service, config=_CONFIG)

    @cached_property
    def _session(self) -> Session:
        return get_session()
