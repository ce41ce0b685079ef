"""Decisions without any I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from stackling.core import clock
from stackling.core.errors import Invalid
from stackling.identity.model import Extra, SecurityCompliance

DAY = 86_400.0


def with_implied(role_ids: Iterable[str], implications: Mapping[str, Sequence[str]]) -> list[str]:
    """The roles and all that they imply, however far; each once, the given ones first."""
    found = dict.fromkeys(role_ids)
    queue = list(found)
    for role in queue:
        for implied in implications.get(role, ()):
            if implied not in found:
                found[implied] = None
                queue.append(implied)
    return list(found)


def password_expiry(rules: SecurityCompliance, options: Extra, now: str) -> str | None:
    """When a password set at *now* ends; None: never."""
    if not rules.password_expires_days or options.get("ignore_password_expiry"):
        return None
    return clock.later(now, rules.password_expires_days * DAY)


def check_password(rules: SecurityCompliance, password: str, longest: int) -> None:
    """Raises ``Invalid`` where a new password breaks the rules of form."""
    if len(password.encode("utf-8", "surrogatepass")) > longest:
        raise Invalid(f"The password length must be less than or equal to {longest}. The server could not comply with "
                      "the request because the password is invalid.", type="PasswordVerificationError")
    if rules.password_regex and not re.match(rules.password_regex, password):
        why = rules.password_regex_description or "see the administrator's password rules"
        raise Invalid(f"The password does not match the requirements: {why}.")


def check_password_age(rules: SecurityCompliance, created_at: str | None, now: str) -> None:
    """Raises ``Invalid`` where a password is too young to be changed by its owner."""
    if not rules.minimum_password_age or created_at is None:
        return
    left = clock.epoch(created_at) + rules.minimum_password_age * DAY - clock.epoch(now)
    if left > 0:
        days = int(left // DAY)
        raise Invalid("You cannot change your password at this time due to the minimum password age. Once you change "
                      f"your password, it must be used for {rules.minimum_password_age} day(s) before it can be "
                      f"changed. Please try again in {days} day(s) or contact your administrator to reset your "
                      "password.")


def locked_until(rules: SecurityCompliance, options: Extra, failures: int, failed_at: str | None) -> str | None:
    """Until when an account is locked; None: it isn't."""
    if (not rules.lockout_failure_attempts or options.get("ignore_lockout_failure_attempts")
            or failures < rules.lockout_failure_attempts or failed_at is None):
        return None
    return clock.later(failed_at, rules.lockout_duration)


def satisfies_mfa(options: Extra, methods: Iterable[str]) -> bool:
    """Whether *methods* fulfil the user's multi-factor rules (``multi_factor_auth_rules``), where they are on.

    A rule is fulfilled when every method in it was used; one fulfilled rule is enough. Rules that name methods which
    don't exist here are ignored, as upstream ignores them.
    """
    rules: list[list[str]] = options.get("multi_factor_auth_rules") or []
    if not rules or not options.get("multi_factor_auth_enabled", True):
        return True
    known = {"password", "token", "totp", "application_credential", "oauth1", "mapped", "openid"}
    usable = [set(rule) & known for rule in rules if set(rule) & known]
    if not usable:
        return True
    return any(rule <= set(methods) for rule in usable)
