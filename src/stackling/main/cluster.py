"""A control machine of a cluster as a ``Deployment``: its description, which machine this is, and its secrets."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from stackling.deploy import federation
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import IMAGES_USER, VOLUMES_USER
from stackling.deploy.cluster import description, ovn, rabbitmq, secrets
from stackling.deploy.cluster.description import INTERNAL_PORT, PUBLIC_PORT, Cluster, ClusterError
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.cluster.secrets import Secrets
from stackling.deploy.cluster.services import HEARTBEAT
from stackling.deploy.embedded.configuration import pool
from stackling.ha.model import Settings
from stackling.main import images, shown_settings
from stackling.main.deployment import (
    PHYSICAL_NETWORK,
    BrokerWakeups,
    Deployment,
    Listener,
    LocalImages,
    Northbound,
    PacemakerMembership,
    RbdDisks,
    RbdImages,
    RbdVolumes,
    Registered,
    SimulatedNetwork,
)
from stackling.main.tls import Tls
from stackling.network.facade import External

ENGINE_LEASE = 15.0
"""Seconds after which another engine takes over what a lost machine's had begun."""


def deployment(paths: Paths) -> Deployment:
    """What this machine's files say. Raises ``ClusterError``."""
    cluster, known = description.read(paths.cluster), secrets.read(paths)
    machine = cluster.machine(paths.name)
    if not machine.control or not known.cluster_key:
        raise ClusterError(f"{machine.name} is no control machine of cluster {cluster.name}")
    providers = federation.settings(cluster.identity_providers)
    own = Tls(paths.pki / "machine.crt", paths.pki / "machine.key", paths.pki / "ca.crt")
    return Deployment(
        node=machine.name, directory=paths.run, database_url=database_url(paths, known),
        cluster_key=bytes.fromhex(known.cluster_key), admin_password=known.admin_password,
        public_url=cluster.public_url, region=cluster.region,
        public=Listener(address="0.0.0.0", port=PUBLIC_PORT, tls=own),
        internal=Listener(address=machine.address, port=INTERNAL_PORT, tls=own, mutual=True),
        wakeups=BrokerWakeups(tuple(f"{one.address}:{rabbitmq.PORT}" for one in cluster.control),
                              known.rabbitmq_password, paths.secrets / "control_identity", machine.name,
                              paths.run / "bus"),
        network=_network(cluster, paths),
        images=_images(cluster, paths),
        more_images=images.more(cluster.image_stores, cluster.own_image_store, CephFiles(paths.ceph)),
        external=_external(cluster), machines=_machines(cluster, known),
        membership=PacemakerMembership(
            tuple(one.name for one in cluster.machines), bool(cluster.fencing.agent),
            {one.name: tuple(dict.fromkeys((one.address, one.storage_address, one.tenant_address)))
             for one in cluster.machines}),
        volumes=_volumes(cluster, paths), disks=_disks(cluster, paths),
        availability=Settings(heartbeat=HEARTBEAT, take_over=cluster.take_over,
                              return_after=cluster.fencing.return_after), engine_lease=ENGINE_LEASE, agents=own,
        identity_providers=providers, configured=shown_settings.of_cluster(cluster, providers),
        trusted_dashboards=tuple(cluster.trusted_dashboards),
        web_download=cluster.web_download, glance_download=cluster.glance_download,
        policies=paths.policies, cluster=paths.root, log_level=cluster.log_level)


def _images(cluster: Cluster, paths: Paths) -> LocalImages | RbdImages:
    others = tuple((one.address, INTERNAL_PORT) for one in cluster.control if one.name != paths.name)
    local = LocalImages(paths.state / "images", others, tuple(one.name for one in cluster.control))
    if cluster.storage.images == "local":
        return local
    files = CephFiles(paths.ceph)
    return RbdImages(files.conf, IMAGES_USER, files.images_keyring, cluster.storage.image_pool, local)


def _disks(cluster: Cluster, paths: Paths) -> RbdDisks | None:
    if cluster.storage.disks != "rbd":
        return None
    files = CephFiles(paths.ceph)
    return RbdDisks(files.conf, IMAGES_USER, files.images_keyring,
                    {machine.name: machine.storage_address for machine in cluster.machines})


def _volumes(cluster: Cluster, paths: Paths) -> RbdVolumes | None:
    """Local disks of one machine are no place for a cluster's volumes."""
    if cluster.storage.volumes == "local":
        return None
    files = CephFiles(paths.ceph)
    storage = cluster.storage
    backups = Path(storage.backup_directory) if storage.backup_directory else storage.backup_pool
    return RbdVolumes(files.conf, VOLUMES_USER, files.volumes_keyring, storage.volume_pool,
                      paths.state / "volumes-read", backups=backups)


def database_url(paths: Paths, known: Secrets) -> str:
    """The local Galera node, by its socket."""
    return (f"mysql+pymysql://stackling:{known.database_password}@localhost/stackling"
            f"?unix_socket={paths.run / 'database.sock'}&charset=utf8mb4")


def _network(cluster: Cluster, paths: Paths) -> SimulatedNetwork | Northbound:
    if cluster.driver == "simulated":
        return SimulatedNetwork(paths.state / "fabric")
    identity = ovn.Layout(paths).identity
    return Northbound(ovn.northbound(cluster), Tls(identity, identity, identity), ovn.southbound(cluster))


def _machines(cluster: Cluster, known: Secrets) -> tuple[Registered, ...]:
    return tuple(Registered(machine.name, known.credentials[machine.name], machine.name if machine.compute else None)
                 for machine in cluster.machines if machine.name in known.credentials)


def _external(cluster: Cluster) -> External:
    network = ipaddress.IPv4Network(cluster.external.range)
    gateway = cluster.external.gateway or str(network[1])
    return External(str(network), gateway, pool(network, gateway, cluster.external.pool), PHYSICAL_NETWORK)
