"""``/v3/OS-OAUTH1`` and users' access tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.identity.delegation import is_delegated, token_of
from stackling.api.identity.operation import operation
from stackling.api.identity.roles import show_role
from stackling.api.identity.schema import DESCRIPTION, ID, NAME, Body, member
from stackling.api.identity.view import collection, listing, merged, own_id, root, split
from stackling.api.route import Route
from stackling.core.errors import Forbidden, Invalid, NotFound, Unauthorized
from stackling.identity import oauth, projects, roles, state, tokens
from stackling.identity.oauth import AccessToken, Consumer
from stackling.identity.refusals import expecting, not_found
from stackling.identity.service import Identity
from stackling.identity.signatures import SignedRequest

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_CONSUMER = {"description": DESCRIPTION}
_FORM = "application/x-www-form-urlencoded"
_AUTHORIZE = Body({"type": "object", "properties": {"roles": {"type": "array", "items": {
    "type": "object", "properties": {"id": ID, "name": NAME}, "minProperties": 1, "maxProperties": 1,
    "additionalProperties": False}}}})


def signed_request(call: Call) -> SignedRequest:
    """The request as OAuth signs it. Raises ``Invalid`` where it isn't signed."""
    parameters = [(key, value) for key, values in call.query.items() for value in values]
    found = SignedRequest.of(call.request.method, call.base + call.request.path, parameters,
                             call.header("Authorization"))
    if found is None:
        raise Invalid("Error parsing OAuth headers: the request needs a header Authorization: OAuth …")
    return found


def _parameter(request: SignedRequest, name: str) -> str:
    found = request.oauth.get(name)
    if not found:
        raise expecting(name, "request")
    return found


def _show(call: Call, consumer: Consumer) -> dict[str, Any]:
    return {**consumer.extra, "id": consumer.id, "description": consumer.description,
            "links": {"self": f"{root(call)}/OS-OAUTH1/consumers/{consumer.id}"}}


def _show_access(call: Call, token: AccessToken) -> dict[str, Any]:
    base = f"{root(call)}/users/{token.user_id}/OS-OAUTH1/access_tokens/{token.id}"
    return {"id": token.id, "consumer_id": token.consumer_id, "project_id": token.project_id,
            "authorizing_user_id": token.user_id, "expires_at": f"{token.expires_at}Z" if token.expires_at else None,
            "links": {"roles": f"{base}/roles", "self": base}}


def _issued(id_: str, secret: str, expires: str) -> Reply:
    text = f"oauth_token={id_}&oauth_token_secret={secret}&oauth_expires_at={expires}Z"
    return Reply(text.encode(), 201, content_type=_FORM)


class OAuth:
    """The handlers; secrets are opened with the process's key."""

    def __init__(self, identity: Identity) -> None:
        self.identity, self.box = identity, identity.box

    # -- consumers

    def list_consumers(self, tx: Tx, call: Call) -> Any:
        page = listing(call, ())
        return collection(call, "consumers", [_show(call, one) for one in oauth.list_consumers(tx, page)], page)

    def _consumer(self, tx: Tx, call: Call) -> Consumer:
        return oauth.get_consumer(tx, call.params["consumer_id"])

    def show_consumer(self, tx: Tx, call: Call) -> Any:
        return {"consumer": _show(call, self._consumer(tx, call))}

    def create_consumer(self, tx: Tx, call: Call) -> Any:
        values, extra = split(call.body["consumer"], _CONSUMER)
        made, secret = oauth.create_consumer(tx, self.box, {**values, "extra": extra})
        return {"consumer": {**_show(call, made), "secret": secret}}

    def update_consumer(self, tx: Tx, call: Call) -> Any:
        old, body = self._consumer(tx, call), call.body["consumer"]
        own_id(body, old.id, "consumer")
        values, extra = split(body, _CONSUMER)
        return {"consumer": _show(call, oauth.update_consumer(tx, old, merged(values, extra, old.extra)))}

    def delete_consumer(self, tx: Tx, call: Call) -> None:
        oauth.delete_consumer(tx, self._consumer(tx, call))

    # -- tokens for consumers

    def request_token(self, tx: Tx, call: Call) -> Reply:
        """POST /v3/OS-OAUTH1/request_token, signed with the consumer's secret."""
        request = signed_request(call)
        consumer_id, project_id = _parameter(request, "oauth_consumer_key"), call.header("Requested-Project-Id")
        if not project_id:
            raise expecting("Requested-Project-Id", "request")
        projects.get_project(tx, project_id)
        consumer = oauth.get_consumer(tx, consumer_id)
        if not request.signed_with(oauth.consumer_secret(tx, self.box, consumer.id), "", tx.time):
            raise Unauthorized("Invalid signature")
        return _issued(*oauth.create_request(tx, self.box, consumer.id, project_id))

    def authorize(self, tx: Tx, call: Call) -> Any:
        """PUT /v3/OS-OAUTH1/authorize/{id}: the user lends some of their roles."""
        token = token_of(tx, self.identity, call)
        if is_delegated(token):
            raise Forbidden("Cannot authorize a request token with a token issued via delegation.")
        request = oauth.get_request(tx, call.params["request_token_id"])
        if request.expires_at is not None and request.expires_at <= tx.now:
            raise Unauthorized("Request token is expired")
        wanted = [self._role(tx, one) for one in call.body.get("roles", ())]
        snapshot = self.identity.snapshot(tx, state.generation(tx))
        project = projects.get_project(tx, request.project_id)
        held = {role.id for role in tokens.roles_on(tx, snapshot, call.ctx.user_id or "", project)}
        if not held.issuperset(wanted):
            raise Unauthorized("authorizing user does not have role required")
        return {"token": {"oauth_verifier": oauth.authorize(tx, request, call.ctx.user_id or "", wanted)}}

    def _role(self, tx: Tx, asked: Mapping[str, str]) -> str:
        if "id" in asked:
            return asked["id"]
        found = roles.find_named(tx, asked["name"])
        if found is None:
            raise not_found("role", asked["name"])
        return found.id

    def access_token(self, tx: Tx, call: Call) -> Reply:
        """POST /v3/OS-OAUTH1/access_token, signed with both secrets, with the user's verifier."""
        signed = signed_request(call)
        consumer_id, token_id = _parameter(signed, "oauth_consumer_key"), _parameter(signed, "oauth_token")
        verifier = _parameter(signed, "oauth_verifier")
        request = oauth.get_request(tx, token_id)
        if request.expires_at is not None and request.expires_at <= tx.now:
            raise Unauthorized("Request token is expired")
        if request.consumer_id != consumer_id:
            raise Unauthorized("Provided consumer key does not match stored consumer key.")
        if not signed.signed_with(oauth.consumer_secret(tx, self.box, consumer_id),
                                  oauth.request_secret(tx, self.box, request.id), tx.time):
            raise Unauthorized("Invalid signature")
        if request.user_id is None:
            raise Unauthorized("Request Token does not have an authorizing user id.")
        if request.verifier != verifier:
            raise Unauthorized("Provided verifier does not match stored verifier")
        return _issued(*oauth.create_access(tx, self.box, request))

    # -- a user's access tokens

    def _access(self, tx: Tx, call: Call) -> AccessToken:
        self._refuse_delegated(tx, call)
        found = oauth.get_access(tx, call.params["access_token_id"])
        if found.user_id != call.params["user_id"]:
            raise NotFound("Access token not found")
        return found

    def _refuse_delegated(self, tx: Tx, call: Call) -> None:
        if is_delegated(token_of(tx, self.identity, call)):
            raise Forbidden("Cannot access OAuth1 access tokens with a token issued via delegation.")

    def list_access(self, tx: Tx, call: Call) -> Any:
        self._refuse_delegated(tx, call)
        found = oauth.list_access(tx, call.params["user_id"])
        return collection(call, "access_tokens", [_show_access(call, one) for one in found])

    def show_access(self, tx: Tx, call: Call) -> Any:
        return {"access_token": _show_access(call, self._access(tx, call))}

    def delete_access(self, tx: Tx, call: Call) -> None:
        oauth.delete_access(tx, self._access(tx, call))

    def list_roles(self, tx: Tx, call: Call) -> Any:
        found = roles.some(tx, self._access(tx, call).roles)
        return collection(call, "roles", [show_role(call, one) for one in found])

    def show_one_role(self, tx: Tx, call: Call) -> Any:
        if call.params["role_id"] not in self._access(tx, call).roles:
            raise not_found("role", call.params["role_id"])
        return {"role": show_role(call, roles.get_role(tx, call.params["role_id"]))}


def routes(identity: Identity) -> list[Route]:
    handlers = OAuth(identity)
    many = "/OS-OAUTH1/consumers"
    one, access = f"{many}/{{consumer_id}}", "/users/{user_id}/OS-OAUTH1/access_tokens"
    token = f"{access}/{{access_token_id}}"
    return [
        operation("GET", many, handlers.list_consumers, "list_consumers"),
        operation("POST", many, handlers.create_consumer, "create_consumer", status=201,
                  body=member("consumer", _CONSUMER)),
        operation("GET", one, handlers.show_consumer, "get_consumer"),
        operation("PATCH", one, handlers.update_consumer, "update_consumer",
                  body=member("consumer", {**_CONSUMER, "secret": False}, at_least=1)),
        operation("DELETE", one, handlers.delete_consumer, "delete_consumer", status=204),
        Route("POST", "/v3/OS-OAUTH1/request_token", handlers.request_token, None, "write", status=201,
              content_types=(_FORM, "application/json")),
        Route("POST", "/v3/OS-OAUTH1/access_token", handlers.access_token, None, "write", status=201,
              content_types=(_FORM, "application/json")),
        operation("PUT", "/OS-OAUTH1/authorize/{request_token_id}", handlers.authorize, "authorize_request_token",
                  body=_AUTHORIZE),
        operation("GET", access, handlers.list_access, "list_access_tokens"),
        operation("GET", token, handlers.show_access, "get_access_token"),
        operation("DELETE", token, handlers.delete_access, "delete_access_token", status=204),
        operation("GET", f"{token}/roles", handlers.list_roles, "list_access_token_roles"),
        operation("GET", f"{token}/roles/{{role_id}}", handlers.show_one_role, "get_access_token_role"),
    ]
