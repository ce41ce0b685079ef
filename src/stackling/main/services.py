"""Which APIs a control process serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api import policies
from stackling.api.route import Service
from stackling.api.stackling.feed import Feed
from stackling.image.facade import ImageSettings
from stackling.main import images as image_stores

if TYPE_CHECKING:
    from stackling.main.wiring import Plant


def public(plant: Plant, feed: Feed | None = None) -> list[Service]:
    """What clients use; *feed* is the process's own. Raises ``PolicyFileError`` for an administrator's rules that can't
    be read."""
    from stackling.api.compute.service import service as compute
    from stackling.api.identity.service import service as identity
    from stackling.api.image.service import service as image
    from stackling.api.loadbalancer.service import service as load_balancer
    from stackling.api.network.service import service as network
    from stackling.api.placement.service import service as placement
    from stackling.api.stackling.service import service as stackling
    from stackling.api.volume.service import service as volume
    from stackling.store import audit, changes, in_hand, timeline

    keystone = identity(plant.identity, oidc=plant.oidc(), trusted_dashboards=plant.deployment.trusted_dashboards)
    found = [keystone, compute(), network(), image(images(plant)), placement(), load_balancer(),
             volume(), stackling(
                 timeline.explain, timeline.owner, plant.deployment.availability, feed=feed or Feed(changes),
                 lines=audit.find, configured=plant.deployment.configured, in_hand=in_hand.find)]
    if plant.deployment.policies is not None:
        for one in found:
            one.policy.follow(plant.deployment.policies / policies.file_name(one.name))
    return found


def images(plant: Plant) -> ImageSettings:
    """What the configuration says about images."""
    deployment = plant.deployment
    web = ("web-download",) if deployment.web_download else ()
    regions = ("glance-download",) if deployment.glance_download else ()
    copies = ("copy-image",) if image_stores.several(deployment) else ()
    return ImageSettings(
        import_methods=("glance-direct", *web, *regions, *copies), stores=image_stores.facts(deployment),
        default_store=image_stores.default(deployment),
        require_image_format_match=deployment.require_image_format_match)


def internal(plant: Plant) -> list[Service]:
    """What agents use; never on the public port."""
    from stackling.api.internal.service import service

    return [service(plant.wakeups)]
