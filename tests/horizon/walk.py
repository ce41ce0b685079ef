"""Uses Horizon in Chromium as somebody would who reads what its pages say; runs in Horizon's environment (`.horizon`).

``walk.py URL [STEP …]`` takes the cloud from ``OS_CLIENT_CONFIG_FILE``. Each step looks at the cloud through the SDK as
well. With ``HORIZON_SHOTS`` set to a directory, a picture of every step is kept there.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from playwright.sync_api import Page, sync_playwright
from visit import SECONDS, Visit

CIDR = "192.168.83.0/24"


def log_in(visit: Visit) -> None:
    said = yaml.safe_load(Path(os.environ["OS_CLIENT_CONFIG_FILE"]).read_text())["clouds"]["stackling"]["auth"]
    visit.go("/auth/login/")
    visit.page.fill("#id_username", said["username"])
    visit.page.fill("#id_password", said["password"])
    visit.page.click("#loginBtn")
    visit.page.locator(".user-name", has_text=said["username"]).wait_for()


def network(visit: Visit) -> None:
    """A network with a subnet, and a router that leads out of it."""
    visit.go("/project/networks/")
    visit.page.click("#networks__action_create")
    dialog = visit.dialog()
    dialog.locator("[name=net_name]").fill(visit.name)
    dialog.locator(".button-next").click()
    dialog.locator("[name=subnet_name]").fill(visit.name)
    dialog.locator("[name=cidr]").fill(CIDR)
    dialog.locator(".button-next").click()
    dialog.locator(".button-final").click()
    visit.closed()
    visit.row(visit.name).get_by_text(CIDR).wait_for()
    assert visit.cloud.network.find_subnet(visit.name, ignore_missing=False).cidr == CIDR

    visit.go("/project/routers/")
    visit.page.click("#routers__action_create")
    visit.dialog().locator("[name=name]").fill(visit.name)
    visit.choose("external_network", next(visit.cloud.network.networks(is_router_external=True)).name)
    visit.submit()
    router = visit.cloud.network.find_router(visit.name, ignore_missing=False)
    visit.go(f"/project/routers/{router.id}/?tab=router_details__interfaces")
    visit.page.click("#interfaces__action_create")
    visit.choose("subnet_id", visit.name)
    visit.submit()
    owned = visit.cloud.network.ports(device_id=router.id, device_owner="network:router_interface")
    assert [port.fixed_ips[0]["ip_address"] for port in owned] == ["192.168.83.1"]


def image(visit: Visit) -> None:
    """A file, uploaded by the form."""
    visit.go("/project/images/")
    visit.page.get_by_role("button", name="Create Image").click()
    dialog = visit.dialog()
    dialog.locator("#imageForm-name").fill(visit.name)
    with tempfile.NamedTemporaryFile(suffix=".raw") as content:
        content.write(b"\x07" * (1 << 20))
        content.flush()
        dialog.locator("input[type=file]").set_input_files(content.name)
        dialog.locator("#imageForm-format").select_option(label="Raw")
        dialog.locator("button.finish").click()
        visit.closed()
        visit.row(visit.name).wait_for()
        visit.until(lambda: visit.cloud.image.find_image(visit.name).status, "active")
    assert visit.cloud.image.find_image(visit.name).size == 1 << 20
    visit.row(visit.name).get_by_text("Active").wait_for()


def launch(visit: Visit) -> None:
    """A server, by the wizard."""
    visit.go("/project/instances/")
    visit.page.click("#instances__action_launch-ng")
    dialog = visit.dialog()
    dialog.locator("input[name=name]").fill(visit.name)
    steps = dialog.locator(".wizard-nav .nav-item:visible")
    steps.get_by_text("Source", exact=True).click()
    dialog.locator("label.btn:visible", has_text=re.compile("^No$")).first.click()
    for step, wanted in (("Source", visit.name), ("Flavor", "m1.tiny"), ("Networks", visit.name)):
        steps.get_by_text(step, exact=True).click()
        offered = dialog.locator(".transfer-available:visible tbody tr", has_text=wanted).first
        offered.locator("button.fa-arrow-up").click()
        dialog.locator(".transfer-allocated:visible tbody tr", has_text=wanted).first.wait_for()
    visit.picture("launch-wizard")
    dialog.locator("button.finish").click()
    visit.closed()
    visit.row(visit.name).wait_for()
    visit.until(lambda: visit.server().status, "ACTIVE")
    visit.row(visit.name).get_by_text("Active").first.wait_for()
    assert visit.row(visit.name).get_by_text("192.168.83.").count() == 1
    assert visit.server().image.id == visit.cloud.image.find_image(visit.name).id


def console(visit: Visit) -> None:
    """The server's log, and its screen, which Horizon shows in a frame."""
    page = f"/project/instances/{visit.server().id}/"
    visit.go(f"{page}?tab=instance_details__log")
    visit.page.locator("pre.logs").get_by_text(re.compile(r"\S")).wait_for()
    visit.go(f"{page}?tab=instance_details__console")
    frame = visit.page.frame_locator("#console_embed")
    frame.locator("#screen canvas").wait_for()
    frame.locator("#words").wait_for(state="hidden")


def floating_ip(visit: Visit) -> None:
    """One is allocated, and associated in the dialog that a server's menu opens."""
    before = {one.id for one in visit.cloud.network.ips()}
    visit.go("/project/floating_ips/")
    visit.page.click("#floating_ips__action_allocate")
    visit.submit()
    [found] = [one for one in visit.cloud.network.ips() if one.id not in before]
    address = found.floating_ip_address
    visit.row(address).wait_for()

    visit.go("/project/instances/")
    visit.act(visit.row(visit.name), "Associate Floating IP")
    visit.choose("ip_id", address)
    visit.picture("associate")
    visit.submit()
    visit.row(address).get_by_role("link", name=visit.name).wait_for()
    held = [one["addr"] for each in visit.server().addresses.values() for one in each]
    assert address in held, held
    assert visit.cloud.network.get_ip(found.id).fixed_ip_address in held
    visit.go("/project/instances/")
    visit.row(visit.name).get_by_text(address).wait_for()


def volume(visit: Visit) -> None:
    """One is made, and attached to the server."""
    visit.go("/project/volumes/")
    visit.page.click("#volumes__action_create")
    visit.dialog().locator("[name=name]").fill(visit.name)
    visit.dialog().locator("[name=size]").fill("1")
    visit.submit()
    visit.until(lambda: visit.volume().status, "available")
    visit.go("/project/volumes/")
    visit.act(visit.row(visit.name), "Manage Attachments")
    visit.choose("instance", visit.name)
    visit.submit()
    visit.until(lambda: visit.volume().status, "in-use")
    assert [one["server_id"] for one in visit.volume().attachments] == [visit.server().id]
    held = visit.cloud.compute.volume_attachments(visit.server())
    assert [one.volume_id for one in held] == [visit.volume().id]
    visit.go("/project/volumes/")
    visit.row(visit.name).get_by_text("In-use").wait_for()


STEPS = (log_in, network, image, launch, console, floating_ip, volume)


@contextmanager
def chromium() -> Iterator[Page]:
    """Debian's; nothing is downloaded."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), timeout=SECONDS * 1000,
            args=["--disable-gpu", *(["--no-sandbox"] if os.getuid() == 0 else [])])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB", reduced_motion="reduce")
        page.set_default_timeout(SECONDS * 1000)
        yield page
        browser.close()


def main(steps: tuple[Callable[[Visit], None], ...] = STEPS) -> int:
    wanted = [step for step in steps if not sys.argv[2:] or step is log_in or step.__name__ in sys.argv[2:]]
    with chromium() as page:
        visit = Visit(page, sys.argv[1])
        passed = sum(visit.take(step) for step in wanted)
    print(f"{passed} passed, {len(wanted) - passed} failed")
    return int(passed < len(wanted))


if __name__ == "__main__":
    sys.exit(main())
