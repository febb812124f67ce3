"""The web page: the built files of web/, with every path of the page answered by its index."""

from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, HTMLResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

from services.gateway.problems import Problem

_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Tillstream</title>
<h1>Tillstream is running, but its page is not built</h1>
<p>Build it with <code>make web</code> and load this page again. The API works: see <a href="/docs">/docs</a>.</p>
</html>
"""
# Their names carry a hash of their content.
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_REVALIDATE = {"Cache-Control": "no-cache"}


class _HashedFiles(StaticFiles):
    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(_IMMUTABLE)
        return response


def install(app: FastAPI, dist: Path) -> None:
    """Serve the page at `/` and below, after every other route."""
    if not (dist / "index.html").is_file():
        app.add_api_route("/", _not_built, include_in_schema=False)
        return
    if (dist / "assets").is_dir():
        app.mount("/assets", GZipMiddleware(_HashedFiles(directory=dist / "assets"), minimum_size=1024))
    root = dist.resolve()

    async def page(path: str) -> Response:
        return _file(root, path)

    app.add_api_route("/{path:path}", page, include_in_schema=False)


async def _not_built() -> HTMLResponse:
    return HTMLResponse(_NOT_BUILT, headers=_REVALIDATE)


def _file(root: Path, path: str) -> Response:
    file = (root / path).resolve()
    if path and file.is_file() and file.is_relative_to(root):
        return FileResponse(file, headers=_REVALIDATE)
    if path.startswith("v1/") or "." in path.rpartition("/")[2]:
        raise Problem(HTTPStatus.NOT_FOUND, f"nothing is served at /{path}")
    return FileResponse(root / "index.html", headers=_REVALIDATE)
