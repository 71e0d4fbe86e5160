"""``python -m local.openapi``: write openapi/openapi.json."""

from __future__ import annotations

from local.openapi.document import COMMITTED, text

if __name__ == "__main__":
    COMMITTED.parent.mkdir(exist_ok=True)
    COMMITTED.write_text(text(), encoding="utf-8")
    print(f"wrote {COMMITTED.name}")
