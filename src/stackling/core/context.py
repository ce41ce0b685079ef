"""Who asks: the frozen result of checking a token, handed to every use-case."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Context:
    """The caller and the request. ``roles`` holds implied roles too, in lower case."""

    request_id: str
    user_id: str | None = None
    user_name: str | None = None
    user_domain_id: str | None = None
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    domain_id: str | None = None
    system_scope: str | None = None
    roles: frozenset[str] = field(default_factory=frozenset[str])
    token: str | None = field(default=None, repr=False)
    access_rules: tuple[tuple[str, str, str], ...] | None = None
    """The only requests that the token may make, as ``(service type, method, path)``; None: any."""

    @property
    def is_admin(self) -> bool:
        """Whether the caller has the role ``admin`` in any scope, as the default policies mean it."""
        return "admin" in self.roles

    @property
    def is_service(self) -> bool:
        """Whether the caller has the role ``service``, with which services ask each other."""
        return "service" in self.roles


def system_context(request_id: str) -> Context:
    """The cloud acting for itself (engine turns, first start)."""
    return Context(request_id=request_id, roles=frozenset({"admin", "manager", "member", "reader", "service"}),
                   system_scope="all")
