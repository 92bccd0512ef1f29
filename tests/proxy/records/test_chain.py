from __future__ import annotations

from proxy.records.chain import GENESIS, chain_key, seal, seal_head, unseal, unseal_head

SECRET = b"a key that is only used in tests"
KEY = chain_key(SECRET)


def test_seal_and_unseal_are_inverse():
    line, link = seal({"seq": 4, "prev": GENESIS, "kind": "start", "gaps": []}, KEY)
    found = unseal(line[:-1], KEY)
    assert found is not None
    assert (found.seq, found.prev, found.hash, found.kind, found.gaps) == (4, GENESIS, link, "start", [])
    assert unseal(line[:-1], b"another key") is None


def test_heads_have_one_length_whatever_they_say():
    assert {len(seal_head(seq, GENESIS, KEY)) for seq in (0, 1, 10**12)} == {151}
    assert unseal_head(seal_head(7, "ab" * 32, KEY), KEY) == (7, "ab" * 32)
