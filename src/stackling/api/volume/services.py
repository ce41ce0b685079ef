"""``/os-services``, ``/os-hosts``, ``/os-availability-zone``, pools, capabilities, resource filters, extensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume.parts import Json, boolean, obj, route, value_of
from stackling.core.errors import Invalid, NotFound
from stackling.volume import services
from stackling.volume.rows import AnyRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_FILTERS = {
    "volume": ["name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id", "size",
               "created_at", "updated_at"],
    "snapshot": ["name", "status", "volume_id", "metadata", "availability_zone", "created_at", "updated_at"],
    "backup": ["name", "status", "volume_id"], "group": ["name", "status"], "attachment": [
        "volume_id", "status", "instance_id", "attach_status"],
    "group_snapshot": ["status", "group_id"], "message": ["resource_uuid", "resource_type", "event_id", "request_id",
                                                           "message_level"],
    "pool": ["name", "volume_type"], "volume_type": ["is_public", "extra_specs"]}


# -- services

def list_services(tx: Tx, call: Call) -> Reply:
    """GET /os-services."""
    host, binary = call.query.last("host"), call.query.last("binary") or call.query.last("service")
    found = [row for row in services.all_services(tx) if (binary is None or row["binary"] == binary) and (
        host is None or row["host"] == host or row["host"].partition("@")[0] == host)]
    return Reply({"services": [_shown(call, row, tx.time) for row in found]})


def _shown(call: Call, row: AnyRow, now: float) -> Json:
    shown: Json = {
        "binary": row["binary"], "host": row["host"], "zone": row["availability_zone"],
        "status": "disabled" if row["disabled"] else "enabled", "state": "up" if services.is_up(row, now) else "down",
        "updated_at": row["updated_at"], "disabled_reason": row["disabled_reason"]}
    if row["binary"] == services.VOLUME:
        shown.update(replication_status="disabled", active_backend_id=None, frozen=bool(row["frozen"]))
        if call.version >= (3, 49):
            shown["backend_state"] = "up" if row["error"] is None else "down"
    if call.version >= (3, 7):
        shown["cluster"] = None
    return shown


def change_service(tx: Tx, call: Call) -> Reply:
    """PUT /os-services/{action}."""
    action, body = call.params["action"], call.body
    if action in ("freeze", "thaw"):
        call.authorize(None, f"volume:{action}_host")
        try:
            services.set_frozen(tx, value_of(body, "host", str), action == "freeze")
        except NotFound as error:
            raise Invalid(error.message) from None
        return Reply(status=200)
    if action == "failover_host" or (action == "failover" and call.version >= (3, 26)):
        call.authorize(None, "volume:failover_host")
        services.backend(tx, value_of(body, "host", str))
        raise Invalid("Invalid service: no backend replicates its volumes, so there is nothing to fail over to.")
    if action not in ("enable", "disable", "disable-log-reason"):
        raise NotFound("Unknown action")
    host, binary = value_of(body, "host", str), body.get("binary") or body.get("service")
    if not binary:
        raise Invalid("Missing required element 'binary' or 'service' in request body.")
    reason = body.get("disabled_reason")
    if action == "disable-log-reason" and (not isinstance(reason, str) or not 0 < len(reason.strip()) <= 255):
        raise Invalid("Disabled reason contains invalid characters or is too long or empty.")
    row = services.set_enabled(tx, host, str(binary), action == "enable", reason)
    shown: Json = {"host": host, "service": binary, "binary": binary, "disabled": bool(row["disabled"]),
                   "status": "disabled" if row["disabled"] else "enabled"}
    if action == "disable-log-reason":
        shown["disabled_reason"] = row["disabled_reason"]
    return Reply(shown)


# -- hosts, zones

def list_hosts(tx: Tx, call: Call) -> Reply:
    """GET /os-hosts."""
    zone = call.query.last("zone")
    return Reply({"hosts": [
        {"host_name": row["host"], "service": row["binary"], "zone": row["availability_zone"],
         "service-status": "available" if services.is_up(row, tx.time) else "unavailable",
         "service-state": "disabled" if row["disabled"] else "enabled", "last-update": row["updated_at"]}
        for row in services.all_services(tx) if zone is None or row["availability_zone"] == zone]})


def show_host(tx: Tx, call: Call) -> Reply:
    """GET /os-hosts/{host}: what is on it, in all and by project."""
    row = services.backend(tx, call.params["host"])
    found = [{"resource": {
        "host": row["host"], "project": project, "volume_count": str(volumes), "total_volume_gb": str(gib),
        "snapshot_count": str(snapshots), "total_snapshot_gb": str(snapshot_gib)}}
        for project, volumes, gib, snapshots, snapshot_gib in services.held_by_projects(tx, row["host"])]
    return Reply({"host": found})


def list_zones(tx: Tx, call: Call) -> Reply:
    """GET /os-availability-zone."""
    return Reply({"availabilityZoneInfo": [{"zoneName": name, "zoneState": {"available": available}}
                                           for name, available in services.zones(tx)]})


# -- backends

def pools(tx: Tx, call: Call) -> Reply:
    """GET /scheduler-stats/get_pools."""
    detail = boolean("detail", call.query.last("detail") or "false")
    name = call.query.last("name")
    given = services.given(tx)
    found: list[Json] = []
    for row in services.all_services(tx):
        full = services.full_host(row) if row["binary"] == services.VOLUME else ""
        if not full or (name is not None and name != full):
            continue
        shown: Json = {"name": full}
        if detail:
            gib, number = given.get(row["host"], (0, 0))
            shown["capabilities"] = {**services.capabilities(row), "allocated_capacity_gb": gib,
                                     "provisioned_capacity_gb": gib, "total_volumes": number, "pool_name": row["pool"]}
        found.append(shown)
    return Reply({"pools": found})


def capabilities(tx: Tx, call: Call) -> Reply:
    """GET /capabilities/{host}."""
    row = services.backend(tx, call.params["host"])
    known = services.capabilities(row)

    def said(title: str, description: str, value: bool) -> Json:
        return {"title": title, "description": description, "type": "boolean", "default": value}

    return Reply({
        "namespace": f"OS::Storage::Capabilities::{row['host']}", "vendor_name": known["vendor_name"],
        "volume_backend_name": known["volume_backend_name"], "pool_name": row["pool"],
        "driver_version": known["driver_version"], "storage_protocol": known["storage_protocol"],
        "display_name": row["pool"], "description": None, "visibility": "public",
        "replication_targets": [], "properties": {
            "thin_provisioning": said("Thin Provisioning", "Volumes take room only for what is written.", True),
            "compression": said("Compression", "Enables compression.", False),
            "qos": said("QoS", "Enables QoS.", False),
            "replication_enabled": said("Replication", "Enables replication.", False)}})


def filters(tx: Tx, call: Call) -> Reply:
    """GET /resource_filters (3.33)."""
    wanted = call.query.last("resource")
    return Reply({"resource_filters": [{"resource": resource, "filters": names} for resource, names in _FILTERS.items()
                                       if wanted is None or wanted == resource]})


# -- extensions

_ALIASES = {
    "os-availability-zone": "AvailabilityZones", "os-extended-snapshot-attributes": "ExtendedSnapshotAttributes",
    "os-hosts": "Hosts", "os-quota-class-sets": "QuotaClasses", "os-quota-sets": "Quotas", "os-services": "Services",
    "os-snapshot-actions": "SnapshotActions", "os-snapshot-manage": "SnapshotManage",
    "os-snapshot-unmanage": "SnapshotUnmanage", "os-types-extra-specs": "TypesExtraSpecs",
    "os-types-manage": "TypesManage", "os-used-limits": "UsedLimits", "os-vol-host-attr": "VolumeHostAttribute",
    "os-vol-image-meta": "VolumeImageMetadata", "os-vol-mig-status-attr": "VolumeMigStatusAttribute",
    "os-vol-tenant-attr": "VolumeTenantAttribute", "os-volume-actions": "VolumeActions",
    "os-volume-encryption-metadata": "VolumeEncryptionMetadata", "os-volume-manage": "VolumeManage",
    "os-volume-transfer": "VolumeTransfer", "os-volume-type-access": "VolumeTypeAccess",
    "os-volume-unmanage": "VolumeUnmanage", "qos-specs": "Qos_specs_manage", "encryption": "VolumeTypeEncryption",
    "backups": "Backups", "capabilities": "Capabilities", "scheduler-stats": "Scheduler_stats",
    "OS-SCH-HNT": "SchedulerHints", "os-admin-actions": "AdminActions", "cgsnapshots": "Cgsnapshots",
    "consistencygroups": "Consistencygroups"}


def extensions(tx: Tx, call: Call) -> Reply:
    """GET /extensions."""
    return Reply({"extensions": [
        {"name": name, "alias": alias, "description": f"{name} support.", "updated": "2011-09-27T00:00:00+00:00",
         "links": []} for alias, name in sorted(_ALIASES.items())]})


_X = "volume_extension:"
ROUTES = [
    route("GET", "/os-services", list_services, f"{_X}services:index"),
    route("PUT", "/os-services/{action}", change_service, f"{_X}services:update",
          body=always(obj({}, more=True))),
    route("GET", "/os-hosts", list_hosts, f"{_X}hosts"),
    route("GET", "/os-hosts/{host}", show_host, f"{_X}hosts"),
    route("GET", "/os-availability-zone", list_zones, f"{_X}availability_zone_list"),
    route("GET", "/scheduler-stats/get_pools", pools, "scheduler_extension:scheduler_stats:get_pools"),
    route("GET", "/capabilities/{host}", capabilities, f"{_X}capabilities"),
    route("GET", "/resource_filters", filters, f"{_X}list_extensions", min=(3, 33)),
    route("GET", "/extensions", extensions, f"{_X}list_extensions"),
]
