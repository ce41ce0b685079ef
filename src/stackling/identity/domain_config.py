"""Options that a domain has of its own.

They are kept, checked and shown as upstream does; users live in one database here, so none of them takes effect (as
upstream without ``domain_specific_drivers_enabled``). Values are sealed, since one of them is a password.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, insert, select

from stackling.core.errors import Forbidden, NotFound
from stackling.identity import state
from stackling.identity.keys import Box
from stackling.identity.model import SecurityCompliance
from stackling.store.tables.identity import domain_config
from stackling.store.transaction import Tx

Config = dict[str, dict[str, Any]]
_c = domain_config.c
_OF = select(_c.section, _c.name, _c.sealed).where(_c.domain_id == bindparam("domain_id")).order_by(
    _c.section, _c.name)
DEFAULT_DOMAIN = "default"
SECRET = {("ldap", "password")}
"""Options that may be set and are never shown."""
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "identity": {"driver": "sql", "list_limit": None},
    "ldap": {
        "url": "ldap://localhost", "user": None, "suffix": "cn=example,cn=com", "query_scope": "one", "page_size": 0,
        "alias_dereferencing": "default", "debug_level": None, "chase_referrals": None, "user_tree_dn": None,
        "user_filter": None, "user_objectclass": "inetOrgPerson", "user_id_attribute": "cn",
        "user_name_attribute": "sn", "user_mail_attribute": "mail", "user_description_attribute": "description",
        "user_pass_attribute": "userPassword", "user_enabled_attribute": "enabled", "user_enabled_invert": False,
        "user_enabled_mask": 0, "user_enabled_default": "True", "user_attribute_ignore": ["default_project_id"],
        "user_default_project_id_attribute": None, "user_enabled_emulation": False, "user_enabled_emulation_dn": None,
        "user_enabled_emulation_use_group_config": False, "user_additional_attribute_mapping": [],
        "group_tree_dn": None, "group_filter": None, "group_objectclass": "groupOfNames", "group_id_attribute": "cn",
        "group_name_attribute": "ou", "group_members_are_ids": False, "group_member_attribute": "member",
        "group_desc_attribute": "description", "group_attribute_ignore": [], "group_additional_attribute_mapping": [],
        "tls_cacertfile": None, "tls_cacertdir": None, "use_tls": False, "tls_req_cert": "demand", "use_pool": True,
        "pool_size": 10, "pool_retry_max": 3, "pool_retry_delay": 0.1, "pool_connection_timeout": -1,
        "pool_connection_lifetime": 600, "use_auth_pool": True, "auth_pool_size": 100,
        "auth_pool_connection_lifetime": 60,
    },
}
"""What may be set, with upstream's defaults."""
READABLE = ("password_regex", "password_regex_description")
"""Of the password rules, what everybody may read of the default domain."""


def _refused(reason: str) -> Forbidden:
    return Forbidden(f"Invalid domain specific configuration: {reason}.")


def check_place(group: str | None, option: str | None) -> None:
    """Raises ``Forbidden`` for a group or option that a domain can't have."""
    if group is not None and group not in DEFAULTS:
        raise _refused(f"Group {group} is not supported for domain specific configurations")
    if group is not None and option is not None and option not in DEFAULTS[group] and (group, option) not in SECRET:
        raise _refused(f"Option {option} in group {group} is not supported for domain specific configurations")


def check(config: Any) -> Config:
    """*config* if it is groups of options that a domain may have. Raises ``Forbidden``."""
    if not isinstance(config, dict) or not config:
        raise _refused("No options specified")
    groups: dict[str, Any] = config     # pyright: ignore[reportUnknownVariableType]
    for group, options in groups.items():
        if not isinstance(options, dict) or not options:
            raise _refused(f"The value of group {group} specified in the config should be a dictionary of options")
        for option in options:      # pyright: ignore[reportUnknownVariableType]
            check_place(group, str(option))     # pyright: ignore[reportUnknownArgumentType]
    return groups


def check_update(config: Any, group: str | None, option: str | None) -> Config:
    """What an update of *group* (and *option*) asks for; it may name nothing else. Raises ``Forbidden``."""
    asked = check({group: config} if group is not None and option is not None else config)
    check_place(group, option)
    if group is None:
        return asked
    if option is not None:
        if len(asked[group]) != 1:
            raise _refused(f"Trying to update option {option} in group {group}, so that, and only that, option must "
                           "be specified  in the config")
        if option not in asked[group]:
            raise _refused(f"Trying to update option {option} in group {group}, but config provided contains option "
                           f"{next(iter(asked[group]))} instead")
    elif len(asked) != 1:
        raise _refused(f"Trying to update group {group}, so that, and only that, group must be specified in the "
                       "config")
    elif group not in asked:
        raise _refused(f"request to update group {group}, but config provided contains group {next(iter(asked))} "
                       "instead")
    return asked


def part(config: Mapping[str, Mapping[str, Any]], group: str | None, option: str | None) -> dict[str, Any] | None:
    """*config*, one group of it, or one option; None where that isn't there."""
    if group is None:
        return {name: dict(options) for name, options in config.items()} or None
    options = config.get(group)
    if not options:
        return None
    if option is None:
        return {group: dict(options)}
    return {option: options[option]} if option in options else None


def defaults(group: str | None, option: str | None) -> dict[str, Any]:
    """Raises ``Forbidden``."""
    check_place(group, option)
    found = part(DEFAULTS, group, option)
    if found is None:
        raise _refused(f"Reading the default for option {option} in group {group} is not supported")
    return found


def security_compliance(security: SecurityCompliance, domain_id: str, option: str | None) -> dict[str, Any]:
    """The password rule that everybody may read. Raises ``Forbidden``."""
    if domain_id != DEFAULT_DOMAIN:
        raise _refused("Reading security compliance information for any domain other than the default domain is not "
                       "allowed or supported.")
    if option is not None and option not in READABLE:
        raise _refused("Reading security compliance values other than password_regex and password_regex_description "
                       "is not allowed.")
    values = {name: getattr(security, name) for name in READABLE}
    return {"security_compliance": values} if option is None else {option: values[option]}


# -- what is stored


def _all(tx: Tx, box: Box, domain_id: str) -> Config:
    found: Config = {}
    for row in tx.all(_OF, domain_id=domain_id):
        found.setdefault(row.section, {})[row.name] = msgspec.json.decode(box.open(row.sealed))
    return found


def _shown(config: Config) -> Config:
    shown = {group: {name: value for name, value in options.items() if (group, name) not in SECRET}
             for group, options in config.items()}
    return {group: options for group, options in shown.items() if options}


def get(tx: Tx, box: Box, domain_id: str, group: str | None = None, option: str | None = None) -> dict[str, Any]:
    """What is set, without secrets. Raises ``NotFound`` where nothing is, ``Forbidden``."""
    check_place(group, option)
    found = part(_shown(_all(tx, box, domain_id)), group, option)
    if found is None:
        raise _missing(domain_id, group, option)
    return found


def _missing(domain_id: str, group: str | None, option: str | None) -> NotFound:
    what = (f"option {option} in group {group}" if option is not None
            else f"group {group}" if group is not None else "any options")
    return NotFound(f"Could not find {what} in domain configuration for domain {domain_id}.")


def create(tx: Tx, box: Box, domain_id: str, config: Any) -> tuple[dict[str, Any], bool]:
    """Replace everything; what is set now, and whether there was nothing before."""
    state.bump(tx)
    asked = check(config)
    had = tx.changed(delete(domain_config).where(_c.domain_id == domain_id))
    _store(tx, box, domain_id, asked)
    return _shown(asked), not had


def update(tx: Tx, box: Box, domain_id: str, config: Any, group: str | None, option: str | None) -> dict[str, Any]:
    """Merge into what is set; a group or option that is named must be there. Raises ``NotFound``, ``Forbidden``."""
    state.bump(tx)
    asked = check_update(config, group, option)
    if group is not None and part(_all(tx, box, domain_id), group, option) is None:
        raise _missing(domain_id, group, option)
    for section, name, _ in _options(asked):
        tx.execute(delete(domain_config).where(_c.domain_id == domain_id, _c.section == section, _c.name == name))
    _store(tx, box, domain_id, asked)
    return get(tx, box, domain_id)


def remove(tx: Tx, box: Box, domain_id: str, group: str | None, option: str | None) -> None:
    """Everything, a group, or an option. Raises ``NotFound`` where that isn't there."""
    state.bump(tx)
    check_place(group, option)
    if group is not None and part(_all(tx, box, domain_id), group, option) is None:
        raise _missing(domain_id, group, option)
    where = [_c.domain_id == domain_id]
    if group is not None:
        where.append(_c.section == group)
    if option is not None:
        where.append(_c.name == option)
    tx.execute(delete(domain_config).where(*where))


def _options(config: Config) -> Iterator[tuple[str, str, Any]]:
    for group, options in config.items():
        for name, value in options.items():
            yield group, name, value


def _store(tx: Tx, box: Box, domain_id: str, config: Config) -> None:
    tx.execute(insert(domain_config), [
        {"domain_id": domain_id, "section": group, "name": name, "sealed": box.seal(msgspec.json.encode(value))}
        for group, name, value in _options(config)])
