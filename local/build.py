"""What is deployed: the layer, built for this machine, and each function's folder, as zip archives."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import io
import os
import shutil
import sys
import zipfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

from local.processes import StackError, run_to_end, shown
from local.template import REPOSITORY

LAYER = REPOSITORY / "layers" / "sor_core"
BUILT = REPOSITORY / ".build" / "layer"
LOCK_POLL_S = 0.1
BEGINNING_OF_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


async def layer_folder(log: Path) -> Path:
    """Build the layer's content for this machine's interpreter, or take it from an earlier build.

    The libraries are installed once per lock; the core is copied whenever it has changed.

    Raises
    ------
    StackError
        The build failed.
    """
    async with _built(log) as folder:
        return folder


async def layer_archive(log: Path) -> bytes:
    """Give `layer_folder`'s content as a zip archive; raises as it does."""
    async with _built(log) as folder:
        return archive(folder)


def archive(folder: Path) -> bytes:
    """Zip a folder's content; the same content gives the same bytes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archived:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = str(path.relative_to(folder))
                archived.writestr(zipfile.ZipInfo(name, BEGINNING_OF_ZIP_TIME), path.read_bytes())
    return data.getvalue()


@asynccontextmanager
async def _built(log: Path) -> AsyncIterator[Path]:
    """Hold the up-to-date layer: of all stacks started from this repository, one at a time."""
    BUILT.mkdir(parents=True, exist_ok=True)
    with (BUILT / "lock").open("w") as lock:
        while not _locked(lock):  # noqa: ASYNC110 - another process holds it, no event of ours can tell
            await asyncio.sleep(LOCK_POLL_S)
        folder = BUILT / f"{sys.implementation.cache_tag}-{os.uname().machine}"
        recipe = [LAYER / name for name in ("requirements.txt", "Makefile", "trim_botocore.py")]
        libraries = _digest(recipe, sys.version)
        if _stamp(folder, "libraries") != libraries:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(_stamps(folder), ignore_errors=True)
            await _make("dependencies", folder, log)
            _put_stamp(folder, "libraries", libraries)
        core = _digest(_sources(LAYER / "sor_core"))
        if _stamp(folder, "core") != core:
            _put_stamp(folder, "core", "unfinished")
            await _make("core", folder, log)
            _put_stamp(folder, "core", core)
        yield folder


def _locked(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stamps(folder: Path) -> Path:
    return folder.with_suffix(".stamps")


def _stamp(folder: Path, name: str) -> str:
    path = _stamps(folder) / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _put_stamp(folder: Path, name: str, content: str) -> None:
    _stamps(folder).mkdir(exist_ok=True)
    (_stamps(folder) / name).write_text(content, encoding="utf-8")


def _digest(files: Iterable[Path], *texts: str) -> str:
    digest = hashlib.sha256("\0".join(texts).encode())
    for path in files:
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(LAYER)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _sources(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


async def _make(target: str, artifacts: Path, log: Path) -> None:
    variables = ["LAYER_TARGET=host", f"PYTHON={sys.executable}", f"ARTIFACTS_DIR={artifacts}"]
    # MAKE*: nothing of the make that may have started us, its job server's pipes are not open here.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    if await run_to_end(["make", "-C", str(LAYER), target, *variables], environment, log) != 0:
        raise StackError(f"building the layer failed (log: {shown(log)})")
