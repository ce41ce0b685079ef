"""The guest disk's boot record."""

import pytest

from stackling.deploy.guest.disk import Partition, boot_record


def test_boot_record_has_code_table_and_signature() -> None:
    record = boot_record(b"\xfa\x31", [Partition(2048, 40960, 0x0E, bootable=True), Partition(43008, 49152, 0x83)])
    assert len(record) == 512
    assert record[:3] == b"\xfa\x31\0"
    assert record[510:] == b"\x55\xaa"
    first, second, third = (record[446 + 16 * n : 462 + 16 * n] for n in range(3))
    assert (first[0], first[4]) == (0x80, 0x0E)
    assert (second[0], second[4]) == (0x00, 0x83)
    assert int.from_bytes(second[8:12], "little") == 43008
    assert int.from_bytes(second[12:16], "little") == 49152
    assert third == bytes(16)


def test_code_that_would_overwrite_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="440 bytes"):
        boot_record(bytes(441), [])
