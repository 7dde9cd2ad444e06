"""The explorer's built page and its assets, from within the package."""

from __future__ import annotations

import mimetypes
from functools import lru_cache
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException

__all__ = ["add_pages"]


def _folder() -> Path:
    import ridgeline.web

    return Path(ridgeline.web.__file__).parent / "page"


@lru_cache(maxsize=128)
def _content(name: str) -> tuple[bytes, str]:
    """Bytes and media type of an asset that was built."""
    file = _folder() / name
    if ".." in name or "\\" in name or "\0" in name or not file.is_file():
        raise HTTPException(404, "no such page")
    return file.read_bytes(), mimetypes.guess_type(name)[0] or "application/octet-stream"


def add_pages(app: FastAPI) -> None:
    """Serve the page at / and its assets beside it."""

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        content, _ = _content("index.html")
        return Response(content, media_type="text/html", headers={"cache-control": "no-cache"})

    @app.get("/assets/{name}", include_in_schema=False)
    def asset(name: str) -> Response:
        content, kind = _content(f"assets/{name}")
        # Names carry a hash of the content, so they may be kept for good.
        return Response(content, media_type=kind,
                        headers={"cache-control": "public, max-age=31536000, immutable"})
