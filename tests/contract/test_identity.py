"""Identity on SQLite, MariaDB and PostgreSQL: the same behaviour, also with two nodes at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stackling.core import clock
from stackling.core.errors import Conflict, Unauthorized
from stackling.core.ids import new_hex
from stackling.identity import assignments, authentication, facade, groups, projects, role_assignments, roles, tokens
from stackling.identity import users as users_
from stackling.identity.assignments import Assignment
from stackling.identity.authentication import Challenge
from stackling.identity.facade import Identity, IdentityConfig
from stackling.identity.model import Listing
from stackling.identity.role_assignments import Wanted
from stackling.identity.tokens import Session
from stackling.store.database import Database

KEY = os.urandom(32)
SECURITY = IdentityConfig().security
PASSWORD = "s3cret"


@pytest.fixture(scope="module")
def hashed() -> str:
    return facade.hash_password(PASSWORD)


@pytest.fixture
def identity(database: Database, hashed: str) -> Identity:
    found = Identity(KEY)
    assert database.write(facade.bootstrap, found, hashed)
    return found


def log_in(database: Database, identity: Identity, name: str = "admin", project: str | None = "admin") -> Session:
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": {
        "name": name, "password": PASSWORD, "domain": {"name": "Default"}}}}}
    if project is not None:
        auth["scope"] = {"project": {"name": project, "domain": {"id": "default"}}}
    outcome = database.read(authentication.attempt, identity, auth)
    if isinstance(outcome, Challenge):
        assert outcome.met()
        identity.verified.remember(outcome.subject, outcome.secret, outcome.stored or "")
        outcome = database.read(authentication.attempt, identity, auth)
    assert isinstance(outcome, Session)
    return outcome


def test_first_start_twice_changes_nothing(database: Database, identity: Identity) -> None:
    before = database.read(users_.list_users, Listing()), database.read(roles.every)
    assert not database.write(facade.bootstrap, identity, facade.hash_password("another"))
    assert (database.read(users_.list_users, Listing()), database.read(roles.every)) == before
    assert log_in(database, identity).context.project_name == "admin"


def test_every_node_checks_every_token_and_sees_a_revocation_at_once(database: Database, identity: Identity) -> None:
    other_node = Identity(KEY)
    session = log_in(database, identity)
    context = database.read(other_node.authenticate, session.text, "req-1")
    assert (context.user_name, context.is_admin, context.request_id) == ("admin", True, "req-1")
    database.write(tokens.revoke, session.token)
    for node in (identity, other_node):
        with pytest.raises(Unauthorized):
            database.read(node.authenticate, session.text, "req-2")


def test_another_cluster_key_opens_nothing(database: Database, identity: Identity) -> None:
    session = log_in(database, identity)
    with pytest.raises(Exception, match="cluster key"):
        database.read(Identity(os.urandom(32)).authenticate, session.text, "req-1")


def test_of_two_who_take_a_name_one_gets_it(database: Database, identity: Identity, hashed: str) -> None:
    def create(_: int) -> bool:
        try:
            database.write(users_.create_user, new_hex(), {"name": "ann", "domain_id": "default"}, hashed, SECURITY)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(create, range(6))) == 1
    assert len(database.read(users_.list_users, Listing({"name": "ann"}))) == 1


def test_names_are_compared_exactly(database: Database, identity: Identity, hashed: str) -> None:
    for name in ("anna", "Anna", "ännä"):
        database.write(users_.create_user, new_hex(), {"name": name, "domain_id": "default"}, hashed, SECURITY)

    def names(*like: tuple[str, str, str]) -> set[str]:
        return {user.name for user in database.read(users_.list_users, Listing(like=like))}

    assert {u.name for u in database.read(users_.list_users, Listing({"name": "anna"}))} == {"anna"}
    assert names(("name", "icontains", "ANN")) == {"anna", "Anna"}
    assert names(("name", "contains", "%")) == set()
    assert names(("name", "startswith", "än")) == {"ännä"}


def test_roles_through_groups_and_inheritance(database: Database, identity: Identity, hashed: str) -> None:
    ann = database.write(users_.create_user, new_hex(), {"name": "ann", "domain_id": "default"}, hashed, SECURITY)
    group = database.write(groups.create_group, new_hex(), {"name": "g", "domain_id": "default"})
    database.write(groups.add_member, ann.id, group.id)
    top = database.write(projects.create_project, new_hex(), {"name": "top", "domain_id": "default", "tags": ["x"]})
    database.write(projects.create_project, new_hex(), {"name": "low", "domain_id": "default", "parent_id": top.id})
    member = database.read(roles.find_named, "member")
    assert member is not None
    database.write(assignments.grant, Assignment("group", group.id, "project", top.id, member.id, True))
    assert log_in(database, identity, "ann", "low").context.roles == {"member", "reader"}
    with pytest.raises(Unauthorized):
        log_in(database, identity, "ann", "top")
    effective = database.read(role_assignments.list_assignments, Wanted(user_id=ann.id, effective=True))
    assert {one.by_group for one in effective} == {group.id}
    assert len(effective) == 2
    tagged = database.read(projects.list_projects, Listing({"is_domain": False}), {"not-tags": ["x"]})
    assert {p.name for p in tagged} == {"admin", "low"}


def test_a_domain_goes_with_all_that_is_in_it(database: Database, identity: Identity, hashed: str) -> None:
    domain = database.write(projects.create_project, new_hex(), {"name": "d", "domain_id": "", "is_domain": True})
    database.write(users_.create_user, new_hex(), {"name": "u", "domain_id": domain.id}, hashed, SECURITY)
    database.write(projects.create_project, new_hex(), {"name": "p", "domain_id": domain.id})
    disabled = database.write(projects.update_project, domain, {"enabled": False})
    database.write(projects.delete_project, disabled)
    assert database.read(users_.list_users, Listing({"domain_id": domain.id})) == []
    assert database.read(projects.list_projects, Listing({"domain_id": domain.id})) == []


def test_names_of(database: Database, identity: Identity) -> None:
    session = log_in(database, identity)
    context = session.context
    people, places = database.read(facade.names_of, [context.user_id or "", "nobody"], [context.project_id or ""])
    assert people == {context.user_id: "admin"}
    assert places == {context.project_id: "admin"}
    assert database.read(facade.project_exists, context.project_id or "")
    assert not database.read(facade.project_exists, "default")


def test_a_node_whose_clock_is_behind_gives_good_tokens_after_a_password_change(
        database: Database, identity: Identity, hashed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = database.write(users_.create_user, new_hex(), {"name": "ann", "domain_id": "default"}, hashed, SECURITY)
    database.write(users_.update_user, ann, {}, facade.hash_password(PASSWORD), SECURITY)
    behind = clock.wall() - 2
    monkeypatch.setattr(clock, "wall", lambda: behind)
    session = log_in(database, identity, "ann", None)
    assert database.read(Identity(KEY).authenticate, session.text, "req-1").user_id == ann.id
