"""All providers that are configured."""

from __future__ import annotations

from collections.abc import Iterable

from stackling.drivers.oidc.provider import Provider
from stackling.ports.oidc import Assertion, ProviderSettings, SignIn


class HttpProviders:
    """``OidcProviders`` over HTTP. Raises ``ValueError`` for an issuer that can't be asked."""

    def __init__(self, settings: Iterable[ProviderSettings]) -> None:
        self._providers = {one.id: Provider(one) for one in settings}

    def configured(self, idp_id: str) -> bool:
        return idp_id in self._providers

    async def verify(self, idp_id: str, token: str) -> Assertion:
        return await self._providers[idp_id].verify(token)

    async def sign_in_url(self, idp_id: str, sign_in: SignIn) -> str:
        return await self._providers[idp_id].sign_in_url(sign_in)

    async def redeem(self, idp_id: str, sign_in: SignIn, code: str) -> Assertion:
        return await self._providers[idp_id].redeem(sign_in, code)
