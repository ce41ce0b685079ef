"""The image service's tables.

``document`` is the image as the API shows it, recomputed in every transaction that changes the row, so that a list
is one query and no assembly. ``tags`` and ``properties`` lie in the row for showing and in their own tables for
filtering. ``generation`` counts every change; an upload's number is the generation that began it, and names its
file in the store, so that whoever deletes a file knows by the number whether it can still be wanted.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, String, Table, UniqueConstraint, false

from stackling.store.tables.base import metadata
from stackling.store.types import Id, Instant, Json, Long, Name

images = Table(
    "images", metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name),
    Column("owner", Name),
    Column("visibility", String(16), nullable=False),
    Column("status", String(16), nullable=False),                 # cache of image.rules.status
    Column("disk_format", String(32)),
    Column("container_format", String(32)),
    Column("size", BigInteger),                                   # bytes of the file
    Column("virtual_size", BigInteger),                           # bytes of the disk that the guest sees
    Column("checksum", String(32)),                               # MD5
    Column("os_hash_algo", String(64)),
    Column("os_hash_value", String(128)),
    Column("min_disk", Integer, nullable=False, default=0, server_default="0"),       # GiB
    Column("min_ram", Integer, nullable=False, default=0, server_default="0"),        # MiB
    Column("protected", Boolean, nullable=False, default=False, server_default=false()),
    Column("os_hidden", Boolean, nullable=False, default=False, server_default=false()),
    Column("tags", Json, nullable=False),
    Column("properties", Json, nullable=False),
    Column("store", String(64)),                                  # the preferred store's name, once there is data
    Column("location", String(255)),                              # what that store calls the data
    Column("copies", Json),                                       # [[store, location], …]: the same data elsewhere
    Column("places", Integer, nullable=False, default=1, server_default="1"),         # how many times it is stored
    Column("dropped", Json),                                      # [[store, location], …]: copies not yet removed
    Column("format", String(32)),                                 # what the data really is, found by inspection
    Column("deactivated", Boolean, nullable=False, default=False, server_default=false()),
    Column("upload", BigInteger),                                 # number of the upload under way
    Column("upload_into", String(8)),                             # "file" or "stage"
    Column("upload_at", Double),                                  # when it began
    Column("upload_store", String(64)),                           # into which store; NULL: the default one
    Column("staged", BigInteger),                                 # number of the upload that lies in staging
    Column("staged_facts", Json),                                 # its size and digests
    Column("import_task", Id),                                    # the task that imports or copies it
    Column("copying", Json),                                      # what that task has still to do: model.Copying
    Column("leftover", Json),                                     # numbers of abandoned uploads, data not yet removed
    Column("deleting", Boolean, nullable=False, default=False, server_default=false()),
    Column("generation", BigInteger, nullable=False, default=1, server_default="1"),
    Column("last_error", Long),
    Column("document", Long, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_images_created_at_id", "created_at", "id"),
    Index("ix_images_owner", "owner"),
    Index("ix_images_name", "name"),
)

image_properties = Table(
    "image_properties", metadata,
    Column("image_id", Id, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("value", Long, nullable=False),
    Index("ix_image_properties_name", "name"),
)

image_tags = Table(
    "image_tags", metadata,
    Column("image_id", Id, primary_key=True),
    Column("tag", Name, primary_key=True),
    Index("ix_image_tags_tag", "tag"),
)

image_members = Table(
    "image_members", metadata,
    Column("image_id", Id, primary_key=True),
    Column("member_id", Id, primary_key=True),
    Column("status", String(16), nullable=False),                 # pending, accepted, rejected
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_image_members_member_id", "member_id"),
)

image_tasks = Table(
    "image_tasks", metadata,
    Column("id", Id, primary_key=True),
    Column("image_id", Id),
    Column("type", String(32), nullable=False),
    Column("status", String(16), nullable=False),                 # pending, processing, success, failure
    Column("owner", Name),
    Column("user_id", Id),
    Column("request_id", String(64)),
    Column("input", Json),
    Column("result", Json),
    Column("message", Long, nullable=False),
    Column("expires_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_image_tasks_image_id", "image_id"),
    Index("ix_image_tasks_created_at", "created_at"),
)

metadef_namespaces = Table(
    "image_metadef_namespaces", metadata,
    Column("id", Id, primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("display_name", Name),
    Column("description", Long),
    Column("visibility", String(16), nullable=False),             # public, private
    Column("protected", Boolean, nullable=False, default=False, server_default=false()),
    Column("owner", Name),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("namespace"),
    Index("ix_image_metadef_namespaces_created_at_id", "created_at", "id"),
)

metadef_items = Table(
    "image_metadef_items", metadata,
    Column("namespace_id", Id, primary_key=True),
    Column("kind", String(16), primary_key=True),                 # object, property, tag, resource_type
    Column("name", Name, primary_key=True),
    Column("content", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_image_metadef_items_kind_name", "kind", "name"),
)
"""What a namespace defines, by its kind; and which resource types it applies to."""
