"""The ASGI application: every service's routes on one port, each request in one transaction.

A request goes: route → microversion → body (size, media type, JSON) → transaction { token → context → policy →
handler } → response. Errors anywhere become the service's own shape.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import falcon
import falcon.asgi
import msgspec

from stackling.api import access_rules, versions
from stackling.api.call import Call, Query, Reply
from stackling.api.cloud import Cloud
from stackling.api.route import Route, Service
from stackling.core.context import Context
from stackling.core.errors import (
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    StacklingError,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)
from stackling.core.ids import new_request_id

log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_PROJECT_IN_PATH = re.compile(r"(/compute/v2(?:\.[01])?)/[0-9a-f]{32}(?=/|\Z)")
_REQUEST_ID = re.compile(r"req-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z")
_OLD_COMPUTE = "/compute/v2/"
"""Compute 2.0 is 2.1 without microversions, as in Nova."""
_VERSION_HEADERS = frozenset((b"openstack-api-version", b"x-openstack-nova-api-version"))
ANONYMOUS = "anonymous"


def build_app(cloud: Cloud, services: Iterable[Service]) -> Callable[..., Awaitable[None]]:
    """An ASGI application that serves *services*."""
    app = falcon.asgi.App()
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.auto_parse_form_urlencoded = False
    services = list(services)
    for service in services:
        by_path: dict[str, dict[str, list[Route]]] = defaultdict(lambda: defaultdict(list))
        for route in service.routes:
            by_path[route.path][route.method].append(route)
        for path, methods in by_path.items():
            app.add_route(service.prefix + path, _resource(cloud, service, methods))
    prefixes = sorted(services, key=lambda s: -len(s.prefix))
    app.add_sink(_nothing_here(prefixes), "/")
    app.add_error_handler(Exception, _unexpected)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/compute/v2"):
            scope["path"] = _PROJECT_IN_PATH.sub(r"\1", scope["path"])
            if scope["path"].startswith(_OLD_COMPUTE) and scope["path"] != _OLD_COMPUTE:
                scope["path"] = "/compute/v2.1/" + scope["path"].removeprefix(_OLD_COMPUTE)
                scope["headers"] = [field for field in scope["headers"] if field[0] not in _VERSION_HEADERS]
        await app(scope, receive, send)

    return asgi


class _Resource:
    """Falcon finds ``on_get`` and its like as attributes."""


def _resource(cloud: Cloud, service: Service, methods: dict[str, list[Route]]) -> _Resource:
    resource = _Resource()
    for method, routes in methods.items():
        responder = _responder(cloud, service, tuple(routes))
        setattr(resource, f"on_{method.lower()}", responder)
        if method == "GET" and service.head and "HEAD" not in methods:
            resource.on_head = responder    # type: ignore[attr-defined]
    refuse = _refuse_method(service, ", ".join(sorted(methods)))
    for method in ("get", "head", "post", "put", "patch", "delete", "options"):
        if not hasattr(resource, f"on_{method}"):
            setattr(resource, f"on_{method}", refuse)
    return resource


def _responder(cloud: Cloud, service: Service, routes: tuple[Route, ...]) -> Callable[..., Awaitable[None]]:
    async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, **params: str) -> None:
        request_id = _start(service, req, resp)
        try:
            await _answer(cloud, service, routes, req, resp, params, request_id)
        except StacklingError as error:
            _fail(service, req, resp, error, request_id, cloud)

    return respond


async def _answer(cloud: Cloud, service: Service, routes: Sequence[Route], req: falcon.asgi.Request,
                  resp: falcon.asgi.Response, params: dict[str, str], request_id: str) -> None:
    version = (0, 0)
    if service.microversions is not None:
        version = versions.negotiate(service.microversions, req.get_header)
        resp.set_headers(versions.headers(service.microversions, version))
    route = _pick(routes, version)
    call = Call(Context(request_id), cloud, service, route, params, Query.parse(req.query_string), req, None, version)
    token = req.get_header("X-Auth-Token")
    if route.policy is not None and not token:
        raise Unauthorized("The request you have made requires authentication.")
    if route.mode == "stream":
        if route.policy is not None:
            call.ctx = await cloud.read(_identify, call, token or "")
            service.policy.authorize(route.policy, call.ctx)
        if route.body is not None:
            await _read_body(call)
            route.body.check(call.body, call.version)
        reply = await route.handler(call)
    else:
        malformed: Invalid | None = None
        try:
            await _read_body(call)
        except Invalid as error:                # a stranger learns nothing of what a body must be
            if route.policy is None:
                raise
            malformed = error
        run = cloud.read if route.mode == "read" else cloud.transact
        reply = await run(_perform, call, token, malformed)     # type: ignore[arg-type]
        if isinstance(reply, Reply) and reply.then is not None:
            reply = await reply.then()
    _send(resp, route, reply, head=req.method == "HEAD")


def _pick(routes: Sequence[Route], version: tuple[int, int]) -> Route:
    for route in routes:
        if (route.min is None or version >= route.min) and (route.max is None or version <= route.max):
            return route
    raise NotFound("The resource could not be found.")


def _identify(tx: Any, call: Call, token: str) -> Context:
    ctx = call.cloud.authenticate(tx, token, call.ctx.request_id)
    if ctx.access_rules is not None and not access_rules.permits(
            ctx.access_rules, call.service.name, call.service.prefix, call.request.method, call.request.path):
        raise Unauthorized("The access rules of the application credential don't allow this request.")
    if not call.route.unscoped and ctx.project_id is None and ctx.domain_id is None and ctx.system_scope is None:
        raise Forbidden("The token has no scope; ask for one with a project, a domain or the system.")
    return ctx


def _perform(tx: Any, call: Call, token: str | None, malformed: Invalid | None) -> Any:
    route = call.route
    if route.policy is not None:
        call.ctx = _identify(tx, call, token or "")
        call.service.policy.authorize(route.policy, call.ctx)
    if malformed is not None:
        raise malformed
    if route.body is not None:
        route.body.check(call.body, call.version)
    if route.query is not None:
        route.query.check(call.query, call.version)
    return route.handler(tx, call)


async def _read_body(call: Call) -> None:
    req, route = call.request, call.route
    length = req.content_length
    if length is not None and length > route.limit:
        raise TooLarge(f"The body is larger than {route.limit} bytes.")
    if req.method in ("GET", "HEAD") or length == 0:
        _require_body(route, None)
        return
    data = bytearray()
    async for chunk in req.stream:
        data += chunk
        if len(data) > route.limit:
            raise TooLarge(f"The body is larger than {route.limit} bytes.")
    if not data:
        _require_body(route, None)
        return
    media = (req.content_type or "application/json").split(";")[0].strip().lower()
    if media not in route.content_types:
        raise UnsupportedMediaType(f"Unsupported Content-Type {media}; this takes {', '.join(route.content_types)}.")
    try:
        call.body = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"Malformed request body: {error}") from None
    _require_body(route, call.body)


def _require_body(route: Route, body: Any) -> None:
    if route.body is not None and not isinstance(body, (dict, list)):
        raise Invalid("The request needs a JSON body.")


def _send(resp: falcon.asgi.Response, route: Route, reply: Any, *, head: bool = False) -> None:
    if not isinstance(reply, Reply):
        reply = Reply(reply)
    status = reply.status or route.status
    resp.status = status
    if reply.headers:
        resp.set_headers(reply.headers)
    if reply.stream is not None:
        resp.content_type = reply.content_type
        resp.stream = reply.stream
    elif reply.body is not None:
        resp.content_type = reply.content_type
        data = reply.body if isinstance(reply.body, bytes) else _encode(reply.body)
        if head:
            resp.set_header("Content-Length", str(len(data)))
        else:
            resp.data = data
    elif status not in (204, 304):
        resp.content_type = reply.content_type
        resp.set_header("Content-Length", "0")


def _start(service: Service, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> str:
    request_id = new_request_id()
    for name in service.request_id_headers:
        resp.set_header(name, request_id)
    given = req.get_header("X-Openstack-Request-Id")
    if given and _REQUEST_ID.match(given):
        log.debug("%s continues %s", request_id, given)
    return request_id


def _fail(service: Service, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: StacklingError,
          request_id: str, cloud: Cloud | None = None) -> None:
    status = service.statuses.get(type(error), error.status)
    resp.status = status
    body, content_type = service.error_body(error, request_id)
    resp.content_type = content_type
    resp.data = body if isinstance(body, bytes) else _encode(body)
    if status == 401 and cloud is not None:
        resp.set_header("WWW-Authenticate", f'Keystone uri="{cloud.public_url}/identity"')
    if headers := error.details.get("headers"):
        resp.set_headers(headers)   # type: ignore[arg-type]
    log.info("refused %s %s: %d %s [%s]", req.method, req.path, status, error.message, request_id)


def _refuse_method(service: Service, allowed: str) -> Callable[..., Awaitable[None]]:
    async def refuse(req: falcon.asgi.Request, resp: falcon.asgi.Response, **_params: str) -> None:
        error = NotFound("The resource could not be found.") if service.hides_methods else MethodNotAllowed(
            f"{req.method} isn't possible here; allowed: {allowed}.", headers={"Allow": allowed})
        _fail(service, req, resp, error, _start(service, req, resp))

    return refuse


def _nothing_here(services: Sequence[Service]) -> Callable[..., Awaitable[None]]:
    async def nothing(req: falcon.asgi.Request, resp: falcon.asgi.Response, **_params: str) -> None:
        error = NotFound("The resource could not be found.")
        for service in services:
            if req.path.startswith(service.prefix):
                _fail(service, req, resp, error, _start(service, req, resp))
                return
        resp.status = 404
        message = "No service lives here; see the catalog."
        resp.media = {"error": {"code": 404, "title": "Not Found", "message": message}}

    return nothing


async def _unexpected(req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, _params: Any) -> None:
    if isinstance(error, falcon.HTTPError):
        resp.status = error.status
        resp.media = {"error": {"code": error.status_code, "title": error.title, "message": error.description or ""}}
        return
    request_id = resp.get_header("X-Openstack-Request-Id") or new_request_id()
    log.error("unexpected error in %s %s [%s]", req.method, req.path, request_id, exc_info=error)
    resp.status = 500
    message = "Unexpected API Error. Please report this with the request id to your administrator."
    resp.media = {"computeFault": {"code": 500, "message": message}, "request_id": request_id}
