from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.policy.bypass import Bypass


def test_it_is_on_by_default():
    assert Bypass().model_dump() == {"watch_seconds": 2.0, "allowed_uids": (), "egress": "report"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"watch_seconds": -1},
        {"watch_seconds": 61},
        {"watch_seconds": "2"},
        {"allowed_uids": (-1,)},
        {"allowed_uids": (2**32,)},
        {"allowed_uids": (True,)},
        {"allowed_uids": ("istio",)},
        {"egress": "block"},
        {"other": 1},
    ],
    ids=str,
)
def test_what_is_refused(wrong):
    with pytest.raises(ValidationError):
        Bypass.model_validate(wrong)
