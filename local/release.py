"""Make every deployment publish new versions of the functions.

    python -m local.release .aws-sam/build/template.yaml

SAM publishes a version where a function's properties have changed, and takes a parameter's name for
its value (aws/serverless-application-model, issue 3820): a setting changed by a parameter alone would
reach nobody, for the alias would go on serving the old variables. So `make deploy` writes the moment
of the deployment into the built template, as a variable that nobody reads.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.template import load

VARIABLE = "SOR_RELEASE"


def marked(template: dict[str, Any], release: str) -> dict[str, Any]:
    """Give a template whose functions carry the name of a release."""
    functions = template["Globals"]["Function"]
    environment = functions["Environment"]
    variables = {**environment["Variables"], VARIABLE: release}
    marked_functions = {**functions, "Environment": {**environment, "Variables": variables}}
    return {**template, "Globals": {**template["Globals"], "Function": marked_functions}}


def main() -> None:
    """Mark the built template with the time."""
    path = Path(sys.argv[1])
    release = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # JSON is YAML, too, and SAM takes either.
    path.write_text(json.dumps(marked(load(path), release), indent=1), encoding="utf-8")
    print(f"{VARIABLE}={release}")


if __name__ == "__main__":
    main()
