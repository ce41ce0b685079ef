"""The Pacemaker configuration that a description gives, in crm syntax and in the CIB's XML."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from stackling.deploy.cluster.description import Cluster, Fencing, Machine
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.pacemaker import cib, crm, difference, files, live
from stackling.deploy.pacemaker.configuration import configuration
from stackling.deploy.pacemaker.model import Clone, Colocation, Location, Operation, Order, Primitive
from stackling.drivers.pacemaker.programs import Result

EMPTY = ('<cib admin_epoch="0" epoch="5" num_updates="3" validate-with="pacemaker-3.9" crm_feature_set="3.16.1" '
         'have-quorum="1"><configuration><crm_config><cluster_property_set id="cib-bootstrap-options">'
         '<nvpair id="v" name="dc-version" value="2.1.5"/></cluster_property_set></crm_config><nodes>'
         '<node id="1" uname="m1"/><node id="2" uname="m2"/><node id="3" uname="m3"/></nodes><resources>'
         '<primitive id="mine" class="ocf" provider="heartbeat" type="Dummy"/></resources><constraints/>'
         "</configuration><status/></cib>")


def cluster(**more: Any) -> Cluster:
    machines = (Machine(name="m1", address="10.0.0.1", fence={"port": "7"}),
                Machine(name="m2", address="10.0.0.2", fence={"ip": "10.9.0.2"}),
                Machine(name="m3", address="10.0.0.3"),
                Machine(name="m4", address="10.0.0.4", control=False))
    return Cluster(**{"name": "c", "virtual_ip": "10.0.0.100/24", "machines": machines,
                      "fencing": Fencing(agent="fence_ipmilan", parameters={"username": "admin"}), **more})


def by_id(wanted: Cluster) -> dict[str, Any]:
    return {one.id: one for one in configuration(wanted, ["password"]).objects()}


def operations(one: Primitive) -> dict[str, Operation]:
    return {operation.name: operation for operation in one.operations}


def test_each_machine_is_fenced_from_the_others_and_no_secret_is_told() -> None:
    found = by_id(cluster())
    for name in ("m1", "m2", "m3", "m4"):
        assert found[f"stackling-fence-{name}-not-at-home"] == Location(
            f"stackling-fence-{name}-not-at-home", f"stackling-fence-{name}", "-INFINITY", name)
    first, second = found["stackling-fence-m1"].parameters, found["stackling-fence-m2"].parameters
    assert first["pcmk_host_map"] == "m1:7"
    assert second["pcmk_host_list"] == "m2"
    assert second["ip"] == "10.9.0.2"
    assert second["username"] == "admin"
    assert second["password_script"].endswith("fence-secret password")
    assert "password" not in second


def test_fencing_is_off_and_decides_what_happens_without_quorum() -> None:
    fenced = configuration(cluster()).properties
    assert (fenced["stonith-enabled"], fenced["no-quorum-policy"]) == ("true", "freeze")
    assert fenced["stonith-action"] == "off"
    without = configuration(cluster(fencing=Fencing(), take_over="identity"))
    assert (without.properties["stonith-enabled"], without.properties["no-quorum-policy"]) == ("false", "stop")
    assert not any("fence" in one.id or one.id.startswith("stackling-host-") for one in without.objects())


def test_no_failure_of_a_resource_fences_a_machine() -> None:
    """Pacemaker fences by itself only for a stop that fails; none of ours asks for it elsewhere."""
    for take_over in ("evacuate", "identity"):
        for one in configuration(cluster(take_over=take_over)).resources:
            if isinstance(one, Primitive) and one.agent.startswith("ocf:") and one.agent != "ocf:pacemaker:remote":
                assert operations(one)["stop"].options["on-fail"] == "block", one.id
                assert all(op.options.get("on-fail") != "fence" for op in one.operations)
            if isinstance(one, Primitive):
                assert all("timeout" in op.options for op in one.operations), one.id


def test_the_virtual_ip_needs_nothing_and_is_drawn_to_a_machine_that_works() -> None:
    objects = list(configuration(cluster()).objects())
    pulls = {one.on: int(one.score) for one in objects
             if isinstance(one, Colocation) and one.resource == "stackling-vip"}
    assert set(pulls) == {"stackling-api-clone", "stackling-database-clone"}
    rules = {one.expression[0]: int(one.score) for one in objects
             if isinstance(one, Location) and one.resource == "stackling-vip" and not one.score.endswith("INFINITY")}
    assert pulls["stackling-api-clone"] > pulls["stackling-database-clone"] > rules["stackling-serves"] > 100
    assert -100 < rules["#is_dc"] < 0                   # it doesn't move for that
    assert all(one.kind == "Optional" for one in objects if isinstance(one, Order))


def test_remote_machines_run_only_what_servers_need() -> None:
    found = by_id(cluster())
    assert found["m4"].agent == "ocf:pacemaker:remote"
    assert found["m4"].parameters["server"] == "10.0.0.4"
    kept_away = {one.resource for one in found.values() if isinstance(one, Location)
                 and one.expression == ("#kind", "eq", "remote") and one.score == "-INFINITY"}
    clones = {one.id for one in found.values() if isinstance(one, Clone)}
    assert clones - kept_away == {"stackling-agent-clone", "stackling-ovs-clone"}
    assert "stackling-vip" in kept_away


def test_host_identities_prefer_their_own_machine_then_the_following_ones() -> None:
    found = by_id(cluster(take_over="identity"))
    scores = {(one.resource, one.node): int(one.score) for one in found.values()
              if isinstance(one, Location) and one.resource.startswith("stackling-host-") and one.score.isdigit()}
    for number in range(1, 5):
        ring = [scores[f"stackling-host-m{number}", f"m{(number - 1 + step) % 4 + 1}"] for step in range(4)]
        assert ring[0] == 10000
        assert ring == sorted(ring, reverse=True)
        assert len(set(ring)) == 4
    assert found["stackling-host-m1"].parameters == {"host": "m1"}
    assert "stackling-host-m1" not in by_id(cluster())


def test_two_control_machines_dont_shoot_each_other_at_once() -> None:
    two = cluster(machines=cluster().machines[:2])
    assert configuration(two).properties["priority-fencing-delay"] == "5s"
    assert by_id(two)["stackling-vip"].meta == {"priority": "1"}
    assert by_id(cluster())["stackling-vip"].meta == {"requires": "quorum"}
    assert "priority-fencing-delay" not in configuration(cluster()).properties


@pytest.mark.parametrize("take_over", ["evacuate", "identity"])
def test_what_is_written_into_the_cib_is_read_out_again(take_over: str) -> None:
    wanted = configuration(cluster(take_over=take_over), ["password"])
    merged = cib.merged(ET.fromstring(EMPTY), wanted)
    found = cib.read(merged)
    assert difference.changes(found.ours, wanted) == []
    assert found.others == ("mine",)
    assert merged.find(".//nvpair[@name='dc-version']") is not None
    assert ET.tostring(cib.merged(merged, wanted)) == ET.tostring(merged)


def test_only_what_differs_is_touched_and_what_was_set_by_hand_stays() -> None:
    before = cib.merged(ET.fromstring(EMPTY), configuration(cluster()))
    meta = before.find(".//primitive[@id='stackling-vip']/meta_attributes")
    assert meta is not None
    ET.SubElement(meta, "nvpair", {"id": "x", "name": "target-role", "value": "Stopped"})
    assert cib.read(before).by_hand == ("stackling-vip: target-role=Stopped",)
    wanted = configuration(cluster(virtual_ip="10.0.0.200/24"))
    changes = difference.changes(cib.read(before).ours, wanted)
    assert [(one.verb, one.id) for one in changes] == [("change", "stackling-vip")]
    assert "-\tparams cidr_netmask=24 ip=10.0.0.100 \\" in changes[0].lines
    after = cib.merged(before, wanted)
    kept = after.find(".//primitive[@id='stackling-vip']//nvpair[@name='target-role']")
    assert kept is not None
    assert difference.changes(cib.read(after).ours, wanted) == []


def test_what_is_no_longer_wanted_goes_and_what_others_made_stays() -> None:
    before = cib.merged(ET.fromstring(EMPTY), configuration(cluster(take_over="identity")))
    wanted = configuration(cluster())
    after = cib.merged(before, wanted)
    assert {one.verb for one in difference.changes(cib.read(before).ours, wanted)} == {"remove"}
    assert after.find(".//primitive[@id='stackling-host-m1']") is None
    assert after.find(".//primitive[@id='mine']") is not None


def test_a_change_that_met_another_change_is_made_again_from_there() -> None:
    """The CIB refuses a difference from an old version; somebody's property that came in between survives."""
    wanted = configuration(cluster())
    state = [ET.fromstring(EMPTY)]
    patches: list[str] = []

    def execute(command: tuple[str, ...], *, deadline: float = 0, given: str = "") -> Result:
        if command[1] == "--query":
            return Result(0, ET.tostring(state[0], "unicode"), "")
        if command[0] == "crm_diff":
            return Result(1, Path(command[-1]).read_text(), "")
        if command[1] == "--patch":
            patches.append(given)
            if len(patches) == 1:
                state[0].set("epoch", "6")
                options = state[0].find(".//cluster_property_set")
                assert options is not None
                ET.SubElement(options, "nvpair", {"id": "m", "name": "maintenance-mode", "value": "true"})
                return Result(78, "", "Update does not conform")
            state[0] = ET.fromstring(given)
        return Result(0, "", "")

    assert live.apply(wanted, execute)      # type: ignore[arg-type]
    assert state[0].find(".//nvpair[@name='maintenance-mode']") is not None
    assert [ET.fromstring(patch).get("epoch") for patch in patches] == ["6", "7"]
    assert live.apply(wanted, execute) == []    # type: ignore[arg-type]
    assert len(patches) == 2


def test_a_refusal_without_another_change_is_told() -> None:
    def execute(command: tuple[str, ...], *, deadline: float = 0, given: str = "") -> Result:
        if command[1] == "--query":
            return Result(0, EMPTY, "")
        if command[0] == "crm_diff":
            return Result(1, "<diff/>", "")
        return Result(13, "", "Permission denied") if command[1] == "--patch" else Result(0, "", "")

    with pytest.raises(live.PacemakerError, match="Permission denied"):
        live.apply(configuration(cluster()), execute)   # type: ignore[arg-type]


@pytest.mark.skipif(not (shutil.which("crm") and shutil.which("crm_verify")), reason="crmsh isn't installed")
@pytest.mark.parametrize("take_over", ["evacuate", "identity"])
def test_crm_reads_the_same_from_our_text(take_over: str, tmp_path: Path) -> None:
    """Our crm syntax, loaded by the crm shell into an empty CIB file, is the configuration that we'd write as XML."""
    wanted = configuration(cluster(take_over=take_over, fencing=Fencing(agent="fence_dummy")))
    file, text = tmp_path / "cib.xml", tmp_path / "configuration.crm"
    file.write_text(EMPTY)
    text.write_text(crm.text(wanted))
    environment = {"CIB_file": str(file), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(["crm", "-F", "configure", "load", "update", str(text)], env=environment, timeout=60,
                          capture_output=True, text=True, check=False)
    found = cib.read(ET.parse(file).getroot())
    assert difference.changes(found.ours, wanted) == [], done.stderr
    verified = subprocess.run(["crm_verify", "--xml-file", str(file), "--verbose"], env=environment, timeout=30,
                              capture_output=True, text=True, check=False)
    assert "error:" not in verified.stderr


def test_the_agents_are_files_that_run_by_themselves(tmp_path: Path) -> None:
    """With nothing but the standard library, as Pacemaker starts them."""
    for file in files.files(Paths(tmp_path)):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(file.content)
        file.path.chmod(file.mode)
    for name in files.AGENTS:
        program = tmp_path / "usr/lib/ocf/resource.d/stackling" / name
        done = subprocess.run([program, "meta-data"], capture_output=True, text=True, timeout=20, check=True)
        root = ET.fromstring(done.stdout)
        assert root.get("name") == name
        assert {action.get("name") for action in root.iter("action")} >= {
            "start", "stop", "monitor", "meta-data", "validate-all"}
        assert not any("password" in parameter.get("name", "") for parameter in root.iter("parameter"))
        unknown = subprocess.run([program, "dance"], capture_output=True, text=True, timeout=20, check=False)
        assert unknown.returncode == 3


def test_pacemakers_start_waits_for_those_that_start_too() -> None:
    from stackling.deploy.pacemaker.agents import wait_for_members as waiting

    ring = "runtime.members.1.status (str) = joined\nruntime.members.2.status (str) = left\n"
    nodes = "nodelist.node.0.name (str) = m1\nnodelist.node.0.nodeid (u32) = 1\nnodelist.node.1.nodeid (u32) = 2\n"
    assert waiting._JOINED.findall(ring) == ["1"]
    assert waiting._CONFIGURED.findall(nodes) == ["1", "2"]
    assert waiting._CONTROLLERS.search("crmd\\x00\nattrd\\x00\n")
    assert waiting.decided({"1", "2"}, {"1"}, controllers=False) == ""
    assert waiting.decided({"1", "2"}, {"1", "2"}, controllers=False)
    assert waiting.decided({"1", "2"}, {"1"}, controllers=True)
    assert waiting.decided(set(), set(), controllers=False)
