"""Leave in an installed botocore only what the functions read of its descriptions of AWS.

    python trim_botocore.py SITE API...

botocore describes every service of AWS in 25 MB, and a client reads its service's description, texts
for people included, and a list of all services' addresses (1.2 MB) before it can be made: a quarter
of the time that making the first one takes. Here go the services that are not called, the texts, and
the addresses of others. What is left has the same meaning, as tests/template/test_layer.py holds.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from pathlib import Path
from typing import Any

UNREAD = ("examples-1", "completions-1")
"""Descriptions by which nothing is sent."""


def main(site: Path, apis: list[str]) -> None:
    """Trim botocore below a folder of installed packages."""
    data = site / "botocore" / "data"
    for folder in filter(Path.is_dir, data.iterdir()):
        if folder.name not in apis:
            shutil.rmtree(folder)
    for path in data.glob("*/*/*"):
        if path.name.startswith(UNREAD):
            path.unlink()
        elif path.name.endswith((".json", ".json.gz")):
            _rewrite(path, _without_texts)
    addresses = data / "endpoints.json"
    endpoints = json.loads(addresses.read_bytes())
    for partition in endpoints["partitions"]:
        # Some services are listed under another name than their API's: `states` is Step Functions'.
        partition["services"] = {
            name: service for name, service in partition["services"].items() if name in {*apis, "states"}
        }
    addresses.write_text(json.dumps(endpoints, separators=(",", ":")))


def _rewrite(path: Path, change: Any) -> None:
    packed = path.suffix == ".gz"
    document = json.loads(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    path.unlink()
    plain = path.with_suffix("") if packed else path
    plain.write_text(json.dumps(change(document), separators=(",", ":")))


def _without_texts(value: Any) -> Any:
    """Drop each description's `documentation`: a text, where a member of that name would be an object."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not (k == "documentation" and isinstance(v, str))}
        return {key: _without_texts(inner) for key, inner in kept.items()}
    return [_without_texts(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
