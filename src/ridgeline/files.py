"""Reading what users name, and writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from ridgeline.errors import BadInput

__all__ = ["read_json", "read_text", "write_atomically"]

# What a person writes by hand, and most tables, are far smaller.
LARGEST_TEXT = 256_000_000


def read_text(path: str | Path, most: int = LARGEST_TEXT) -> str:
    """The text of a file that a user named; a byte-order mark at its start is dropped.

    Args:
        path: the file.
        most: bytes it may have.

    Raises:
        BadInput: missing, unreadable, too large, or not text; one line that names the file.
    """
    place = Path(path)
    try:
        if place.is_file() and place.stat().st_size > most:
            raise BadInput(f"{path} has more than {most / 1e6:,.0f} MB; it is not such a file")
        return place.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise BadInput(f"cannot read {path}: {why}") from None


def read_json(path: str | Path, most: int = LARGEST_TEXT) -> Any:
    """The content of a JSON file that a user named.

    Raises:
        BadInput: as `read_text`, empty, or not JSON, with the line where it fails.
    """
    import json

    text = read_text(path, most)
    if not text.strip():
        raise BadInput(f"{path} is empty")
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadInput(f"{path} is not valid JSON: {error}") from None
    except RecursionError:
        raise BadInput(f"{path} is not valid JSON: it is nested too deeply") from None


def write_atomically(path: str | Path, data: str | bytes) -> Path:
    """Write text or bytes to a temporary name beside the target, then rename.

    Raises:
        BadInput: the file cannot be written, with the reason.
    """
    import tempfile

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
