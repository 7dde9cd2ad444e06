"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from ridgeline.errors import BadInput

__all__ = ["write_atomically"]


def write_atomically(path: str | Path, data: str | bytes) -> Path:
    """Write text or bytes to a temporary name beside the target, then rename.

    Raises:
        BadInput: the file cannot be written, with the reason.
    """
    content = data.encode() if isinstance(data, str) else data
    target = Path(path)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent or ".", prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes private files; give the result the permissions a plain open would.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise BadInput(f"cannot write {path}: {error.strerror or error}") from error
    return target
