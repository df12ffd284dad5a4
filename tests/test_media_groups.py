import hashlib

from spl_tf.media_groups import media_group


def test_a_group_is_63_bits_of_the_composed_id_s_sha_256():
    for name in ("abc", "caf\u00e9", "caf\\xe9"):
        digest = int(hashlib.sha256(name.encode()).hexdigest()[:16], 16)
        swapped = int.from_bytes(digest.to_bytes(8, "big"), "little")
        assert media_group(name) == swapped // 2
        assert 0 <= media_group(name) < 2**63
    assert media_group("cafe\u0301") == media_group("caf\u00e9")
    assert media_group("abc") != media_group("abd")


def test_clips_without_an_id_are_of_no_group():
    assert media_group("") == -1
