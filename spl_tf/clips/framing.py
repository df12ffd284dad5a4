"""How a TFRecord file frames a record.

A uint64 with the length of the data, a uint32 checksum of that, the data, a uint32
checksum of the data; all little-endian.
"""

from __future__ import annotations

import google_crc32c

HEADER_BYTES = 12
FOOTER_BYTES = 4


def masked_crc(data: bytes) -> int:
    """TFRecord's checksum: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
