"""One machine's cloud as a ``Deployment``: everything lies in its state directory."""

from __future__ import annotations

import ipaddress

from stackling.compute import facade as compute
from stackling.deploy import federation
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import IMAGES_USER, VOLUMES_USER
from stackling.deploy.embedded.configuration import Configuration
from stackling.deploy.embedded.credentials import Credentials
from stackling.deploy.embedded.directory import StateDirectory
from stackling.identity.facade import IdentityConfig, SecurityCompliance
from stackling.main import images, shown_settings
from stackling.main.deployment import (
    PHYSICAL_NETWORK,
    Deployment,
    Listener,
    LocalImages,
    LocalVolumes,
    LocalWakeups,
    Northbound,
    RbdImages,
    RbdVolumes,
    Registered,
    SimulatedMembership,
    SimulatedNetwork,
    SimulatedVolumes,
)
from stackling.network.facade import External


def deployment(directory: StateDirectory, configuration: Configuration, credentials: Credentials) -> Deployment:
    """What the state directory says."""
    credential = compute.credential_hash(credentials.machine)
    providers = federation.settings(configuration.identity_providers)
    return Deployment(
        node=configuration.machine, directory=directory.run,
        database_url=f"sqlite:///{directory.database}", durable=configuration.durable,
        cluster_key=bytes.fromhex(credentials.cluster_key), admin_password=credentials.admin_password,
        public_url=configuration.public_url, region=configuration.region,
        public=Listener(address=configuration.listen, port=configuration.port),
        internal=Listener(path=directory.run / "internal.sock"),
        wakeups=LocalWakeups(directory.run / "bus"), network=_network(directory, configuration),
        images=_images(directory, configuration),
        more_images=images.more(configuration.image_stores, configuration.own_image_store, CephFiles(directory.ceph)),
        volumes=_volumes(directory, configuration),
        external=_external(configuration), identity=_identity(configuration),
        machines=tuple(Registered(name, credential, name) for name in configuration.host_names),
        membership=_membership(directory, configuration), engine_lease=configuration.engine_lease,
        web_download=configuration.web_download, glance_download=configuration.glance_download,
        shelved_offload_time=configuration.shelved_offload_time,
        require_image_format_match=configuration.require_image_format_match,
        identity_providers=providers, configured=shown_settings.of_directory(configuration, providers),
        trusted_dashboards=tuple(configuration.trusted_dashboards),
        policies=directory.policies,
        first_start_lock=directory.run / "first-start.lock", mark_file=directory.database.with_suffix(".mark"),
        log_directory=directory.logs, log_level=configuration.log_level)


def _images(directory: StateDirectory, configuration: Configuration) -> LocalImages | RbdImages:
    if configuration.images == "local":
        return LocalImages(directory.images)
    files = CephFiles(directory.ceph)
    return RbdImages(files.conf, IMAGES_USER, files.images_keyring, configuration.image_pool,
                     LocalImages(directory.images))


def _volumes(directory: StateDirectory, configuration: Configuration) -> LocalVolumes | RbdVolumes | SimulatedVolumes:
    if configuration.simulated:
        return SimulatedVolumes(directory.volumes)
    local = LocalVolumes(directory.volumes, directory.root / "backups")
    if configuration.volumes == "local":
        return local
    files = CephFiles(directory.ceph)
    return RbdVolumes(files.conf, VOLUMES_USER, files.volumes_keyring, configuration.volume_pool,
                      local.backups / ".read", local, local.backups)


def _membership(directory: StateDirectory, configuration: Configuration) -> SimulatedMembership | None:
    """Simulated machines fail when they are told to; one or two of them can't tell who is cut off."""
    if not configuration.fails_over:
        return None
    return SimulatedMembership(directory.simulated_cluster, configuration.host_names)


def _network(directory: StateDirectory, configuration: Configuration) -> SimulatedNetwork | Northbound:
    if configuration.simulated:
        return SimulatedNetwork(directory.root / "fabric")
    from stackling.deploy.embedded import network

    paths = network.paths(directory)
    return Northbound(paths.northbound, southbound=paths.southbound)


def _external(configuration: Configuration) -> External:
    cidr = str(ipaddress.IPv4Network(configuration.floating_range))
    return External(cidr, configuration.gateway, configuration.pool, PHYSICAL_NETWORK)


def _identity(configuration: Configuration) -> IdentityConfig:
    return IdentityConfig(security=SecurityCompliance(
        lockout_failure_attempts=configuration.lockout_failure_attempts or None,
        lockout_duration=configuration.lockout_duration,
        unique_last_password_count=configuration.unique_last_password_count))
