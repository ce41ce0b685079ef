"""Encrypted volumes as clients, administrators and machines see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackling.api.internal.service import CREDENTIAL
from stackling.drivers.local import luks as containers
from stackling.drivers.local.backups import LocalBackups
from stackling.drivers.local.volumes import LocalVolumes
from stackling.drivers.simulated.volumes import SimulatedVolumes
from stackling.store.tables.volume import volume_keys
from tests.api.compute_world import FakeAgent, World
from tests.api.compute_world import V as COMPUTE
from tests.api.compute_world import world as world
from tests.api.volume_world import NEWEST, V, Volumes, backends, begun

LUKS = {"provider": "luks", "cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end"}


@dataclass
class Encrypted(Volumes):
    """A directory (``local``) and a simulated backend; type ``secret`` is encrypted and goes to the first one."""

    directory: Path
    types: dict[str, str]

    def key_id(self, id: str) -> str:
        return self.show(id)["encryption_key_id"]

    def keys(self) -> int:
        return self.world.cloud.database.read(lambda tx: tx.count(volume_keys))

    def errors(self) -> list[str]:
        """What keeps the engine from having done with something."""
        from stackling.store.tables.engine import work

        return [str(dict(row._mapping)) for row in self.world.cloud.database.read(lambda tx: tx.all(work.select()))]

    def ask_key(self, agent: FakeAgent, key: str) -> Any:
        return self.world.cloud.send("GET", f"/internal/volume-keys/{key}", headers={CREDENTIAL: agent.credential})


@pytest.fixture
def encrypted(world: World, tmp_path: Path) -> Iterator[Encrypted]:
    store, directory = SimulatedVolumes(total_gib=100), tmp_path / "volumes"
    engine = begun(world, backends(
        world, {"stackling@simulated": store, "stackling@local": LocalVolumes(directory)},
        LocalBackups(tmp_path / "backups")))
    found = Encrypted(world, store, engine, world.cloud.actor("demo", "member"), directory, {})
    for name, backend, encryption in (("secret", "local", LUKS), ("plain", "local", None), ("odd", "local", {
            **LUKS, "provider": "plain"}), ("pretended", "simulated", LUKS)):
        made = world.admin.post(f"{V}/types", {"volume_type": {
            "name": name, "extra_specs": {"volume_backend_name": backend}}}).json()["volume_type"]
        found.types[name] = made["id"]
        if encryption is not None:
            answer = world.admin.post(f"{V}/types/{made['id']}/encryption", {"encryption": encryption})
            assert answer.status_code == 200, answer.text
    yield found
    store.close()


def test_a_volume_of_an_encrypted_type_is_a_container(encrypted: Encrypted) -> None:
    id = encrypted.available(volume_type="secret")
    shown = encrypted.show(id)
    assert shown["encrypted"] is True
    path, = encrypted.directory.glob(f"{id}.*")
    assert containers.is_container(path)
    found = encrypted.client.get(f"{V}/volumes/{id}/encryption").json()
    assert found == {**LUKS, "encryption_key_id": shown["encryption_key_id"]}
    assert encrypted.client.get(f"{V}/volumes/{id}/encryption/cipher").text == "aes-xts-plain64"
    plain = encrypted.available(volume_type="plain")
    assert encrypted.show(plain)["encrypted"] is False
    assert "encryption_key_id" not in encrypted.show(plain)
    assert encrypted.client.get(f"{V}/volumes/{plain}/encryption").json() == {"encryption_key_id": None}
    assert encrypted.keys() == 1
    encrypted.client.delete(f"{V}/volumes/{id}")
    encrypted.settle()
    assert encrypted.keys() == 0
    assert list(encrypted.directory.glob(f"{id}.*")) == []


def test_only_a_machine_that_has_the_volume_gets_its_key(encrypted: Encrypted) -> None:
    world, client = encrypted.world, encrypted.client
    here, other = world.agents[0], world.add_host("h2")
    id = encrypted.available(volume_type="secret")
    key = encrypted.key_id(id)
    assert [encrypted.ask_key(agent, key).status_code for agent in (here, other)] == [403, 403]
    server = world.active(client)
    host = world.show(world.admin, server["id"])["OS-EXT-SRV-ATTR:host"]
    mine, not_mine = (here, other) if host == "h1" else (other, here)
    path = f"{COMPUTE}/servers/{server['id']}/os-volume_attachments"
    assert client.post(path, {"volumeAttachment": {"volumeId": id}}).status_code == 200
    encrypted.settle()
    assert mine.wanted[server["id"]].volumes[0].key_id == key
    answer = encrypted.ask_key(mine, key)
    assert answer.status_code == 200
    assert len(answer.json()["passphrase"]) == 64
    assert encrypted.ask_key(not_mine, key).status_code == 403
    assert world.cloud.send("GET", f"/internal/volume-keys/{key}").status_code == 401
    assert encrypted.ask_key(mine, "nothing").status_code == 403
    attachment = encrypted.show(id)["attachments"][0]["attachment_id"]
    assert attachment
    client.delete(f"{path}/{id}")
    encrypted.settle()
    assert encrypted.ask_key(mine, key).status_code == 403


def test_the_key_is_sealed_in_the_database_and_shown_to_no_client(encrypted: Encrypted) -> None:
    id, world = encrypted.available(volume_type="secret"), encrypted.world
    server = world.active(encrypted.client)
    encrypted.client.post(f"{COMPUTE}/servers/{server['id']}/os-volume_attachments",
                          {"volumeAttachment": {"volumeId": id}})
    encrypted.settle()
    passphrase = encrypted.ask_key(world.agents[0], encrypted.key_id(id)).json()["passphrase"]
    for path in (world.cloud.directory).glob("stackling.db*"):
        assert passphrase.encode() not in path.read_bytes()
        assert bytes.fromhex(passphrase) not in path.read_bytes()
    for client in (encrypted.client, world.admin):
        assert passphrase not in client.get(f"{V}/volumes/{id}", headers=NEWEST).text
        assert passphrase not in client.get(f"{V}/volumes/{id}/encryption").text


def test_copies_have_keys_of_their_own_with_the_same_content(encrypted: Encrypted) -> None:
    id, client = encrypted.available(volume_type="secret"), encrypted.client
    snapshot = encrypted.snapshot(id)
    ids = [id, encrypted.available(source_volid=id), encrypted.available(snapshot_id=snapshot, size=2)]
    assert all(encrypted.show(each)["encrypted"] for each in ids)
    key_ids = [encrypted.key_id(each) for each in ids]
    assert len(set(key_ids)) == 3
    client.delete(f"{V}/snapshots/{snapshot}")
    encrypted.settle()
    client.delete(f"{V}/volumes/{id}")
    encrypted.settle()
    assert encrypted.keys() == 2
    server = encrypted.world.active(client)
    for each in ids[1:]:
        client.post(f"{COMPUTE}/servers/{server['id']}/os-volume_attachments", {"volumeAttachment": {"volumeId": each}})
        encrypted.settle()
    first, second = (encrypted.ask_key(encrypted.world.agents[0], key).json()["passphrase"] for key in key_ids[1:])
    assert first == second


def test_what_cant_be_done_with_encrypted_volumes(encrypted: Encrypted) -> None:
    admin, client = encrypted.world.admin, encrypted.client
    id, plain = encrypted.available(volume_type="secret"), encrypted.available(volume_type="plain")
    for source, other in ((id, "plain"), (plain, "secret")):
        answer = client.post(f"{V}/volumes", {"volume": {"size": 1, "source_volid": source, "volume_type": other}})
        assert answer.status_code == 400, answer.text
        answer = admin.post(f"{V}/volumes/{source}/action", {"os-retype": {
            "new_type": other, "migration_policy": "on-demand"}})
        assert answer.status_code == 400
        assert "encrypted" in answer.text
    for action in ({"os-volume_upload_image": {"image_name": "x"}}, {"os-unmanage": {}}):
        answer = admin.post(f"{V}/volumes/{id}/action", action)
        assert answer.status_code == 400, answer.text
        assert "encrypted" in answer.text
    transfer = {"transfer": {"volume_id": id}}
    answer = client.post(f"{V}/volume-transfers", transfer, headers={"OpenStack-API-Version": "volume 3.69"})
    assert (answer.status_code, "encrypted volume" in answer.text) == (400, True)
    assert client.post(f"{V}/volume-transfers", transfer, headers=NEWEST).status_code == 202
    shared = admin.post(f"{V}/types", {"volume_type": {"name": "shared", "extra_specs": {
        "multiattach": "<is> True"}}}).json()["volume_type"]["id"]
    admin.post(f"{V}/types/{shared}/encryption", {"encryption": LUKS})
    answer = client.post(f"{V}/volumes", {"volume": {"size": 1, "volume_type": "shared"}})
    assert (answer.status_code, "Multiattach cannot be used with encrypted volumes." in answer.text) == (400, True)


def test_what_the_backend_cant_encrypt_is_an_error_that_says_so(encrypted: Encrypted) -> None:
    made = encrypted.create(volume_type="odd")
    encrypted.settle()
    assert encrypted.show(made["id"])["status"] == "error"
    found = encrypted.client.get(f"{V}/messages", headers=NEWEST).json()["messages"]
    assert "the provider must be luks" in found[0]["user_message"]
    pretended = encrypted.available(volume_type="pretended")
    assert encrypted.show(pretended)["encrypted"]


def test_an_image_becomes_an_encrypted_volume_and_it_grows(encrypted: Encrypted) -> None:
    id = encrypted.available(volume_type="secret", imageRef=encrypted.world.image)
    path, = encrypted.directory.glob(f"{id}.*")
    assert containers.is_container(path)
    answer = encrypted.client.post(f"{V}/volumes/{id}/action", {"os-extend": {"new_size": 2}})
    assert answer.status_code == 202
    encrypted.settle()
    assert (encrypted.show(id)["size"], path.stat().st_size) == (2, 2 << 30)


def test_a_server_boots_from_a_new_encrypted_volume(encrypted: Encrypted) -> None:
    world, client = encrypted.world, encrypted.client
    newest = {"OpenStack-API-Version": "compute 2.79"}
    made = world.create(client, headers=newest, imageRef="", block_device_mapping_v2=[{
        "boot_index": 0, "uuid": world.image, "source_type": "image", "destination_type": "volume", "volume_size": 1,
        "volume_type": "secret", "delete_on_termination": True}])
    encrypted.settle()
    told = world.agents[0].wanted[made["id"]].volumes[0]
    assert told.key_id == encrypted.key_id(told.volume_id)
    assert told.location.endswith(".luks?format=raw")
    assert encrypted.ask_key(world.agents[0], told.key_id).status_code == 200
    client.delete(f"{COMPUTE}/servers/{made['id']}")
    encrypted.settle()
    assert encrypted.keys() == 0


def test_backups_of_encrypted_volumes_stay_closed(encrypted: Encrypted, tmp_path: Path) -> None:
    id, client, admin = encrypted.available(volume_type="secret"), encrypted.client, encrypted.world.admin
    backup = client.post(f"{V}/backups", {"backup": {"volume_id": id}}).json()["backup"]["id"]
    encrypted.settle()
    shown = client.get(f"{V}/backups/{backup}", headers=NEWEST).json()["backup"]
    assert shown["status"] == "available"
    assert shown["encryption_key_id"] not in (None, encrypted.key_id(id))
    container, = encrypted.directory.glob(f"{id}.*")
    before = container.read_bytes()[:1 << 20]
    client.delete(f"{V}/volumes/{id}")
    encrypted.settle()
    plain = encrypted.available(volume_type="plain")
    answer = client.post(f"{V}/backups/{backup}/restore", {"restore": {"volume_id": plain}})
    assert (answer.status_code, "encrypted" in answer.text) == (400, True)
    record = admin.get(f"{V}/backups/{backup}/export_record").json()["backup-record"]
    again = client.post(f"{V}/backups/{backup}/restore", {"restore": {}}).json()["restore"]["volume_id"]
    encrypted.settle()
    assert encrypted.show(again)["status"] == "available", encrypted.errors()
    assert encrypted.show(again)["encrypted"]
    container, = encrypted.directory.glob(f"{again}.*")
    assert container.read_bytes()[:1 << 20] == before
    assert encrypted.keys() == 2
    for name in ("data", "index"):
        (tmp_path / "backups" / f"{backup}.{name}").rename(tmp_path / f"kept.{name}")
    client.delete(f"{V}/backups/{backup}")
    encrypted.settle()
    assert encrypted.keys() == 1
    for name in ("data", "index"):
        (tmp_path / f"kept.{name}").rename(tmp_path / "backups" / f"{backup}.{name}")
    assert admin.post(f"{V}/backups/import_record", {"backup-record": record}).status_code == 201
    encrypted.settle()
    assert encrypted.keys() == 2
    other = encrypted.available(volume_type="secret")
    assert admin.post(f"{V}/backups/{backup}/restore", {"restore": {"volume_id": other}}).status_code == 202
    encrypted.settle()
    container, = encrypted.directory.glob(f"{other}.*")
    assert container.read_bytes()[:1 << 20] == before
