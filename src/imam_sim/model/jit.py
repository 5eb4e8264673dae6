"""The only place that knows numba: how kernels are compiled and where their machine code is kept.

numba's own cache looks only at the file of the compiled function, so a change of a callee or of a constant in another file would run
stale code (numba issue 1833). Here the cache folder is named by a hash of all kernel sources, of numba's version and of Python's: any
change of any of them opens a new, empty folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config
from platformdirs import user_cache_path

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def fingerprint(folder: Path = Path(__file__).parent) -> str:
    """Sixteen hexadecimal digits that change with any kernel source in the folder, with numba's version and with Python's."""
    digest = hashlib.sha256(f"{numba.__version__} {sys.version_info[:3]}".encode())
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.relative_to(folder).as_posix().encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """The folder of compiled kernels, made if it can be; None where nothing can be written (then each start compiles anew)."""
    chosen = os.environ.get("IMAM_CACHE_DIR")
    parent = Path(chosen) if chosen else user_cache_path("imam-sim")
    folder = parent / "kernels" / fingerprint()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return None
    return folder


CACHE = cache_folder()


def warm() -> bool:
    """Whether compiled kernels are waiting in the cache."""
    return CACHE is not None and any(CACHE.rglob("*.nbc"))


def forget() -> None:
    """Empty the cache of compiled kernels, for when a damaged file in it stops a run."""
    if CACHE is not None:
        shutil.rmtree(CACHE, ignore_errors=True)


def adopt(folder: Path) -> None:
    """Move the compiled kernels of another cache folder into ours, where ours lacks them.

    A kernel is a file that lists its versions and a file for each, told apart by name. The list goes last, so that it never names
    what is not there.
    """
    if CACHE is None:
        return
    for listing in folder.rglob("*.nbi"):
        home = CACHE / listing.parent.relative_to(folder)
        if not (home / listing.name).exists():
            home.mkdir(parents=True, exist_ok=True)
            for file in (*listing.parent.glob(f"{listing.stem}.*.nbc"), listing):
                shutil.move(file, home / file.name)


def jit(kernel: Kernel) -> Kernel:
    """Compile a function: division like numpy's, no reordering of arithmetic, no global interpreter lock, kept between starts."""
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = str(CACHE or "")  # type: ignore[attr-defined]
    try:
        compiled = numba.njit(error_model="numpy", fastmath=False, nogil=True, cache=CACHE is not None)(kernel)
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]
    return cast(Kernel, compiled)
