"""What the tests of the venues' answers share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sor_core.adapters.http import Answer

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "venue_samples"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/data/venue_samples is absent")

CLIENT_ID = "0123456789abcdef0123456789abcdef"


def reply(status: int, document: Any, *, content_type: str = "application/json", **headers: str) -> Answer:
    """An answer with a document (or bytes) as its body; an underscore in a header's name is a dash."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    fields = {"content-type": content_type, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return Answer(status, fields, body, received_at_ms=1_700_000_000_000, latency_ms=1.0)
