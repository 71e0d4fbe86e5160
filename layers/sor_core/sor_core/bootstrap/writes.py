"""Makes what the function execute serves, of its two deployments only the one that a process is.

The API's reads requests, which the tasks need not: neither pays for the other's imports.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sor_core.bootstrap.execute import ExecuteRuntime
    from sor_core.bootstrap.tasks import TaskRuntime


def make_execute() -> ExecuteRuntime:
    """What serves the API."""
    from sor_core.bootstrap.execute import ExecuteRuntime  # noqa: PLC0415

    return ExecuteRuntime(os.environ)


def make_tasks() -> TaskRuntime:
    """What serves the tasks."""
    from sor_core.bootstrap.tasks import TaskRuntime  # noqa: PLC0415

    return TaskRuntime(os.environ)
