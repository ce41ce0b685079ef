"""Identity's extensions and metadata definitions mean the same on SQLite, MariaDB and PostgreSQL."""

from __future__ import annotations

import os

import pytest

from stackling.core.context import Context
from stackling.core.errors import Conflict, NotFound
from stackling.core.ids import new_hex
from stackling.identity import catalog, domain_config, endpoint_filters, facade, federation, oauth, policies, projects
from stackling.identity.catalog import Catalog
from stackling.identity.facade import Identity
from stackling.identity.model import Listing
from stackling.identity.policies import Target
from stackling.image import metadefs
from stackling.store.database import Database
from stackling.store.transaction import Tx

ADMIN = Context("req-1", user_id="u", project_id="p", roles=frozenset({"admin"}))
READER = Context("req-2", user_id="v", project_id="q", roles=frozenset({"reader"}))


@pytest.fixture
def identity(database: Database) -> Identity:
    found = Identity(os.urandom(32))
    assert database.write(facade.bootstrap, found, "no password")
    return found


def _interfaces(tx: Tx, project_id: str) -> set[str]:
    return {e["interface"] for one in Catalog(tx).show("http://x", project_id, "u") for e in one["endpoints"]}


def test_endpoint_filters(database: Database, identity: Identity) -> None:
    def check(tx: Tx) -> None:
        project = projects.create_project(tx, new_hex(), {"name": "shop", "domain_id": "default"}).id
        assert _interfaces(tx, project) == {"public", "internal", "admin"}
        group = endpoint_filters.create_group(tx, new_hex(), {"name": "g", "filters": {"interface": "admin"}})
        endpoint_filters.add_group(tx, group.id, project)
        assert _interfaces(tx, project) == {"admin"}
        public = catalog.list_endpoints(tx, Listing({"interface": "public"}))[0]
        endpoint_filters.add_endpoint(tx, public.id, project)
        assert _interfaces(tx, project) == {"admin", "public"}
        with pytest.raises(Conflict):
            endpoint_filters.add_endpoint(tx, public.id, project)
        assert len(endpoint_filters.endpoints_of_project(tx, project)) == 1 + len(
            endpoint_filters.endpoints_of_group(tx, group))
        projects.delete_project(tx, projects.get_project(tx, project))
        assert endpoint_filters.projects_of_group(tx, group) == []

    database.write(check)


def test_policies_go_with_what_they_are_for(database: Database, identity: Identity) -> None:
    def check(tx: Tx) -> None:
        policy = policies.create_policy(tx, new_hex(), {"type": "t", "blob": "ß" * 70_000})
        service = catalog.list_services(tx, Listing({"type": "image"}))[0]
        region = catalog.create_region(tx, "Süd", {"parent_region_id": "RegionOne"})
        policies.associate(tx, policy, Target(service_id=service.id, region_id="RegionOne"))
        endpoint = catalog.create_endpoint(tx, new_hex(), {
            "service_id": service.id, "interface": "public", "url": "http://s", "region_id": region.id})
        assert policies.policy_for(tx, endpoint) == policy
        assert len(policies.endpoints_of(tx, policy)) == 4
        catalog.delete_service(tx, service)
        assert policies.endpoints_of(tx, policy) == []

    database.write(check)


def test_domain_configuration(database: Database, identity: Identity) -> None:
    config = {"ldap": {"url": "ldap://ß", "password": "x", "page_size": 3}}
    made = database.write(domain_config.create, identity.box, "default", config)
    assert made == ({"ldap": {"url": "ldap://ß", "page_size": 3}}, True)
    changed = database.write(domain_config.update, identity.box, "default", {"url": "u"}, "ldap", "url")
    assert changed == {"ldap": {"url": "u", "page_size": 3}}
    database.write(domain_config.remove, identity.box, "default", None, None)
    with pytest.raises(NotFound):
        database.read(domain_config.get, identity.box, "default")


def test_oauth_tokens(database: Database, identity: Identity) -> None:
    consumer, secret = database.write(oauth.create_consumer, identity.box, {"extra": {}})
    assert database.read(oauth.consumer_secret, identity.box, consumer.id) == secret
    id_, _, _ = database.write(oauth.create_request, identity.box, consumer.id, "p")
    request = database.read(oauth.get_request, id_)
    database.write(oauth.authorize, request, "u", ["r"])
    access, _, _ = database.write(oauth.create_access, identity.box, database.read(oauth.get_request, id_))
    assert [(one.id, one.roles) for one in database.read(oauth.list_access, "u")] == [(access, ["r"])]
    database.write(oauth.delete_consumer, consumer)
    assert database.read(oauth.find_access, access) is None


def test_federation(database: Database, identity: Identity) -> None:
    made = database.write(federation.create_provider, "acme", {"remote_ids": ["b", "a", "A"]})
    assert list(made.remote_ids) == ["b", "a", "A"]
    with pytest.raises(Conflict):
        database.write(federation.create_provider, "other", {"remote_ids": ["A"]})
    database.write(federation.create_mapping, "m", {"rules": [], "schema_version": "1.0"})
    database.write(federation.create_protocol, "acme", "openid", {"mapping_id": "m"})
    database.write(federation.delete_provider, made)
    with pytest.raises(NotFound):
        database.read(federation.get_protocol, "acme", "openid")


def test_metadata_definitions(database: Database) -> None:
    def check(tx: Tx) -> None:
        for name in ("b", "B", "ä"):
            made = metadefs.create(tx, {"namespace": name, "visibility": "public", "owner": "p"})
            metadefs.add(tx, made, "resource_type", "Type", {"prefix": name})
        hidden = metadefs.create(tx, {"namespace": "hidden", "owner": "p"})
        asked = metadefs.Listing(2, sort_key="display_name", sort_dir="asc")
        first = metadefs.page(tx, ADMIN, asked)
        rest = metadefs.page(tx, ADMIN, metadefs.Listing(9, first[-1].namespace, "display_name", "asc"))
        assert {one.namespace for one in (*first, *rest)} == {"b", "B", "ä", "hidden"}
        assert len(first) == len(rest) == 2
        assert {one.namespace for one in metadefs.page(tx, READER, metadefs.Listing(9))} == {"b", "B", "ä"}
        assert len(metadefs.page(tx, ADMIN, metadefs.Listing(9, resource_types=("Type",)))) == 3
        assert set(metadefs.associations_of(tx, (*first, *rest))) == {one.id for one in (*first, *rest)} - {hidden.id}
        assert [name for name, *_ in metadefs.resource_types(tx)].count("Type") == 1
        metadefs.add(tx, hidden, "tag", "Ünder", {})
        with pytest.raises(Conflict):
            metadefs.add(tx, hidden, "tag", "üNDER", {})
        metadefs.remove(tx, hidden)
        assert metadefs.find(tx, "hidden") is None

    database.write(check)
