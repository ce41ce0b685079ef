"""``python -m stackling.lab.ask``: what the cluster's API says, as a line of JSON each time; run by the lab's client.

Reads ``{"clouds": text of clouds.yaml, "ca": certificates}`` from standard input. A line is ``{"machines": …,
"servers": …}``, or ``{"problem": why}`` when nobody answers.
"""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import yaml

PATIENCE = 2.0
MICROVERSION = "compute 2.96"


class Api:
    """The API at the cluster's virtual IP, as its administrator."""

    def __init__(self, clouds: str, authority: str) -> None:
        self._auth = yaml.safe_load(clouds)["clouds"]["stackling"]["auth"]
        self._context = ssl.create_default_context(cadata=authority)
        self._token = ""

    def get(self, path: str) -> Any:
        """The decoded answer. Raises ``OSError`` and ``http.client.HTTPException``."""
        if not self._token:
            self._token = self._sign_in()
        code, body, _ = self._call("GET", path, None)
        if code == 401:
            self._token = ""
        if code != 200:
            raise OSError(f"{path}: {code}")
        return json.loads(body)

    def _sign_in(self) -> str:
        user = {"name": self._auth["username"], "domain": {"name": self._auth["user_domain_name"]},
                "password": self._auth["password"]}
        project = {"name": self._auth["project_name"], "domain": {"name": self._auth["project_domain_name"]}}
        code, _, headers = self._call("POST", "/identity/v3/auth/tokens", {"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project}}})
        if code != 201:
            raise OSError(f"signing in: {code}")
        return headers["X-Subject-Token"]

    def _call(self, method: str, path: str, body: Any) -> tuple[int, bytes, Any]:
        where = urlsplit(self._auth["auth_url"])
        connection = http.client.HTTPSConnection(where.hostname or "", where.port, timeout=PATIENCE,
                                                 context=self._context)
        try:
            headers = {"Content-Type": "application/json", "OpenStack-API-Version": MICROVERSION}
            connection.request(method, path, None if body is None else json.dumps(body),
                               headers | ({"X-Auth-Token": self._token} if self._token else {}))
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()


def look(api: Api) -> dict[str, Any]:
    """What ``lab status`` shows."""
    try:
        machines = api.get("/stackling/v1/machines")["machines"]
        servers = api.get("/compute/v2.1/servers/detail?all_tenants=1&limit=200")["servers"]
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        return {"problem": str(error) or type(error).__name__}
    return {"machines": machines, "servers": [
        {"name": one["name"], "id": one["id"], "status": one["status"], "task": one.get("OS-EXT-STS:task_state"),
         "host": one.get("OS-EXT-SRV-ATTR:host"), "addresses": [
             address["addr"] for each in one["addresses"].values() for address in each]} for one in servers]}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--every", type=float, default=2.0)
    arguments = parser.parse_args()
    given = json.load(sys.stdin)
    api = Api(given["clouds"], given["ca"])
    while True:
        print(json.dumps(look(api)), flush=True)
        if arguments.once:
            return
        time.sleep(arguments.every)


if __name__ == "__main__":
    main()
