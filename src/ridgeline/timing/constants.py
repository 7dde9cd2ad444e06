"""Where the fitted constants are read from: the user's calibration if there is one, else ours.

`RIDGELINE_CALIBRATION` names a folder written by `ridgeline calibrate --out FOLDER`; a family
that the folder lacks is read from the package.
"""

from __future__ import annotations

import importlib.resources
import os
from pathlib import Path

from ridgeline.errors import BadInput

ENVIRONMENT = "RIDGELINE_CALIBRATION"


def constants_text(file_name: str) -> str | None:
    """The text of a constants file ("gemm.json"), None where there is none.

    Raises:
        BadInput: the environment names a folder that does not exist.
    """
    own = os.environ.get(ENVIRONMENT, "")
    if own:
        folder = Path(own)
        if not folder.is_dir():
            raise BadInput(f"{ENVIRONMENT} names {own!r}, which is not a folder; make it with "
                           "`ridgeline calibrate --out FOLDER`")
        if (folder / file_name).is_file():
            return (folder / file_name).read_text(encoding="utf-8")
    file = importlib.resources.files("ridgeline.timing") / "data" / file_name
    return file.read_text(encoding="utf-8") if file.is_file() else None
