"""Certificates of a policy's files, and those in use."""

from __future__ import annotations

import pytest

from proxy.doctor import certificates
from proxy.doctor.sidecar import Sidecar
from proxy.http.seat import Rules
from tests.e2e.authority import authority, pair
from tests.e2e.plane import policy

DAY = 86_400
HUP = "kill -HUP 7"


@pytest.fixture
def rules(tmp_path):
    """Of a lane with a certificate."""
    authority(tmp_path)
    certificate, key = pair(tmp_path, "lane")
    tls = {"certificate_file": str(certificate), "key_file": str(key)}
    return Rules.of(policy(tmp_path, {"upstream": "http://127.0.0.1:1", "tls": tls}))


@pytest.mark.parametrize(
    ("left", "state", "seen", "fix"),
    [
        (15, "ok", "14 days left", ""),
        (13, "warning", "only 12 days left", certificates.ENDED),
        (-1, "broken", "it has ended", certificates.ENDED),
    ],
)
def test_how_long(rules, left, state, seen, fix):
    (end,) = rules.ends.values()
    (row,) = certificates.rows(rules, None, HUP, end - left * DAY + 1)
    assert (row.name, row.state, row.seen, row.fix) == ("certificate lane server", state, seen, fix)


@pytest.mark.parametrize(("used", "state"), [(0, "ok"), (-30 * DAY, "broken"), (None, "ok")])
def test_the_one_in_use(rules, used, state):
    (end,) = rules.ends.values()
    labels = {"lane": "lane", "purpose": "server"}
    sidecar = Sidecar(() if used is None else ((certificates.EXPIRY, labels, end + used),))
    (row,) = certificates.rows(rules, sidecar, HUP, end - 100 * DAY)
    assert row.state == state
    assert row.fix == ("" if state == "ok" else HUP)


def test_without_certificates(tmp_path):
    assert list(certificates.rows(Rules.of(policy(tmp_path, {"upstream": "http://127.0.0.1:1"})), None, HUP)) == []
