"""A visit to Horizon: its dialogs and tables, and what it and the browser complain about."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import openstack
from playwright.sync_api import Locator, Page, Response

SECONDS = float(os.environ.get("HORIZON_PATIENCE", "240"))
"""The most that a page or a change of the cloud may take."""
OWN_ERROR = re.compile("/api/glance/metadefs/namespaces/.*resource_type=OS(::|%3A%3A)Cinder(::|%3A%3A)Volumes$")
"""What Horizon asks itself and answers with 500 in every cloud (see ``__main__``)."""
LISTEN = """
setInterval(() => {
  for (const said of document.querySelectorAll(".messages .alert-danger, .toasts .alert-danger, toast .alert-danger"))
    if (said.offsetParent && !said.dataset.told && said.innerText.trim()) {
      said.dataset.told = "1";
      window.complain(said.innerText.trim());
    }
}, 100);
"""


class Visit:
    """An administrator's: *page* is what is seen, *cloud* the truth. What is made has the name *name*."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.cloud: Any = openstack.connect(cloud="stackling")
        self.name = f"horizon-{uuid.uuid4().hex[:6]}"
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(f"error in the page: {error}"))
        page.on("response", self._note)
        page.expose_function("complain", lambda text: self.problems.append(f"Horizon says: {text}"))
        page.add_init_script(LISTEN)

    def _note(self, answer: Response) -> None:
        path = answer.url.removeprefix(self.url)
        if answer.status >= 400 and not OWN_ERROR.match(path):
            self.problems.append(f"{answer.status} for {path}")

    # -- pages

    def go(self, path: str) -> None:
        """Open a page, once nothing is shown over the one before."""
        self.page.goto(self.url + path)

    def dialog(self) -> Locator:
        """The open one."""
        found = self.page.locator(".modal:visible .modal-content").last
        found.wait_for()
        return found

    def choose(self, field: str, wanted: str) -> None:
        """Pick the entry that has *wanted* in it from the drop-down list of *field*."""
        listed = self.dialog().locator(".themable-select", has=self.page.locator(f"select[name={field}]"))
        listed.get_by_role("button").click()
        listed.locator("li", has_text=wanted).locator("a").click()

    def send(self) -> None:
        self.dialog().locator("input[type=submit], button[type=submit], .btn-primary").last.click()

    def submit(self) -> None:
        """Send the open dialog, and wait for what comes of it."""
        self.send()
        self.closed()

    def closed(self) -> None:
        self.page.locator(".modal:visible").first.wait_for(state="hidden")
        self.page.wait_for_load_state()

    def row(self, text: str) -> Locator:
        return self.page.locator("tbody tr", has_text=text).first

    def act(self, row: Locator, action: str) -> None:
        """One of the actions of *row*, which the menu beside the first one holds."""
        row.locator(".dropdown-toggle").last.click()
        row.locator(".dropdown-menu").get_by_text(action, exact=True).click()

    def picture(self, name: str) -> None:
        if shots := os.environ.get("HORIZON_SHOTS"):
            self.page.screenshot(path=f"{shots}/{name}.png")

    # -- the cloud

    def until(self, look: Callable[[], Any], wanted: Any) -> None:
        """Wait for *look* to give *wanted*. Raises ``AssertionError``."""
        ends = time.monotonic() + SECONDS
        while (found := look()) != wanted:
            if time.monotonic() > ends:
                raise AssertionError(f"still {found!r}, not {wanted!r}")
            self.page.wait_for_timeout(300)     # the browser's events are handled meanwhile

    def server(self) -> Any:
        return self.cloud.compute.find_server(self.name, details=True, ignore_missing=False)

    def volume(self) -> Any:
        return self.cloud.block_storage.find_volume(self.name, details=True, ignore_missing=False)

    # -- the count

    def take(self, step: Callable[[Visit], None]) -> bool:
        """Whether *step* does what it should, and nobody has anything to complain about."""
        begun, refused = time.monotonic(), ""
        self.problems.clear()
        try:
            step(self)
        except Exception as error:      # whatever the browser, the SDK or an assertion says is what failed
            refused = f"{type(error).__name__}: {error}"[:2000]
        self.page.wait_for_timeout(300)
        self.picture(step.__name__)
        passed = not refused and not self.problems
        print(f"{'passed' if passed else 'FAILED'} {step.__name__}, {time.monotonic() - begun:.0f} s", flush=True)
        for said in [refused, *self.problems]:
            if said:
                print(f"  {said}", flush=True)
        return passed
