"""The ASGI application: every service's routes on one port, each request in one transaction.

A request goes: route → microversion → body (size, media type, JSON) → transaction { token → context → policy →
handler } → response. Errors anywhere become the service's own shape.
"""

from __future__ import annotations

import logging
import re
import string
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import CoroutineType
from typing import Any
from urllib.parse import quote

import falcon
import falcon.asgi
import msgspec

from stackling.api import access_rules, versions
from stackling.api.call import Call, Query, Reply
from stackling.api.cloud import Cloud
from stackling.api.route import Route, Service
from stackling.core.context import Context
from stackling.core.errors import (
    Abandoned,
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
_PROJECT_IN_VOLUME_PATH = re.compile(r"/volume/v3/([0-9a-f]{32})(?=/|\Z)")
PROJECT = "stackling.project"
"""Where the scope keeps the project that stood in a path of Block Storage, which may be left out."""
_OLD_COMPUTE = "/compute/v2/"
"""Compute 2.0 is 2.1 without microversions, as in Nova."""
_SUSPECT = re.compile(rb"\\u0000|\d{19}")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
DEEPEST = 100
"""How deep a JSON body may be nested; what is deeper than any API asks for only burdens validators."""
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
    app.add_error_handler(falcon.HTTPError, _malformed(prefixes))
    app.add_error_handler(Exception, _unexpected(prefixes))

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/compute/v2"):
            scope["path"] = _PROJECT_IN_PATH.sub(r"\1", scope["path"])
            if scope["path"].startswith(_OLD_COMPUTE) and scope["path"] != _OLD_COMPUTE:
                scope["path"] = "/compute/v2.1/" + scope["path"].removeprefix(_OLD_COMPUTE)
                scope["headers"] = [field for field in scope["headers"] if field[0] not in _VERSION_HEADERS]
            if scope["path"].endswith("/") and scope["path"].count("/") > 3:
                scope["path"] += "/"            # Nova takes no slash at the end, and Falcon would take one away
        elif scope["type"] == "http" and scope["path"].startswith("/volume/v3"):
            if match := _PROJECT_IN_VOLUME_PATH.match(scope["path"]):
                scope["path"], scope[PROJECT] = "/volume/v3" + scope["path"][match.end():], match[1]
            if scope["path"].endswith("/") and scope["path"].count("/") > 3:
                scope["path"] += "/"
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
    service.policy.refresh()
    version = (0, 0)
    if service.microversions is not None:
        version = versions.negotiate(service.microversions, req.get_header)
        resp.set_headers(versions.headers(service.microversions, version))
    route = _pick(routes, version)
    if "\0" in req.path or "" in params.values():
        raise NotFound("The resource could not be found.")
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
    if call.service.of_projects and ctx.project_id is None:
        if call.service.conceals and call.params:
            raise NotFound("The resource could not be found.")
        raise Forbidden("The token's scope is no project, and this service asks for one.")
    return ctx


def _perform(tx: Any, call: Call, token: str | None, malformed: Invalid | None) -> Any:
    route = call.route
    if call.left():     # while it waited for its turn: work for nobody would delay everybody
        raise Abandoned("The client closed the connection before its request's turn came.")
    if route.policy is not None:
        call.ctx = _identify(tx, call, token or "")
        call.service.policy.authorize(route.policy, call.ctx)
    if malformed is not None:
        raise malformed
    if route.body is not None:
        route.body.check(call.body, call.version)
    if route.query is not None:
        route.query.check(call.query, call.version, query=True)
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
    if length is not None and len(data) < length:       # Falcon's stream ends silently where the client went away
        raise Invalid(f"The body has {len(data)} bytes and not the {length} of its Content-Length.")
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
    _check_values(call.body, data)
    _require_body(route, call.body)


def _check_values(body: Any, data: bytes | bytearray) -> None:
    """Refuse what JSON can say and no database of ours can keep. Ordinary bodies cost one scan."""
    if data.count(b"[") + data.count(b"{") > DEEPEST and _depth(data) > DEEPEST:
        raise Invalid(f"Malformed request body: it is nested more than {DEEPEST} levels deep.")
    if _SUSPECT.search(data):
        _refuse_unstorable(body)


def _depth(data: bytes | bytearray) -> int:
    depth = deepest = 0
    for byte in _STRING.sub(b"", data):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _refuse_unstorable(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid("Malformed request body: a text has a NUL character in it.")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise Invalid("Malformed request body: a number is beyond 64 bits.")
    elif isinstance(value, list):
        for item in value:    # pyright: ignore[reportUnknownVariableType]
            _refuse_unstorable(item)
    elif isinstance(value, dict):
        for key, item in value.items():    # pyright: ignore[reportUnknownVariableType]
            _refuse_unstorable(key)
            _refuse_unstorable(item)


def _require_body(route: Route, body: Any) -> None:
    if route.body is not None and not isinstance(body, (dict, list)):
        raise Invalid("The request needs a JSON body.")


def _send(resp: falcon.asgi.Response, route: Route, reply: Any, *, head: bool = False) -> None:
    if not isinstance(reply, Reply):
        reply = Reply(reply)
    status = reply.status or route.status
    resp.status = status
    for name, value in reply.headers.items():
        if name == "Set-Cookie":
            resp.append_header(name, _one_line(value))
        else:
            resp.set_header(name, _one_line(value))
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


def _one_line(value: str) -> str:
    """A header's value; what would end it (a tag's name in ``Location``) is percent-encoded."""
    return value if value.isascii() and value.isprintable() else quote(value, safe=string.punctuation + " ")


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


def _nothing_here(services: Sequence[Service]) -> Callable[..., CoroutineType[Any, Any, None]]:
    async def nothing(req: falcon.asgi.Request, resp: falcon.asgi.Response, **_params: str) -> None:
        if _service_of(services, req) is None:
            error = NotFound("No service lives here; see the catalog.")
        else:
            error = NotFound("The resource could not be found.")
        _fail_anywhere(services, req, resp, error)

    return nothing


def _malformed(services: Sequence[Service]) -> Callable[..., Awaitable[None]]:
    """What Falcon itself refuses (an unknown method, a malformed header), in the service's shape."""
    async def refuse(req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, _params: Any
                     ) -> None:
        kind = _BY_STATUS.get(error.status_code, Invalid)
        _fail_anywhere(services, req, resp, kind(error.description or error.title or "The request is malformed."))

    return refuse


_BY_STATUS: dict[int, type[StacklingError]] = {
    404: NotFound, 405: MethodNotAllowed, 413: TooLarge, 415: UnsupportedMediaType}


def _unexpected(services: Sequence[Service]) -> Callable[..., Awaitable[None]]:
    async def fail(req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, _params: Any) -> None:
        log.error("unexpected error in %s %s [%s]", req.method, req.path,
                  resp.get_header("X-Openstack-Request-Id"), exc_info=error)
        _fail_anywhere(services, req, resp, StacklingError(
            "Unexpected API Error. Please report this with the request id to your administrator."))

    return fail


def _service_of(services: Sequence[Service], req: falcon.asgi.Request) -> Service | None:
    for service in services:
        if req.path == service.prefix or req.path.startswith(f"{service.prefix}/"):
            return service
    return None


def _fail_anywhere(services: Sequence[Service], req: falcon.asgi.Request, resp: falcon.asgi.Response,
                   error: StacklingError) -> None:
    service = _service_of(services, req)
    if service is not None:
        request_id = resp.get_header("X-Openstack-Request-Id") or _start(service, req, resp)
        _fail(service, req, resp, error, request_id)
        return
    resp.status = error.status
    resp.media = {"error": {"code": error.status, "title": error.title, "message": error.message}}
