"""Tokens."""

from __future__ import annotations

from bench.client import Client, Refused
from bench.measure import Bench


async def tokens(client: Client, bench: Bench) -> None:
    """Issue by password and project; check another token."""
    async def issue(_: int) -> None:
        await client.issue()

    for concurrency in bench.concurrencies:
        await bench.drive("token_issue", concurrency, issue)
    subjects = [(await client.issue())[0] for _ in range(16)]

    async def validate(n: int) -> None:
        headers = {"X-Auth-Token": client.token, "X-Subject-Token": subjects[n % 16]}
        async with client.http.get(client.url("identity") + "/auth/tokens", headers=headers) as answer:
            await answer.read()
            if answer.status != 200:
                raise Refused(f"validate: {answer.status}")

    for concurrency in bench.concurrencies:
        await bench.drive("token_validate", concurrency, validate)
