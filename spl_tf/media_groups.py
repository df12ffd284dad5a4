"""Which clips are of one medium, as a number that fits a column of the index."""

from __future__ import annotations

import hashlib

from spl_tf.text_files import composed


def media_group(media_id: str) -> int:
    """A media id as the index has it: 63 bits of its SHA-256, the same everywhere.

    Ids are compared composed (NFC). No id gives -1: such clips have no known medium in
    common.
    """
    if not media_id:
        return -1
    content = composed(media_id).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little") >> 1
