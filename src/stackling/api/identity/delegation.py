"""What a delegated token (of an application credential, a trust or an OAuth access token) may not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.call import Call
from stackling.core.errors import Forbidden
from stackling.identity.service import Identity
from stackling.identity.tokens import Token

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


def token_of(tx: Tx, identity: Identity, call: Call) -> Token:
    """What the caller's token means."""
    return identity.session(tx, call.ctx.token or "").token


def is_delegated(token: Token) -> bool:
    return any((token.trust, token.application_credential, token.access_token))


def refuse_restricted(token: Token, what: str) -> None:
    """An application credential may only manage *what* if it was made unrestricted."""
    credential = token.application_credential
    if credential is not None and not credential.unrestricted:
        raise Forbidden("You are not authorized to perform the requested action: Using method 'application_credential' "
                        f"is not allowed for managing {what}..")


def refuse_trust(token: Token) -> None:
    """Whoever acts for another by a trust makes no application credentials in their name."""
    if token.trust is not None or token.access_token is not None:
        raise Forbidden("You are not authorized to perform the requested action: Cannot manage application credentials "
                        "with a token issued via delegation..")


def reaches(token: Token, project_id: str | None) -> bool:
    """Whether *token* is good for credentials of the project; a delegated one is for its own project's only."""
    return not is_delegated(token) or (token.project is not None and token.project.id == project_id)


def refuse_other_project(token: Token, project_id: str | None) -> None:
    """Raises ``Forbidden`` where *token* doesn't reach credentials of the project."""
    if not reaches(token, project_id):
        raise Forbidden("You are not authorized to perform the requested action: Credential project does not match the "
                        "project scope of the delegated token.")
