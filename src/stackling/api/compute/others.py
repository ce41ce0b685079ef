"""Version documents, extensions, external events, empty lists, and what upstream has retired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import Json, array, link_base, obj, only, route
from stackling.api.route import Route
from stackling.api.schema import Schemas
from stackling.compute import changes, rows
from stackling.core.errors import Gone, Invalid, NotFound

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

LOWEST, HIGHEST = (2, 1), (2, 104)
_TYPE = "application/vnd.openstack.compute+json;version="
_OLD, _NEW = "v2.0", "v2.1"


def _version(call: Call, id: str) -> Json:
    text = [f"{major}.{minor}" if id == _NEW else "" for major, minor in (HIGHEST, LOWEST)]
    path = "v2.1" if id == _NEW else "v2"
    return {"id": id, "status": "CURRENT" if id == _NEW else "SUPPORTED", "version": text[0], "min_version": text[1],
            "updated": "2013-07-23T11:33:21Z" if id == _NEW else "2011-01-21T11:33:21Z",
            "links": [{"rel": "self", "href": f"{link_base(call)}/{path}/"}]}


def list_versions(tx: Tx, call: Call) -> Reply:
    """GET /."""
    return Reply({"versions": [_version(call, _OLD), _version(call, _NEW)]})


def _show(call: Call, id: str) -> Reply:
    shown = _version(call, id)
    shown["links"].append({"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"})
    media = [{"base": "application/json", "type": _TYPE + ("2.1" if id == _NEW else "2")}]
    return Reply({"version": {**shown, "media-types": media}})


def show_version(tx: Tx, call: Call) -> Reply:
    """GET /v2.1."""
    return _show(call, _NEW)


def show_old_version(tx: Tx, call: Call) -> Reply:
    """GET /v2."""
    return _show(call, _OLD)


def show_version_by_id(tx: Tx, call: Call) -> Reply:
    """GET /v2.1/versions/{id}."""
    if call.params["version"] not in (_OLD, _NEW):
        raise NotFound("The resource could not be found.")
    return _show(call, call.params["version"])


# -- extensions

_EXTENSIONS = (
    "NMN:Multinic", "OS-DCF:DiskConfig", "OS-EXT-AZ:ExtendedAvailabilityZone", "OS-EXT-IMG-SIZE:ImageSize",
    "OS-EXT-IPS:ExtendedIps", "OS-EXT-IPS-MAC:ExtendedIpsMac", "OS-EXT-SRV-ATTR:ExtendedServerAttributes",
    "OS-EXT-STS:ExtendedStatus", "OS-FLV-DISABLED:FlavorDisabled", "OS-FLV-EXT-DATA:FlavorExtraData",
    "OS-SCH-HNT:SchedulerHints", "OS-SRV-USG:ServerUsage", "os-access-ips:AccessIPs", "os-admin-actions:AdminActions",
    "os-admin-password:AdminPassword", "os-agents:Agents", "os-aggregates:Aggregates",
    "os-assisted-volume-snapshots:AssistedVolumeSnapshots", "os-attach-interfaces:AttachInterfaces",
    "os-availability-zone:AvailabilityZone", "os-baremetal-ext-status:BareMetalExtStatus",
    "os-baremetal-nodes:BareMetalNodes", "os-block-device-mapping:BlockDeviceMapping",
    "os-block-device-mapping-v2-boot:BlockDeviceMappingV2Boot", "os-cell-capacities:CellCapacities", "os-cells:Cells",
    "os-certificates:Certificates", "os-cloudpipe:Cloudpipe", "os-cloudpipe-update:CloudpipeUpdate",
    "os-config-drive:ConfigDrive", "os-console-auth-tokens:ConsoleAuthTokens", "os-console-output:ConsoleOutput",
    "os-consoles:Consoles", "os-create-backup:CreateBackup", "os-create-server-ext:Createserverext",
    "os-deferred-delete:DeferredDelete", "os-evacuate:Evacuate",
    "os-extended-evacuate-find-host:ExtendedEvacuateFindHost", "os-extended-floating-ips:ExtendedFloatingIps",
    "os-extended-hypervisors:ExtendedHypervisors", "os-extended-networks:ExtendedNetworks",
    "os-extended-quotas:ExtendedQuotas", "os-extended-rescue-with-image:ExtendedRescueWithImage",
    "os-extended-services:ExtendedServices", "os-extended-services-delete:ExtendedServicesDelete",
    "os-extended-status:ExtendedStatus", "os-extended-volumes:ExtendedVolumes", "os-fixed-ips:FixedIPs",
    "os-flavor-access:FlavorAccess", "os-flavor-extra-specs:FlavorExtraSpecs", "os-flavor-manage:FlavorManage",
    "os-flavor-rxtx:FlavorRxtx", "os-flavor-swap:FlavorSwap", "os-floating-ip-dns:FloatingIpDns",
    "os-floating-ip-pools:FloatingIpPools", "os-floating-ips:FloatingIps", "os-floating-ips-bulk:FloatingIpsBulk",
    "os-fping:Fping", "os-hide-server-addresses:HideServerAddresses", "os-hosts:Hosts",
    "os-hypervisor-status:HypervisorStatus", "os-hypervisors:Hypervisors", "os-instance-actions:InstanceActions",
    "os-instance_usage_audit_log:OSInstanceUsageAuditLog", "os-keypairs:Keypairs", "os-lock-server:LockServer",
    "os-migrate-server:MigrateServer", "os-migrations:Migrations", "os-multiple-create:MultipleCreate",
    "os-networks:Networks", "os-networks-associate:NetworkAssociationSupport", "os-pause-server:PauseServer",
    "os-personality:Personality", "os-preserve-ephemeral-rebuild:PreserveEphemeralOnRebuild",
    "os-quota-class-sets:QuotaClasses", "os-quota-sets:Quotas", "os-rescue:Rescue",
    "os-security-group-default-rules:SecurityGroupDefaultRules", "os-security-groups:SecurityGroups",
    "os-server-diagnostics:ServerDiagnostics", "os-server-external-events:ServerExternalEvents",
    "os-server-group-quotas:ServerGroupQuotas", "os-server-groups:ServerGroups",
    "os-server-list-multi-status:ServerListMultiStatus", "os-server-password:ServerPassword",
    "os-server-sort-keys:ServerSortKeys", "os-server-start-stop:ServerStartStop", "os-services:Services",
    "os-shelve:Shelve", "os-simple-tenant-usage:SimpleTenantUsage", "os-suspend-server:SuspendServer",
    "os-tenant-networks:OSTenantNetworks", "os-used-limits:UsedLimits", "os-used-limits-for-admin:UsedLimitsForAdmin",
    "os-user-data:UserData", "os-user-quotas:UserQuotas", "os-virtual-interfaces:VirtualInterfaces",
    "os-volume-attachment-update:VolumeAttachmentUpdate", "os-volumes:Volumes",
)
"""Upstream's: it no longer changes, whatever has come and gone since."""


def _extension(entry: str) -> Json:
    alias, _, name = entry.rpartition(":")
    return {"alias": alias, "name": name, "description": f"{name}.", "links": [], "updated": "2014-12-03T00:00:00Z",
            "namespace": "http://docs.openstack.org/compute/ext/fake_xml"}


def list_extensions(tx: Tx, call: Call) -> Reply:
    """GET /extensions."""
    return Reply({"extensions": [_extension(entry) for entry in _EXTENSIONS]})


def show_extension(tx: Tx, call: Call) -> Reply:
    """GET /extensions/{alias}."""
    for entry in _EXTENSIONS:
        if entry.rpartition(":")[0] == call.params["alias"]:
            return Reply({"extension": _extension(entry)})
    raise NotFound("The resource could not be found.")


# -- external events

def external_events(tx: Tx, call: Call) -> Reply:
    """POST /os-server-external-events: somebody says that something changed, so we look."""
    events: list[Json] = call.body["events"]
    known = rows.get_many(tx, [event["server_uuid"] for event in events])
    answers: list[Json] = []
    missing = 0
    for event in events:
        server = known.get(event["server_uuid"])
        answer = {**event, "status": event.get("status", "completed"), "code": 200}
        if server is None or server["deleted"]:
            answer.update(code=404, status="failed")
            missing += 1
        elif server["host_id"] is None:
            answer.update(code=422, status="failed")
        else:
            tx.nudge(changes.KIND, server["id"])
        answers.append(answer)
    if missing == len(events):
        raise NotFound("No instances found for any event")
    partial = any(answer["code"] != 200 for answer in answers)
    return Reply({"events": answers}, status=207 if partial else 200)


def _events(*more: str) -> Json:
    names = ["network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted", *more]
    event = obj({
        "server_uuid": {"type": "string", "format": "uuid"}, "name": {"type": "string", "enum": names},
        "status": {"type": "string", "enum": ["failed", "completed", "in-progress"]},
        "tag": {"type": "string", "maxLength": 255}}, "server_uuid", "name")
    return only("events", array(event, minItems=1))


_EVENTS = Schemas({
    (2, 0): _events(), (2, 51): _events("volume-extended"), (2, 76): _events("volume-extended", "power-update"),
    (2, 82): _events("volume-extended", "power-update", "accelerator-request-bound"),
    (2, 93): _events("volume-extended", "power-update", "accelerator-request-bound", "volume-reimaged")})


# -- shown empty

def no_audit_log(tx: Tx, call: Call) -> Reply:
    """GET /os-instance_usage_audit_log: no audit periods are kept."""
    if "before" in call.params and not call.params["before"][:4].isdecimal():
        raise Invalid(f"Invalid timestamp for date {call.params['before']}")
    key = "instance_usage_audit_log" if "before" in call.params else "instance_usage_audit_logs"
    return Reply({key: {
        "hosts_not_run": [], "log": {}, "num_hosts": 0, "num_hosts_done": 0, "num_hosts_not_run": 0,
        "num_hosts_running": 0, "overall_status": "ALL hosts done. 0 errors.",
        "period_beginning": f"{tx.now[:7]}-01 00:00:00", "period_ending": f"{tx.now[:10]} 00:00:00",
        "total_errors": 0, "total_instances": 0}})


# -- gone

def gone(tx: Tx, call: Call) -> Reply:
    """Retired upstream."""
    raise Gone("This resource is no longer available. No forwarding address is given.")


_GONE = (
    "GET POST /os-agents", "PUT DELETE /os-agents/{x}", "GET POST /os-cells", "GET /os-cells/capacities",
    "GET /os-cells/detail", "GET /os-cells/info", "POST /os-cells/sync_instances", "GET PUT DELETE /os-cells/{x}",
    "GET /os-cells/{x}/capacities", "POST /os-certificates", "GET /os-certificates/{x}", "GET POST /os-cloudpipe",
    "PUT /os-cloudpipe/{x}", "GET /os-fixed-ips/{x}", "POST /os-fixed-ips/{x}/action", "GET /os-floating-ip-dns",
    "PUT DELETE /os-floating-ip-dns/{x}", "GET PUT DELETE /os-floating-ip-dns/{x}/entries/{y}",
    "GET POST /os-floating-ips-bulk", "GET PUT /os-floating-ips-bulk/{x}", "GET /os-fping", "GET /os-fping/{x}",
    "POST /os-networks", "POST /os-networks/add", "DELETE /os-networks/{network}", "POST /os-networks/{network}/action",
    "GET POST /os-security-group-default-rules", "GET DELETE /os-security-group-default-rules/{x}",
    "POST /os-tenant-networks", "DELETE /os-tenant-networks/{network}", "GET POST /servers/{id}/consoles",
    "GET DELETE /servers/{id}/consoles/{x}", "GET /servers/{id}/os-virtual-interfaces",
)


def _gone_routes() -> list[Route]:
    found: list[Route] = []
    for line in _GONE:
        *methods, path = line.split()
        found += [route(method, path, gone, "servers:action") for method in methods]
    return found


ROUTES = [
    Route("GET", "", list_versions, None),
    Route("GET", "/v2", show_old_version, None),
    Route("GET", "/v2.1", show_version, None),
    route("GET", "/versions/{version}", show_version_by_id, "servers:action"),
    route("GET", "/extensions", list_extensions, "extensions"),
    route("GET", "/extensions/{alias}", show_extension, "extensions"),
    route("POST", "/os-server-external-events", external_events, "os-server-external-events:create", body=_EVENTS),
    route("GET", "/os-instance_usage_audit_log", no_audit_log, "os-instance-usage-audit-log:list"),
    route("GET", "/os-instance_usage_audit_log/{before}", no_audit_log, "os-instance-usage-audit-log:show"),
    *_gone_routes(),
]
