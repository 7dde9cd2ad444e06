"""Writing the launch files: all of them, and over nobody's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ridgeline.errors import BadInput
from ridgeline.files import write_atomically

__all__ = ["check_folder", "write_folder"]


def check_folder(path: str | Path, *, force: bool = False) -> Path:
    """The folder, if files may be written to it.

    Raises:
        BadInput: it is a file, or holds something and `force` is not given.
    """
    folder = Path(path)
    if not str(path).strip():
        raise BadInput("launch files need a folder; its name is empty")
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{path} is a file; launch files need a folder")
    try:
        if folder.exists() and any(folder.iterdir()) and not force:
            raise BadInput(f"{path} is not empty; give another folder, or --force to write over "
                           "launch files in it")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
    return folder


def write_folder(path: str | Path, files: Mapping[str, str], *, force: bool = False
                 ) -> tuple[Path, ...]:
    """Write files by name, each whole or not at all; scripts can be run.

    Raises:
        BadInput: the folder cannot be used or written.
    """
    folder = check_folder(path, force=force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make {path}: {error.strerror or error}") from error
    written = []
    for name, text in files.items():
        file = write_atomically(folder / name, text)
        if name.endswith(".sh"):
            file.chmod(file.stat().st_mode | 0o111)
        written.append(file)
    return tuple(written)
