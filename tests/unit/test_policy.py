"""Access rules: our evaluator against OpenStack's own library, and what an administrator's file may be."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from oslo_policy import policy as oslo

from stackling.api import policies
from stackling.api.policy import LOOK_EVERY, Policy
from stackling.api.policy_file import PolicyFileError
from stackling.core import clock
from stackling.core.context import Context
from tests.routes import public_services

ROLES = ("admin", "manager", "member", "reader", "service", "other")
IDS = ("a", "b")
KEYS = ("user_id", "project_id", "tenant_id", "domain_id", "owner", "member_id", "id", "trust_id",
        "network:project_id", "ext_parent:project_id", "visibility", "shared", "target_project_id", "target_tenant")
NESTED = ("user", "group", "project", "domain", "role", "credential", "token", "trust", "limit", "registered_limit",
          "access_rule", "prior_role", "implied_role")


class Enforcer:
    """What checks of the library ask of their surroundings."""

    def __init__(self, rules: Any) -> None:
        self.rules = rules


def credentials(ctx: Context) -> dict[str, Any]:
    return {
        "roles": sorted(ctx.roles), "user_id": ctx.user_id, "project_id": ctx.project_id, "tenant_id": ctx.project_id,
        "tenant": ctx.project_id, "user": ctx.user_id, "domain_id": ctx.domain_id, "system_scope": ctx.system_scope,
        "is_admin": ctx.is_admin,
        "token": {"domain": {"id": ctx.domain_id}, "project": {"domain": {"id": ctx.project_domain_id}}}}


def context(chance: random.Random) -> Context:
    def maybe() -> str | None:
        return chance.choice((*IDS, None))

    return Context("req", user_id=maybe(), project_id=maybe(), domain_id=maybe(), project_domain_id=maybe(),
                   system_scope=chance.choice((None, "all")),
                   roles=frozenset(role for role in ROLES if chance.random() < 0.4))


def target(chance: random.Random) -> dict[str, Any]:
    def value(key: str) -> str:
        return chance.choice(("public", "private", "community", "shared") if key == "visibility" else IDS)

    found: dict[str, Any] = {key: value(key) for key in KEYS}
    found["target"] = {name: {key: chance.choice(IDS) for key in (
        "id", "user_id", "domain_id", "project_id", "trustor_user_id", "trustee_user_id", "name")} for name in NESTED}
    found["target"]["domain_id"] = chance.choice(IDS)
    return {**found, **{f"target.{name}.{key}": inner for name, values in found["target"].items()
                        if isinstance(values, dict) for key, inner in values.items()},
            "target.domain_id": found["target"]["domain_id"]}


@pytest.mark.parametrize("service", policies.services())
def test_we_decide_as_the_library_does(service: str) -> None:
    rules = {name: text for name, text in policies.defaults(service).items() if "field:" not in text}
    ours = Policy({**policies.defaults(service)})
    theirs = oslo.Rules.from_dict({**policies.defaults(service)})
    enforcer, chance, seen = Enforcer(theirs), random.Random(service), set[bool]()
    for name in rules:
        for _ in range(40):
            ctx, what = context(chance), target(chance)
            expected = bool(oslo._checks._check(theirs[name], what, credentials(ctx), enforcer, name))
            assert ours.allows(name, ctx, what) == expected, (name, rules[name], ctx, what)
            seen.add(expected)
    assert seen == {True, False}


RULES = {"admin": "role:admin", "show": "rule:admin or project_id:%(project_id)s", "list": "role:reader"}
READER = Context("req", project_id="a", roles=frozenset({"reader"}))


def test_a_file_overrides_rules_and_adds_some(tmp_path: Path) -> None:
    path = tmp_path / "compute.yaml"
    path.write_text('list: "rule:auditors"\n"auditors": role:auditor\n\nshow: []\n')
    policy = Policy(RULES)
    policy.follow(path)
    assert not policy.allows("list", READER)
    assert policy.allows("list", Context("req", roles=frozenset({"auditor"})))
    assert policy.allows("show", READER, {"project_id": "elsewhere"})


@pytest.mark.parametrize(("text", "line", "problem"), [
    ('list: "role:reader"\nshow: "role:a or (role:b"\n', 2, "lacks a closing parenthesis"),
    ('list: "role:reader"\n\nshow: "rule:nobody"\n', 3, "unknown rule 'nobody'"),
    ('a: "rule:b"\nb: "rule:a"\n', 1, "refers to itself"),
    ('list: "role:reader"\nshow: "role:admin\n', 2, "quoted scalar"),
    ('list: "role:reader"\nlist: "role:admin"\n', 2, "a second time"),
    ("- list\n", 1, "must hold rules"),
    ("list: true\n", 1, "must be a text"),
    ("list:\n  - [role:admin]\n", 2, "must be a text"),
    ('list: "http://opa.example/check"\n', 1, "another server"),
    ('list: "admin"\n', 1, "nobody can read"),
    ('list: "role:admin or"\n', 1, "ends too early"),
    ('list: "field:port:device_owner=~["\n', 1, "regular expression"),
    ("list: \"role:admin\"\n\tshow: x\n", 2, ""),
    ("\x00", 1, ""),
])
def test_a_broken_file_is_refused_with_its_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = tmp_path / "compute.yaml"
    path.write_text(text)
    with pytest.raises(PolicyFileError) as refused:
        Policy(RULES).follow(path)
    assert str(refused.value).startswith(f"{path}, line {line}: ")
    assert problem in str(refused.value)


def test_a_change_is_taken_and_a_broken_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    path, policy = tmp_path / "compute.yaml", Policy(RULES)

    def write(text: str) -> None:
        other = path.with_suffix(".new")
        other.write_text(text)
        other.replace(path)
        now[0] += LOOK_EVERY
        policy.refresh()

    policy.follow(path)
    assert policy.allows("list", READER)
    write('list: "!"\n')
    assert not policy.allows("list", READER)
    write('list: "role:reader or ("\n')
    assert not policy.allows("list", READER)
    write('list: "@"\n')
    assert policy.allows("list", Context("req"))
    path.unlink()
    now[0] += LOOK_EVERY
    policy.refresh()
    assert not policy.allows("list", Context("req"))


def test_the_file_is_looked_at_once_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "monotonic", lambda: 100.0)
    path, policy = tmp_path / "compute.yaml", Policy(RULES)
    policy.follow(path)
    path.write_text('list: "!"\n')
    policy.refresh()
    assert policy.allows("list", READER)


def test_a_file_for_no_service_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nova.yaml").write_text("")
    with pytest.raises(PolicyFileError, match="there is no service nova"):
        list(policies.effective(tmp_path))


def test_every_service_that_clients_reach_has_a_file() -> None:
    packages = policies.services()
    for service in public_services():
        assert policies.file_name(service.name).removesuffix(".yaml") in packages
        assert policies.defaults(policies.file_name(service.name).removesuffix(".yaml")).keys() <= set(
            service.policy.rules)
