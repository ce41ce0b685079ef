"""``/v3/credentials`` and ``/v3/users/{user_id}/credentials/OS-EC2``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from stackling.api.call import Call
from stackling.api.identity.delegation import reaches, refuse_other_project, refuse_restricted, token_of
from stackling.api.identity.operation import ANY_TOKEN, operation
from stackling.api.identity.schema import TEXT, Body, member
from stackling.api.identity.view import collection, listing, merged, own_id, root, split, with_links
from stackling.api.route import Route
from stackling.core.errors import Invalid, NotFound
from stackling.core.ids import new_hex
from stackling.identity import credentials, projects, users
from stackling.identity.credentials import Credential
from stackling.identity.model import Listing
from stackling.identity.refusals import expecting, unauthorized
from stackling.identity.service import Identity

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_CREDENTIAL = {"blob": {"type": ["string", "object"]}, "project_id": {"type": ["string", "null"]}, "type": TEXT,
               "user_id": TEXT}
_EC2 = "ec2"
_FIXED_IN_BLOB = ("trust_id", "app_cred_id", "access_token_id", "access_id")
_WHAT = "additional credentials"


def access_id(access: str) -> str:
    """The credential id of an EC2 access key."""
    return hashlib.sha256(access.encode()).hexdigest()


def _blob_of(text: Any) -> dict[str, Any]:
    """The blob of an EC2 credential. Raises ``Invalid``."""
    try:
        blob = text if isinstance(text, dict) else msgspec.json.decode(text)
    except (msgspec.DecodeError, TypeError):
        raise Invalid("Invalid blob in credential") from None
    if not blob or not isinstance(blob, dict):
        raise expecting("blob", "credential")
    if not isinstance(blob.get("access"), str):    # pyright: ignore
        raise expecting("access", "credential")
    return blob    # pyright: ignore


def _as_text(blob: Any) -> str:
    return blob if isinstance(blob, str) else msgspec.json.encode(blob).decode()


def _show(call: Call, one: Credential) -> dict[str, Any]:
    return with_links(call, "credentials", {**one.extra, "id": one.id, "user_id": one.user_id,
                                            "project_id": one.project_id, "type": one.type, "blob": one.blob})


def _show_ec2(call: Call, one: Credential) -> dict[str, Any]:
    blob = _blob_of(one.blob)
    return {"user_id": one.user_id, "tenant_id": one.project_id, "access": blob["access"],
            "secret": blob.get("secret"), "trust_id": blob.get("trust_id"),
            "links": {"self": f"{root(call)}/users/{one.user_id}/credentials/OS-EC2/{blob['access']}"}}


class Credentials:
    """The handlers; what they show is opened with the process's key."""

    def __init__(self, identity: Identity) -> None:
        self.identity, self.box = identity, identity.box

    def _target(self, tx: Tx, id_: str) -> dict[str, Any]:
        try:
            found = credentials.get(tx, self.box, id_)
        except NotFound:
            return {"target": {}}
        return {"target": {"credential": {"user_id": found.user_id, "project_id": found.project_id}}}

    def target(self, tx: Tx, call: Call) -> Mapping[str, Any]:
        return self._target(tx, call.params["credential_id"])

    def new_target(self, tx: Tx, call: Call) -> Mapping[str, Any]:
        return {"target": {"credential": call.body["credential"]}}

    def _may_see(self, call: Call, one: Credential) -> bool:
        return call.allowed("identity:get_credential", {"target": {"credential": {"user_id": one.user_id}}})

    def list(self, tx: Tx, call: Call) -> Any:
        """Those that the caller may see, quietly."""
        own = {} if call.ctx.system_scope else {"credential": {"user_id": call.ctx.user_id}}
        call.authorize({"target": own}, "identity:list_credentials")
        token, page = token_of(tx, self.identity, call), listing(call, ("user_id", "type"))
        found = [_show(call, one) for one in credentials.list_credentials(tx, self.box, page)
                 if reaches(token, one.project_id) and self._may_see(call, one)]
        return collection(call, "credentials", found, page)

    def _one(self, tx: Tx, call: Call) -> Credential:
        found = credentials.get(tx, self.box, call.params["credential_id"])
        refuse_other_project(token_of(tx, self.identity, call), found.project_id)
        return found

    def show(self, tx: Tx, call: Call) -> Any:
        return {"credential": _show(call, self._one(tx, call))}

    def create(self, tx: Tx, call: Call) -> Any:
        values, extra = split(call.body["credential"], _CREDENTIAL)
        token, id_, blob = token_of(tx, self.identity, call), new_hex(), values["blob"]
        refuse_other_project(token, values.get("project_id"))
        if values["type"].lower() == _EC2:
            refuse_restricted(token, _WHAT)
            if not values.get("project_id"):
                raise expecting("project_id", "credential")
            blob = _blob_of(blob)
            id_ = access_id(blob["access"])
            if token.trust is not None:
                blob["trust_id"] = token.trust.id
            if token.application_credential is not None:
                blob["app_cred_id"] = token.application_credential.id
            if token.access_token is not None:
                blob["access_token_id"] = token.access_token.id
        made = Credential(id_, values["user_id"], values.get("project_id"), values["type"], _as_text(blob), extra)
        return {"credential": _show(call, credentials.create(tx, self.box, made))}

    def update(self, tx: Tx, call: Call) -> Any:
        old = self._one(tx, call)
        own_id(call.body["credential"], old.id, "credential")
        values, extra = split(call.body["credential"], _CREDENTIAL)
        if "user_id" in values:
            call.authorize({"target": {"credential": {"user_id": values["user_id"]}}}, "identity:update_credential")
        if "blob" in values:
            if old.type.lower() == _EC2:
                self._check_fixed(_blob_of(old.blob), _blob_of(values["blob"]))
            values["blob"] = _as_text(values["blob"])
        changed = credentials.change(tx, self.box, old, merged(values, extra, old.extra))
        return {"credential": _show(call, changed)}

    def _check_fixed(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        for key in _FIXED_IN_BLOB:
            if old.get(key) != new.get(key):
                raise Invalid(f"{key} can not be updated for credential")

    def delete(self, tx: Tx, call: Call) -> None:
        credentials.remove(tx, self._one(tx, call))

    # -- EC2

    def ec2_list_target(self, tx: Tx, call: Call) -> Mapping[str, Any]:
        return {"user_id": call.params["user_id"]}

    def ec2_new_target(self, tx: Tx, call: Call) -> Mapping[str, Any]:
        return {"target": {"credential": {"user_id": call.params["user_id"]}}}

    def ec2_target(self, tx: Tx, call: Call) -> Mapping[str, Any]:
        """The owner is the credential's, not the path's. An access key is a secret of 128 bits: that it isn't there may
        be said to anyone (404, as upstream)."""
        found = credentials.get(tx, self.box, access_id(call.params["access"]))
        return {"target": {"credential": {"user_id": found.user_id, "project_id": found.project_id}}}

    def ec2_list(self, tx: Tx, call: Call) -> Any:
        users.get_user(tx, call.params["user_id"])
        page = Listing({"user_id": call.params["user_id"], "type": _EC2})
        token = token_of(tx, self.identity, call)
        found = [one for one in credentials.list_credentials(tx, self.box, page) if reaches(token, one.project_id)]
        return collection(call, "credentials", [_show_ec2(call, one) for one in found])

    def ec2_create(self, tx: Tx, call: Call) -> Any:
        token = token_of(tx, self.identity, call)
        refuse_restricted(token, _WHAT)
        owner = users.get_user(tx, call.params["user_id"])
        project = projects.get_project(tx, call.body["tenant_id"])
        refuse_other_project(token, project.id)
        blob = {"access": new_hex(), "secret": new_hex(), "trust_id": token.trust.id if token.trust else None}
        if token.access_token is not None:
            blob["access_token_id"] = token.access_token.id
        if token.application_credential is not None:
            blob["app_cred_id"] = token.application_credential.id
        made = Credential(access_id(str(blob["access"])), owner.id, project.id, _EC2, _as_text(blob), {})
        return {"credential": _show_ec2(call, credentials.create(tx, self.box, made))}

    def _ec2_one(self, tx: Tx, call: Call) -> Credential:
        users.get_user(tx, call.params["user_id"])
        found = credentials.get(tx, self.box, access_id(call.params["access"]))
        if found.type != _EC2:
            raise unauthorized()
        refuse_other_project(token_of(tx, self.identity, call), found.project_id)
        return found

    def ec2_show(self, tx: Tx, call: Call) -> Any:
        return {"credential": _show_ec2(call, self._ec2_one(tx, call))}

    def ec2_delete(self, tx: Tx, call: Call) -> None:
        credentials.remove(tx, self._ec2_one(tx, call))


_EC2_BODY = Body({"type": "object", "properties": {"tenant_id": TEXT}, "required": ["tenant_id"]})


def routes(identity: Identity) -> list[Route]:
    handlers = Credentials(identity)
    one, ec2 = "/credentials/{credential_id}", "/users/{user_id}/credentials/OS-EC2"
    return [
        operation("GET", "/credentials", handlers.list, ANY_TOKEN.partition(":")[2]),
        operation("POST", "/credentials", handlers.create, "create_credential", target=handlers.new_target, status=201,
                  body=member("credential", _CREDENTIAL, ("blob", "type", "user_id"))),
        operation("GET", one, handlers.show, "get_credential", target=handlers.target),
        operation("PATCH", one, handlers.update, "update_credential", target=handlers.target,
                  body=member("credential", _CREDENTIAL, at_least=1)),
        operation("DELETE", one, handlers.delete, "delete_credential", target=handlers.target, status=204),
        operation("GET", ec2, handlers.ec2_list, "ec2_list_credentials", target=handlers.ec2_list_target),
        operation("POST", ec2, handlers.ec2_create, "ec2_create_credential", target=handlers.ec2_new_target,
                  status=201, body=_EC2_BODY),
        operation("GET", f"{ec2}/{{access}}", handlers.ec2_show, "ec2_get_credential", target=handlers.ec2_target),
        operation("DELETE", f"{ec2}/{{access}}", handlers.ec2_delete, "ec2_delete_credential",
                  target=handlers.ec2_target, status=204),
    ]
