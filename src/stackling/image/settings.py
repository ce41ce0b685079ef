"""What an operator sets about images."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MIB = 1 << 20
TIB = 1 << 40


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """A store as the API shows it. ``type`` is Glance's word (file, rbd); ``properties`` are for administrators."""

    id: str
    type: str = "file"
    description: str = ""
    weight: int = 0
    properties: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Limits and choices; the names are Glance's where it has the option."""

    image_size_cap: int = TIB
    """Most bytes that one upload may have."""
    virtual_size_cap: int = TIB
    """Most bytes that the disk inside an image may have."""
    image_property_quota: int = 128
    """Most custom properties of an image; negative: no limit."""
    image_tag_quota: int = 128
    """Most tags of an image; negative: no limit."""
    image_member_quota: int = 128
    """Most members of an image; negative: no limit."""
    image_count_total: int = -1
    """Most images of a project; -1: no limit."""
    image_size_total: int = -1
    """Most MiB of stored images of a project; -1: no limit."""
    require_image_format_match: bool = True
    """Whether data that isn't what ``disk_format`` says is refused. Dangerous data is refused always."""
    limit_param_default: int = 25
    """Images on a page when the client names no limit."""
    api_limit_max: int = 1000
    """Most images on a page."""
    upload_stall_timeout: float = 60.0
    """Seconds without a byte after which an upload is given up."""
    disk_formats: tuple[str, ...] = (
        "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
    container_formats: tuple[str, ...] = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
    import_methods: tuple[str, ...] = ("glance-direct",)
    """Also ``web-download`` and ``glance-download``, where an administrator allows them, and ``copy-image``, where
    there are several stores."""
    stores: tuple[StoreFacts, ...] = (StoreFacts("local"),)
    """The stores that take images, in the order in which they are shown."""
    default_store: str = "local"
    """The one that takes them unless another is named."""
    download_timeout: float = 3600.0
    """Seconds that fetching an image from the web may take."""

    @property
    def store_names(self) -> tuple[str, ...]:
        """What the stores are called."""
        return tuple(store.id for store in self.stores)
