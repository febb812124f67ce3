"""Who asks, and the login of the page."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse

from services.gateway.access.roles import Access, Principal
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.problems import Problem
from services.gateway.api.schemas.session import SessionResponse
from services.gateway.dependencies import get_dependencies
from services.gateway.login.flow import Login, Step

router = guarded_router(prefix="/v1/session", tags=["session"])

_MAX_PARAMETER = 4096
_MAX_PATH = 512
_TO: dict[int | str, dict[str, Any]] = {
    303: {"description": "To the provider, or back to the page: `?login=` says what failed"}
}


@router.get("", summary="Who asks")
@gives(Access.PUBLIC)
async def session(request: Request) -> SessionResponse:
    """The name and the role of a session or key, and what they may see. A page asks this first."""
    dependencies = get_dependencies(request)
    doorkeeper = dependencies.doorkeeper
    # Where nobody needs to say who asks, an Authorization header may be that of a proxy in front.
    principal = await doorkeeper.caller(request.scope) if doorkeeper.closed else None
    return SessionResponse(
        closed=doorkeeper.closed,
        login=dependencies.login is not None,
        name=principal.name if principal else None,
        role=principal.role if principal else None,
        may=sorted(_given_to(principal, closed=doorkeeper.closed)),
    )


def _given_to(principal: Principal | None, *, closed: bool) -> Iterable[Access]:
    if principal is not None:
        return [access for access in Access if principal.may(access)]
    return [Access.PUBLIC] if closed else [access for access in Access if access is not Access.ADMIN]


@router.get("/login", summary="Log in", response_class=RedirectResponse, status_code=303, responses=_TO)
@gives(Access.PUBLIC)
async def login(
    request: Request,
    path: Annotated[str, Query(max_length=_MAX_PATH, description="Where on the page to go afterwards.")] = "/",
) -> Response:
    """Send the browser to the provider of OpenID Connect. 404 where no login is set up."""
    return _redirect(await _login(request).begin(request.scope, path))


@router.get(
    "/callback", summary="Come back from the provider", response_class=RedirectResponse, status_code=303, responses=_TO
)
@gives(Access.PUBLIC)  # the attempt's cookie, the code and the ID token say who comes
async def callback(request: Request) -> Response:
    """Exchange the provider's code for a session, which is a cookie, and send the browser to the page."""
    query = {name: value for name, value in request.query_params.items() if len(value) <= _MAX_PARAMETER}
    return _redirect(await _login(request).finish(request.scope, query))


@router.delete("", summary="Log out", status_code=HTTPStatus.NO_CONTENT)
@gives(Access.SIGNED_IN)
async def logout(request: Request) -> Response:
    """End the session, on every replica and in every open stream. A session at the provider stays."""
    login = _login(request)
    if (token := login.cookies.token_of(request.scope)) is not None:
        await login.sessions.end(token)
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Set-Cookie": login.cookies.no_session()})


def _login(request: Request) -> Login:
    login = get_dependencies(request).login
    if login is None:
        raise Problem(HTTPStatus.NOT_FOUND, "there is no login here: set TILLSTREAM_OIDC_ISSUER to turn it on")
    return login


def _redirect(step: Step) -> Response:
    response = RedirectResponse(step.location, HTTPStatus.SEE_OTHER)
    for cookie in step.cookies:
        response.headers.append("Set-Cookie", cookie)
    return response
