"""The web page: the built files of web/. Every path of the page serves its index."""

from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Match, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from services.gateway.api.problems import Problem

_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Tillstream</title>
<h1>Tillstream is running, but its page is not built</h1>
<p>Build it with <code>make web</code> and load this page again. The API works: see <a href="/docs">/docs</a>.</p>
</html>
"""
_METHODS = ["GET", "HEAD"]
# The ids below these paths may look like file names.
_WITH_IDS = ("customers/", "products/")
# Their names carry a hash of their content.
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_REVALIDATE = {"Cache-Control": "no-cache"}


class _HashedFiles(StaticFiles):
    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(_IMMUTABLE)
        return response


class _PageRoute(Route):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        # Below /v1 the API's own 404 and 405 responses stay.
        return (Match.NONE, {}) if f"{scope['path']}/".startswith("/v1/") else super().matches(scope)


def install(app: FastAPI, dist: Path) -> None:
    """Serve the page at `/` and below, after every other route."""
    if not (dist / "index.html").is_file():
        app.add_api_route("/", _not_built, methods=_METHODS, include_in_schema=False)
        return
    if (dist / "assets").is_dir():
        app.mount("/assets", GZipMiddleware(_HashedFiles(directory=dist / "assets"), minimum_size=1024))
    root = dist.resolve()

    async def page(request: Request) -> Response:
        return _file(root, request.path_params["path"])

    app.router.routes.append(_PageRoute("/{path:path}", page, methods=_METHODS, include_in_schema=False))


async def _not_built() -> HTMLResponse:
    return HTMLResponse(_NOT_BUILT, headers=_REVALIDATE)


def _existing(root: Path, path: str) -> Path | None:
    try:
        file = (root / path).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None
    except (ValueError, OSError):  # not a valid file name
        return None


def _file(root: Path, path: str) -> Response:
    if (file := _existing(root, path)) is not None:
        return FileResponse(file, headers=_REVALIDATE)
    if not path.startswith(_WITH_IDS) and "." in path.rpartition("/")[2]:
        raise Problem(HTTPStatus.NOT_FOUND, f"nothing is served at /{path}")
    return FileResponse(root / "index.html", headers=_REVALIDATE)
