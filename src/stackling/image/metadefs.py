"""Metadata definitions: namespaces, and the objects, properties, tags and resource types that they define.

They describe to people and user interfaces which properties images, flavors … may have; nothing is checked by them.
What a namespace defines lies in one table, told apart by its kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import and_, bindparam, delete, func, insert, or_, select, update

from stackling.core.context import Context
from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.image.metadef_defaults import DEFAULTS, Definition
from stackling.store.tables.image import metadef_items, metadef_namespaces
from stackling.store.transaction import Tx

Kind = Literal["object", "property", "tag", "resource_type"]
WORDS: Mapping[Kind, str] = {"object": "definition object", "property": "definition property", "tag": "tag",
                             "resource_type": "definition resource-type association"}
SYSTEM_RESOURCE_TYPES = ("OS::Cinder::Volume", "OS::Glance::Image", "OS::Nova::Aggregate", "OS::Nova::Flavor",
                         "OS::Nova::Server", "OS::Trove::Instance")
"""Resource types that every cloud knows; others come with the namespaces that are associated with them."""
SYSTEM_SINCE = "2026-01-01T00:00:00.000000"
SORT_KEYS = ("created_at", "updated_at", "namespace", "display_name", "owner", "visibility", "id")
_n, _i = metadef_namespaces.c, metadef_items.c
_COLUMNS = (_n.id, _n.namespace, _n.display_name, _n.description, _n.visibility, _n.protected, _n.owner, _n.created_at,
            _n.updated_at)
_ITEM = (_i.namespace_id, _i.kind, _i.name, _i.content, _i.created_at, _i.updated_at)
_ONE = select(*_COLUMNS).where(_n.namespace == bindparam("namespace"))
_ITEMS = select(*_ITEM).where(_i.namespace_id == bindparam("id")).order_by(_i.created_at.desc(), _i.name)
_ITEMS_OF_KIND = _ITEMS.where(_i.kind == bindparam("kind"))
_ITEM_NAMED = select(*_ITEM).where(_i.namespace_id == bindparam("id"), _i.kind == bindparam("kind"),
                                   _i.name == bindparam("name"))
_RESOURCE_TYPES_OF = select(*_ITEM).where(
    _i.namespace_id.in_(bindparam("ids", expanding=True)), _i.kind == "resource_type").order_by(_i.name)
_RESOURCE_TYPES = select(
    _i.name, func.min(_i.created_at).label("created"), func.max(_i.updated_at).label("updated"),
).where(_i.kind == "resource_type").group_by(_i.name)


@dataclass(frozen=True, slots=True)
class Namespace:
    id: str
    namespace: str
    display_name: str | None
    description: str | None
    visibility: str
    protected: bool
    owner: str | None
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Item:
    """An object, property, tag or association; ``content`` is what the API shows of it besides its name."""

    namespace_id: str
    kind: Kind
    name: str
    content: Mapping[str, Any]
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of namespaces."""

    limit: int
    marker: str | None = None
    sort_key: str = "created_at"
    sort_dir: str = "desc"
    equal: Mapping[str, str] | None = None
    resource_types: tuple[str, ...] = ()


def bootstrap(tx: Tx, wanted: Sequence[Definition] = DEFAULTS) -> None:
    """First start: what user interfaces offer, where no namespace has its name yet."""
    taken = {row.namespace for row in tx.all(select(_n.namespace))}
    made = {new_id(): one for one in wanted if one.namespace not in taken}
    dates = {"created_at": tx.now, "updated_at": tx.now}
    if not made:
        return
    tx.execute(insert(metadef_namespaces), [
        {"id": id, "namespace": one.namespace, "display_name": one.display_name, "description": one.description,
         "visibility": "public", "protected": False, "owner": None, **dates} for id, one in made.items()])
    tx.execute(insert(metadef_items), [
        {"namespace_id": id, "kind": kind, "name": name, "content": content, **dates}
        for id, one in made.items() for kind, name, content in _items_of(one)])


def _items_of(one: Definition) -> Iterator[tuple[Kind, str, Mapping[str, Any]]]:
    for name, prefix, target in one.applies:
        given = {"prefix": prefix, "properties_target": target}
        yield "resource_type", name, {key: value for key, value in given.items() if value}
    for name, content in one.properties.items():
        yield "property", name, content


# -- namespaces


def find(tx: Tx, name: str) -> Namespace | None:
    """The namespace, whoever asks."""
    row = tx.one(_ONE, namespace=name)
    return None if row is None else Namespace(*row)


def visible(tx: Tx, ctx: Context, name: str) -> Namespace:
    """The namespace, if the caller may see it. Raises ``NotFound``."""
    found = find(tx, name)
    if found is None or not (ctx.is_admin or found.owner is None or found.visibility == "public"
                             or found.owner == ctx.project_id):
        raise missing(name)
    return found


def missing(name: str) -> NotFound:
    return NotFound(f"Metadata definition namespace={name} was not found.")


def page(tx: Tx, ctx: Context, asked: Listing) -> list[Namespace]:
    """Namespaces that the caller may see. Raises ``Invalid`` for an unknown sort key, ``NotFound`` for a marker."""
    if asked.sort_key not in SORT_KEYS:
        raise Invalid(f"Invalid sort key: {asked.sort_key}. It must be one of the following: {', '.join(SORT_KEYS)}.")
    where: list[Any] = []
    if not ctx.is_admin:
        where.append(or_(_n.owner == ctx.project_id, _n.owner.is_(None), _n.visibility == "public"))
    where += [_n[name] == value for name, value in (asked.equal or {}).items()]
    if asked.resource_types:
        where.append(_n.id.in_(select(_i.namespace_id).where(
            _i.kind == "resource_type", _i.name.in_(asked.resource_types))))
    key = func.coalesce(_n[asked.sort_key], "")
    if asked.marker is not None:
        last = visible(tx, ctx, asked.marker)
        at = getattr(last, asked.sort_key) or ""
        after, past = (key < at, _n.id < last.id) if asked.sort_dir == "desc" else (key > at, _n.id > last.id)
        where.append(or_(after, and_(key == at, past)))
    order = [getattr(column, asked.sort_dir)() for column in (key, _n.id)]
    return [Namespace(*row) for row in tx.execute(
        select(*_COLUMNS).where(*where).order_by(*order).limit(asked.limit))]


def create(tx: Tx, values: Mapping[str, Any]) -> Namespace:
    """*values*: the attributes of a namespace. Raises ``Conflict``."""
    tx.guard("metadefs")
    if find(tx, values["namespace"]) is not None:
        raise Conflict(f"The metadata definition namespace={values['namespace']} already exists.")
    row: dict[str, Any] = {"display_name": None, "description": None, "visibility": "private", "protected": False,
                           **values, "id": new_id(), "created_at": tx.now, "updated_at": tx.now}
    made = Namespace(**row)
    tx.execute(insert(metadef_namespaces), asdict(made))
    return made


def change(tx: Tx, old: Namespace, values: Mapping[str, Any]) -> Namespace:
    """Replace the attributes. Raises ``Conflict`` for a name that is taken."""
    tx.guard("metadefs")
    if values["namespace"] != old.namespace and find(tx, values["namespace"]) is not None:
        raise Conflict("Invalid update. It would result in a duplicate metadata definition namespace with the same "
                       f"name of {values['namespace']}")
    tx.execute(update(metadef_namespaces).where(_n.id == old.id).values(**values, updated_at=tx.now))
    found = find(tx, values["namespace"])
    if found is None:
        raise missing(old.namespace)
    return found


def remove(tx: Tx, namespace: Namespace) -> None:
    """A namespace with all that it defines. Raises ``Forbidden`` for a protected one."""
    check_unprotected(namespace)
    tx.execute(delete(metadef_items).where(_i.namespace_id == namespace.id))
    tx.execute(delete(metadef_namespaces).where(_n.id == namespace.id))


def check_unprotected(namespace: Namespace) -> None:
    """Raises ``Forbidden``."""
    if namespace.protected:
        raise Forbidden(f"Metadata definition namespace {namespace.namespace} is protected and cannot be deleted.")


# -- what a namespace defines


def items(tx: Tx, namespace: Namespace, kind: Kind | None = None) -> list[Item]:
    """Newest first; of one kind, or all."""
    if kind is None:
        return [Item(*row) for row in tx.all(_ITEMS, id=namespace.id)]
    return [Item(*row) for row in tx.all(_ITEMS_OF_KIND, id=namespace.id, kind=kind)]


def item(tx: Tx, namespace: Namespace, kind: Kind, name: str) -> Item:
    """Raises ``NotFound``."""
    found = _find_item(tx, namespace, kind, name)
    if found is None:
        raise NotFound(f"The metadata {WORDS[kind]} with name={name} was not found in namespace={namespace.namespace}.")
    return found


def _find_item(tx: Tx, namespace: Namespace, kind: Kind, name: str) -> Item | None:
    """By name; tags don't differ by case."""
    if kind == "tag":
        return next((one for one in items(tx, namespace, kind) if one.name.lower() == name.lower()), None)
    row = tx.one(_ITEM_NAMED, id=namespace.id, kind=kind, name=name)
    return None if row is None else Item(*row)


def add(tx: Tx, namespace: Namespace, kind: Kind, name: str, content: Mapping[str, Any]) -> Item:
    """Raises ``Conflict``."""
    tx.guard("metadefs")
    if _find_item(tx, namespace, kind, name) is not None:
        raise Conflict(f"A metadata {WORDS[kind]} with name={name} already exists in "
                       f"namespace={namespace.namespace}.")
    made = Item(namespace.id, kind, name, content, tx.now, tx.now)
    tx.execute(insert(metadef_items), asdict(made))
    return made


def change_item(tx: Tx, namespace: Namespace, old: Item, name: str, content: Mapping[str, Any]) -> Item:
    """Replace what an item says, and its name. Raises ``Conflict`` for a name that is taken."""
    tx.guard("metadefs")
    other = _find_item(tx, namespace, old.kind, name)
    if other is not None and other.name != old.name:
        raise Conflict(f"Invalid update. It would result in a duplicate metadata {WORDS[old.kind]} with same "
                       f"name={name} in namespace={namespace.namespace}.")
    tx.execute(update(metadef_items).where(
        _i.namespace_id == old.namespace_id, _i.kind == old.kind, _i.name == old.name).values(
        name=name, content=dict(content), updated_at=tx.now))
    return Item(old.namespace_id, old.kind, name, content, old.created_at, tx.now)


def remove_item(tx: Tx, namespace: Namespace, old: Item) -> None:
    """Raises ``Forbidden`` where the namespace is protected."""
    if namespace.protected:
        raise Forbidden(f"Metadata {WORDS[old.kind]} {old.name} is protected and cannot be deleted.")
    tx.execute(delete(metadef_items).where(
        _i.namespace_id == old.namespace_id, _i.kind == old.kind, _i.name == old.name))


def clear(tx: Tx, namespace: Namespace, kind: Kind) -> None:
    """All of a kind. Raises ``Forbidden`` where the namespace is protected."""
    check_unprotected(namespace)
    tx.execute(delete(metadef_items).where(_i.namespace_id == namespace.id, _i.kind == kind))


def replace_tags(tx: Tx, namespace: Namespace, names: Sequence[str], *, keep: bool) -> list[Item]:
    """Make these the namespace's tags, or add them where *keep* is true. Raises ``Conflict`` for one given twice."""
    tx.guard("metadefs")
    if not keep:
        tx.execute(delete(metadef_items).where(_i.namespace_id == namespace.id, _i.kind == "tag"))
    return [add(tx, namespace, "tag", name, {}) for name in names]


# -- resource types


def associations_of(tx: Tx, namespaces: Iterable[Namespace]) -> dict[str, list[Item]]:
    """The associations with resource types by the namespace's id, in one query."""
    found: dict[str, list[Item]] = {}
    ids = [one.id for one in namespaces]
    for row in tx.all(_RESOURCE_TYPES_OF, ids=ids) if ids else ():
        found.setdefault(row.namespace_id, []).append(Item(*row))
    return found


def resource_types(tx: Tx) -> list[tuple[str, str, str]]:
    """Every resource type: (name, created, updated)."""
    known = dict.fromkeys(SYSTEM_RESOURCE_TYPES, (SYSTEM_SINCE, SYSTEM_SINCE))
    for row in tx.all(_RESOURCE_TYPES):
        known.setdefault(row.name, (row.created, row.updated))
    return [(name, *times) for name, times in sorted(known.items())]
