"""The page that consoles' addresses lead to: who may show it, and what it may load."""

from __future__ import annotations

import httpx

from stackling.api import console
from tests.api.conftest import CloudUnderTest


def test_a_page_of_another_host_may_show_it_in_a_frame(cloud: CloudUnderTest) -> None:
    app = console.serving(cloud.cloud, cloud.cloud)     # type: ignore[arg-type]

    async def fetch() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cloud.test") as client:
            return await client.get("/console/vnc.html?path=%3Ftoken%3Dx&title=web(1)")

    answer = cloud.run(fetch())
    assert answer.status_code == 200
    assert "x-frame-options" not in answer.headers
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["frame-ancestors"] == "http: https:"
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
