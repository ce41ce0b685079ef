"""Samples of what clients send who mean no good, or know no better: for every service and every database."""

from __future__ import annotations

from typing import Any

# -- bodies

DEEP = b"[" * 100_000 + b"]" * 100_000
BROKEN: list[bytes] = [
    b"{", b"}", b"[", b"nul", b'{"a":', b'{"a":1,}', b"{'a':1}", b'"', b"\xff\xfe", b'{"a":"\xff"}',
    b"\xef\xbb\xbf{}", b"NaN", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":1e}', b'{"a":01}',
    b'{"a":"\\ud800"}', b'{"a":"\\x"}', b'{"a":"\x01"}', b'{"a":1}{"b":2}', b"\x00", b"<?xml version='1.0'?><a/>",
    b"a=b&c=d", DEEP, b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
]
"""No JSON."""

SHAPES: list[bytes] = [
    b"[]", b"{}", b"null", b"true", b'""', b'"x"', b"0", b"-1", b"1e400", b"1" * 5000, b"-" + b"9" * 400, b"[[]]",
    b"[{}]", b"[null]", b'{"":null}', b'{"\\u0000":1}', b'{"a":"\\u0000"}', b'{"a":{"a":{"a":[]}}}', b'["a","b"]',
    b'{"a":1,"a":2}', b'{"__class__":1}', b'[{"op":"add"}]', b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
]
"""JSON that no route wants."""

WRONG: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**31, 2**63, 2**64, -(2**70), 10**400, 1e308, "", " ", "x", "x" * 10_000, "\x00",
    "a\x00b", "\n", "\u202e", "💩", "\ud800", "'; drop table servers; --", "../../etc/passwd", "$(reboot)", "%s%n",
    "{0.__class__}", [], [[]], [None], [1], ["x"] * 300, {}, {"": ""}, {"a": {"a": {}}}, {"x" * 300: "y"}, ["a", "a"],
    "-1", "1" * 30, "0.0.0.0/0", "::", "2020-02-30T00:00:00Z", "\u00b2", "+5", "Infinity", "169.254.169.254",
    "default", "http://127.0.0.1/",
]
"""Values for any place in a body."""

EXTRA = (
    "unknown", "id", "project_id", "status", "revision_number", "created_at", "x" * 10_000, "\x00", "", "__proto__",
    "deleting", "generation",
)
"""Names that a body may have beside its own."""

MEDIA = (
    "text/plain", "application/xml", "application/x-www-form-urlencoded", "*/*", "json", ";", "x" * 5000,
    "multipart/form-data; boundary=x", "application/json-patch+json",
)

# -- headers, paths, queries

HEADERS: list[tuple[str, str]] = [
    *(("OpenStack-API-Version", value) for value in (
        "compute", "compute x", "compute 2", "compute 2.1.1", "compute 99.99", "compute -1.0", "compute 2.01", "2.1",
        "compute " + "9" * 5000, "compute 2.1, compute 2.2", ",,,", "compute latest latest", "compute\t2.1", "é",
        "compute 2.\u00b2", "volume 3.0", "compute 0.0", "compute 2.99999",
    )),
    *(("X-OpenStack-Nova-API-Version", value) for value in ("x", "9.9", "latest", "2.\u00b2", "1" * 9000)),
    *(("X-Openstack-Request-Id", value) for value in ("x", "req-" + "a" * 9000, "req-1\r\nSet-Cookie: a=b")),
    *(("If-Match", value) for value in (
        "x", "revision_number=", "revision_number=x", "revision_number=" + "9" * 5000, "*", "revision_number=-1",
        "revision_number=\u00b2",
    )),
    *(("If-None-Match", value) for value in ("x", "*")),
    *(("If-Modified-Since", value) for value in ("x", "0")),
    *(("Range", value) for value in (
        "x", "bytes=", "bytes=9-1", "bytes=-", "bytes=a-b", "bytes=0-9999999999999999999", "bytes=" + "0-1," * 3000,
        "bytes=-0", "bytes=\u00b2-3", "lines=1-2",
    )),
    *(("Content-Length", value) for value in ("x", "-1", "1.5", "\u00b2", "9" * 5000)),
    *(("Accept", value) for value in ("x", "application/xml", "*/*;q=x", ";;;", "a" * 9000)),
    *(("Accept-Language", value) for value in ("x", "é;q=9")),
    ("Expect", "100-continue"),
    *(("X-Forwarded-Proto", value) for value in ("x", "javascript", "https, http")),
    ("Forwarded", "proto=;;;host="),
    ("Forwarded", 'for="[::1'),
    ("X-Forwarded-Host", "evil.example"),
    ("Host", ""),
    ("Host", "a:b:c"),
    ("Transfer-Encoding", "x"),
    ("X-Subject-Token", "x"),
    ("X-Image-Meta-Location", "file:///etc/passwd"),
    ("X-Project-Id", "x"),
    ("X-User-Id", "x"),
    ("X-Roles", "admin"),
    ("X-Is-Admin-Project", "True"),
    ("X-Service-Token", "x"),
    ("Cookie", "a" * 9000),
    ("X-HTTP-Method-Override", "DELETE"),
]

PLACES = [
    "..%2f..%2fetc%2fpasswd", "..", "%2e%2e", "%00", "a%00b", "%0a%0d", "%ff%fe", "%ed%a0%80", "x" * 10_000, "%25",
    "-1", "0", "99999999999999999999999", "1%27%20or%201=1--", "%2f", ".", "*", "%20", "null", "None", "%F0%9F%92%A9",
    "00000000-0000-0000-0000-000000000000", "{id}", "%7Bid%7D", "a%3Bb", "\u00b2", "1.5", "1e5", "NaN", "%E2%80%AE",
    "0x10", "true", "[]", "id%0aX-Evil:%201",
]
"""Texts for any place in a path."""

FILTERS = (
    "limit", "marker", "sort_key", "sort_dir", "sort", "fields", "name", "id", "status", "page_reverse", "page_size",
    "project_id", "tenant_id", "user_id", "changes-since", "changes-before", "created_at", "updated_at", "tags",
    "tags-any", "not-tags", "all_tenants", "deleted", "flavor", "image", "ip", "ip6", "host", "fixed_ips",
    "network_id", "mtu", "port_range_min", "ip_version", "shared", "router:external", "admin_state_up",
    "revision_number", "size_min", "size_max", "visibility", "member_status", "protected", "os_hidden", "disk_format",
    "checksum", "owner", "enabled", "domain_id", "parent_id", "is_domain", "parents_as_list", "subtree_as_ids",
    "effective", "scope.project.id", "scope.system", "user.id", "role.id", "include_names", "include_subtree",
    "password_expires_at", "name__contains", "type", "interface", "minRam", "minDisk", "is_public", "detailed",
    "start", "end", "reserved", "usage_type", "hypervisor_hostname_pattern", "with_servers", "binary",
    "availability_zone", "locked", "power_state", "launch_index", "vm_state", "task_state",
    "provider:segmentation_id", "binding:host_id", "device_id", "mac_address", "security_groups", "allow",
    "nocatalog", "group.id", "unknown", "__class__", "", "_x", "metadata", "tag", "not-tags-any",
)

VALUES = [
    "", "x", "-1", "0", "1", "99999999999999999999999", "1.5", "1e5", "NaN", "true", "null", "%00", "a%00b", "%ff",
    "%ed%a0%80", "%27", "%25", "%5C", "(a+)+$", "[", "*", "x" * 10_000, "%F0%9F%92%A9", "in:a,b", "in:", "gt:x",
    "gte:2020", "neq:", "in:%22", "2020-01-01T00:00:00Z", "9999999-01-01", "0001-01-01T00:00:00%2B23:59", "[]",
    "%C2%B2", "%E2%88%921", "+5", "5_0", "%0a", "asc", "id", "id:asc", "name:,", "0-0-0",
]
"""Values for any filter."""

QUERIES = (
    "&&&", "=", "=&=", "a=1&" * 999, "a=1&" * 2000, "%", "%zz", "a=%zz", "?", "limit=1&limit=2",
    "sort_key=id&sort_key=name&sort_dir=asc", "x" * 60_000, "\x7f", "limit[]=1", ";a=b",
)
"""Queries as a whole."""
