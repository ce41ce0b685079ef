"""One machine's cloud on a real Ceph cluster that stands beside it, as its users and Ceph's administrator meet it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from stackling.deploy.embedded import configuration as configurations
from stackling.deploy.embedded.command import run
from tests.ceph import INSTALLED, POOLS
from tests.e2e import beside_ceph
from tests.e2e.beside_ceph import BOOTS, World, live
from tests.e2e.outside import Login

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.slow, pytest.mark.storage,
              pytest.mark.skipif(not INSTALLED, reason="needs Ceph: ./setup test")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with beside_ceph.world(tmp_path_factory.mktemp("user"), "hw_qemu_guest_agent=yes", "os_require_quiesce=yes"
                           ) as found:
        yield found


def test_the_server_lies_on_a_clone_of_its_image(world: World) -> None:
    disk, = (name for name in live(world.ceph) if world.server in name and name.endswith(".root"))
    shown = json.loads(world.ceph.rbd("info", "--format", "json", disk))
    assert shown["parent"]["pool"] == POOLS.images
    assert shown["parent"]["image"].endswith(".raw")
    image = world.show("image", "tiny")
    assert (image["disk_format"], image["status"]) == ("qcow2", "active")
    assert "rbd://" not in json.dumps(image)


def test_what_it_writes_survives_a_hard_reboot_and_a_killed_agent(world: World) -> None:
    world.web("echo kept >/root/file; sync")
    pids = world.guests()
    os.kill(world.cloud.pid("agent"), signal.SIGKILL)
    assert world.web("cat /root/file") == "kept"
    assert world.guests() == pids
    world.cloud.openstack("server", "reboot", "--hard", "web")
    world.cloud.eventually(lambda: world.guests(), lambda now: now and now != pids)
    world.cloud.eventually(lambda: world.web.answers and world.web("cat /root/file"), lambda text: text == "kept",
                           BOOTS)


def test_a_snapshot_is_made_within_ceph_and_boots(world: World) -> None:
    world.web("echo saved >/root/saved; sync")
    client = world.cloud.openstack
    client("server", "image", "create", "--name", "copy", "web")
    copy = world.cloud.eventually(lambda: world.show("image", "copy"), lambda image: image["status"] == "active")
    assert copy["disk_format"] == "raw"
    assert copy.get("checksum") is None
    assert copy["size"] == world.show("flavor", "m1.nano")["disk"] << 30
    name, = (name for name in live(world.ceph) if copy["id"] in name)
    assert "parent" not in json.loads(world.ceph.rbd("info", "--format", "json", name))
    client("server", "create", "--image", "copy", "--flavor", "m1.nano", "--network", "net", "--key-name", "mine",
           "--wait", "second")
    floating = client("floating", "ip", "create", "public")["floating_ip_address"]
    port, = client("port", "list", "--server", "second")
    client("floating", "ip", "set", "--port", port["ID"], floating)
    second = Login(floating, world.web.key, world.web.netns)
    world.cloud.eventually(lambda: second.answers and second("cat /root/saved"), lambda text: text == "saved", BOOTS)
    client("image", "delete", "copy")               # its clone lives on
    assert second("cat /root/saved") == "saved"
    client("server", "delete", "--wait", "second")
    client("floating", "ip", "delete", floating)


def test_a_volume_keeps_what_a_guest_writes(world: World) -> None:
    """Plugged in, snapshotted and grown beneath the guest, unplugged, cloned, and the clone outlives them all."""
    client, web, volume, plugged, read = world.cloud.openstack, world.web, world.volume, world.plugged, world.read

    def written() -> str:
        web("dd if=/dev/urandom of=/dev/vdb bs=1M count=4 conv=fsync")
        return read()

    data = volume("data")
    assert f"{POOLS.volumes}/{data}" in live(world.ceph)
    plugged(data, True)
    before = written()
    world.snapshot(data, "before")
    after = written()
    client("--os-volume-api-version", "3.42", "volume", "set", "--size", "2", data)
    world.cloud.eventually(lambda: web("cat /sys/block/vdb/size"), lambda sectors: sectors == str(2 << 21))
    assert read() == after != before
    plugged(data, False)
    copy = volume("copy", "--snapshot", "before")
    client("volume", "snapshot", "delete", "before")
    world.cloud.eventually(lambda: client("volume", "snapshot", "list"), lambda left: left == [])
    client("volume", "delete", data)
    world.cloud.eventually(lambda: [each["Name"] for each in client("volume", "list")], lambda left: left == ["copy"])
    plugged(copy, True)
    assert read() == before
    plugged(copy, False)
    image = volume("image", "--image", "tiny")
    shown = json.loads(world.ceph.rbd("info", "--format", "json", f"{POOLS.volumes}/{image}"))
    assert shown["parent"]["pool"] == POOLS.images
    for id in (copy, image):
        client("volume", "delete", id)
    world.cloud.eventually(lambda: client("volume", "list"), lambda left: left == [])
    assert [name for name in live(world.ceph) if name.startswith(POOLS.volumes)] == []


def test_what_is_made_of_a_volume_holds_its_data(world: World) -> None:
    """Backup and restore, an image of it and a volume of that image, and a move to the directory and back."""
    client = world.cloud.openstack
    data = world.volume("data")
    world.plugged(data, True)
    world.web("dd if=/dev/urandom of=/dev/vdb bs=1M count=4 conv=fsync")
    wanted = world.read()
    world.plugged(data, False)

    def digest(id: str) -> str:
        return hashlib.sha256(world.ceph.head(POOLS.volumes, id, 4 << 20)).hexdigest()

    assert digest(data) == wanted
    backup = client("volume", "backup", "create", "--name", "saved", data)["id"]
    world.cloud.eventually(lambda: client("volume", "backup", "show", backup)["status"], lambda now: now == "available")
    restored = world.volume("restored")
    client("volume", "backup", "restore", "--force", backup, restored)
    world.cloud.eventually(lambda: digest(restored), lambda found: found == wanted)
    world.become(restored, "available")
    client("image", "create", "--volume", data, "--disk-format", "raw", "of-volume")
    world.cloud.eventually(lambda: world.show("image", "of-volume")["status"], lambda now: now == "active", BOOTS)
    again = world.volume("again", "--image", "of-volume")
    assert digest(again) == wanted
    client("volume", "type", "create", "--property", "volume_backend_name=local", "files")
    client("volume", "type", "create", "--property", "volume_backend_name=ceph", "objects")
    for name, host in (("files", "@local"), ("objects", "@ceph")):
        client("volume", "set", "--type", name, "--retype-policy", "on-demand", data)
        world.cloud.eventually(lambda: world.show("volume", data), lambda now, host=host: (
            host in (now["os-vol-host-attr:host"] or "") and now["status"] == "available"))
    assert digest(data) == wanted
    client("volume", "backup", "delete", backup)
    for id in (data, restored, again):
        client("volume", "delete", id)
    client("image", "delete", "of-volume")
    world.cloud.eventually(lambda: client("volume", "list"), lambda left: left == [])
    for name in ("files", "objects"):
        client("volume", "type", "delete", name)


def test_an_encrypted_volume_is_opened_for_its_guest_alone(world: World) -> None:
    """What the guest writes is encrypted in Ceph; the volume grows beneath it, and is there after a hard reboot."""
    client, web = world.cloud.openstack, world.web
    client("volume", "type", "create", "--encryption-provider", "luks", "--encryption-cipher", "aes-xts-plain64",
           "--encryption-key-size", "256", "--encryption-control-location", "front-end", "secret")
    data = world.volume("data", "--type", "secret")
    world.plugged(data, True)
    web("yes confidential | head -c 4194304 >/dev/vdb; sync")
    wanted = world.read()
    found = world.ceph.head(POOLS.volumes, data, 16 << 20)
    assert (found[:6], b"confidential" in found) == (b"LUKS\xba\xbe", False)
    client("--os-volume-api-version", "3.42", "volume", "set", "--size", "2", data)
    sectors = world.cloud.eventually(lambda: int(web("cat /sys/block/vdb/size")), lambda now: now > 1 << 21)
    assert (2 << 21) - (16 << 11) < sectors < 2 << 21
    before = world.guests()
    client("server", "reboot", "--hard", "web")
    world.cloud.eventually(lambda: world.guests(), lambda now: now and now != before)
    world.cloud.eventually(lambda: web.answers and world.read(), lambda now: now == wanted, BOOTS)
    world.snapshot(data, "kept")
    world.plugged(data, False)
    copy = world.volume("copy", "--snapshot", "kept", "--type", "secret")
    world.plugged(copy, True)
    assert world.read() == wanted
    world.plugged(copy, False)
    client("volume", "snapshot", "delete", "kept")
    world.cloud.eventually(lambda: client("volume", "snapshot", "list"), lambda left: left == [])
    for id in (data, copy):
        client("volume", "delete", id)
    world.cloud.eventually(lambda: client("volume", "list"), lambda left: left == [])
    client("volume", "type", "delete", "secret")


def test_nothing_is_lost_when_ceph_stands_still(world: World) -> None:
    """A guest writes numbered sectors and waits for each; those that it took for written are there afterwards."""
    data = world.volume("data")
    world.plugged(data, True)
    world.write_numbers("/dev/vdb")
    world.ceph.ceph.signal("*", signal.SIGSTOP)
    try:
        began = time.monotonic()
        late = world.cloud.openstack("volume", "create", "--size", "1", "late")["id"]
        assert world.show("volume", late)["status"] == "creating"
        time.sleep(max(0.0, 30 - (time.monotonic() - began)))
    finally:
        world.ceph.ceph.signal("*", signal.SIGCONT)
    world.writes_on()
    world.become(late, "available")
    acked = world.stop_writing()
    world.plugged(data, False)
    assert world.numbers(data, acked) == acked
    for id in (data, late):
        world.cloud.openstack("volume", "delete", id)
    world.cloud.eventually(lambda: world.cloud.openstack("volume", "list"), lambda left: left == [])


def test_a_group_s_volumes_are_kept_as_of_one_moment(world: World) -> None:
    """A guest writes each number to one volume and then to the other: the snapshots differ by one number at most."""
    kind = world.cloud.openstack("volume", "type", "list")[0]["ID"]
    group = world.ask("POST", "/consistencygroups", {"consistencygroup": {"volume_types": kind, "name": "both"}}
                      )["consistencygroup"]["id"]
    first, second = (world.ask("POST", "/volumes", {"volume": {
        "size": 1, "name": name, "volume_type": kind, "consistencygroup_id": group}})["volume"]["id"]
        for name in ("first", "second"))
    for id, device in ((first, "vdb"), (second, "vdc")):
        world.become(id, "available")
        world.cloud.openstack("server", "add", "volume", "web", id)
        world.become(id, "in-use")
        world.cloud.eventually(lambda: world.web("ls /dev"), lambda names, device=device: device in names.split())
    world.write_numbers("/dev/vdb", "/dev/vdc")
    before = world.acked
    made = world.ask("POST", "/cgsnapshots", {"cgsnapshot": {"consistencygroup_id": group}})["cgsnapshot"]["id"]
    world.cloud.eventually(lambda: world.ask("GET", f"/cgsnapshots/{made}")["cgsnapshot"]["status"],
                           lambda now: now == "available", BOOTS)
    after = world.acked
    world.writes_on()
    most = world.stop_writing()
    snapshots = {one["volume_id"]: one["id"] for one in world.ask("GET", "/snapshots")["snapshots"]}
    copies = [world.volume(f"copy-{id}", "--snapshot", snapshots[id]) for id in (first, second)]
    ends = [world.numbers(id, most) for id in copies]
    assert before <= ends[1] <= ends[0] <= ends[1] + 1 <= after + 2
    for id in (first, second):
        world.cloud.openstack("server", "remove", "volume", "web", id)
        world.become(id, "available")
    world.ask("DELETE", f"/cgsnapshots/{made}")
    world.cloud.eventually(lambda: world.cloud.openstack("volume", "snapshot", "list"), lambda left: left == [])
    for id in copies:
        world.cloud.openstack("volume", "delete", id)
    world.ask("POST", f"/consistencygroups/{group}/delete", {"consistencygroup": {"force": True}})
    world.cloud.eventually(lambda: world.cloud.openstack("volume", "list"), lambda left: left == [])


def test_keys_are_rotated_while_a_guest_writes(world: World) -> None:
    """Neither the guest nor control is stopped; when the monitor comes back, everybody is let in by the new key."""
    client, ceph = world.cloud.openstack, world.ceph.ceph
    data = world.volume("data")
    world.plugged(data, True)
    world.write_numbers("/dev/vdb")
    pids = world.guests()
    done = json.loads(world.cloud.run("storage", "rotate-keys", "--keyring", str(ceph.admin_keyring), "--format",
                                      "json", timeout=400).stdout)
    assert [one["what"] for one in done["proof"] if not one["ok"]] == []
    assert sum("former key" in one["what"] for one in done["proof"]) == 3
    names = {each["entity"] for each in json.loads(ceph.command("auth", "ls", "-f", "json"))["auth_dump"]}
    ours = {name for name in names if name.startswith("client.stackling-")}
    assert {name.rpartition("_")[2] for name in ours - {"client.stackling-reader"}} == {"2"}

    def monitors() -> list[int]:
        return [pid for name, pid in ceph.daemons() if name.startswith("mon.")]

    for pid in monitors():
        os.kill(pid, signal.SIGKILL)
    world.cloud.eventually(monitors, lambda left: not left)
    ceph.start()
    world.writes_on()
    assert world.guests() == pids
    world.snapshot(data, "after")
    late = world.volume("late", "--snapshot", "after")
    most = world.stop_writing()
    world.plugged(data, False)
    assert world.numbers(data, most) == most
    world.plugged(late, True)
    world.plugged(late, False)
    client("volume", "snapshot", "delete", "after")
    world.cloud.eventually(lambda: client("volume", "snapshot", "list"), lambda left: left == [])
    for id in (data, late):
        client("volume", "delete", id)
    world.cloud.eventually(lambda: client("volume", "list"), lambda left: left == [])


def test_a_cluster_that_hangs_holds_up_nothing_else(world: World) -> None:
    token = world.cloud.openstack("token", "issue")["id"]
    url = f"http://127.0.0.1:{configurations.read(world.cloud.directory.configuration).port}"

    def ask(method: str, path: str, body: bytes, kind: str) -> tuple[int, bytes, float]:
        began = time.monotonic()
        words = ("curl", "-s", "-w", "\n%{http_code}", "-X", method, f"{url}{path}", "-H", f"X-Auth-Token: {token}",
                 "-H", f"Content-Type: {kind}", *(("--data-binary", body.decode()) if body else ()))
        answer, _, status = run(*words, netns=world.cloud.netns, timeout=30).rpartition("\n")
        return int(status), answer.encode(), time.monotonic() - began

    _, made, _ = ask("POST", "/image/v2/images", b'{"name": "late", "disk_format": "raw", "container_format": "bare"}',
                     "application/json")
    image = json.loads(made)["id"]
    world.ceph.ceph.signal("*", signal.SIGSTOP)
    try:
        status, words, seconds = ask("PUT", f"/image/v2/images/{image}/file", b"x" * 100, "application/octet-stream")
        assert (status, b"doesn't answer" in words) == (503, True)
        assert seconds < 8
        status, shown, seconds = ask("GET", f"/compute/v2.1/servers/{world.server}", b"", "application/json")
        assert (status, json.loads(shown)["server"]["status"]) == (200, "ACTIVE")
        assert seconds < 3
    finally:
        world.ceph.ceph.signal("*", signal.SIGCONT)
    world.cloud.eventually(lambda: world.web.answers, bool, BOOTS)
    assert ask("PUT", f"/image/v2/images/{image}/file", b"x" * 100, "application/octet-stream")[0] == 204


def test_the_storage_is_checked_and_shown(world: World) -> None:
    found = world.cloud.stackling("storage", "check")
    assert [check["what"] for check in found["proof"] if not check["ok"]] == []
    shown = world.cloud.stackling("storage", "show")
    assert (shown["images"], shown["disks"], shown["volumes"], shown["health"]) == ("rbd", "rbd", "rbd", "HEALTH_OK")
