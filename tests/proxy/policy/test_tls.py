"""TLS of a lane in a policy: each key of the model, and which belong together."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from proxy.policy.tls import PAIRS, Tls


def test_files_are_taken_from_the_directory_of_the_policy():
    made = Tls.model_validate({name: f"{name}.pem" for name in Tls.model_fields}, context={"base": Path("/etc/x")})
    assert {name: str(path) for name, path in made} == {name: f"/etc/x/{name}.pem" for name in Tls.model_fields}


def test_what_is_not_known_is_refused():
    with pytest.raises(ValidationError):
        Tls.model_validate({"insecure": True})


def test_the_pairs_are_of_the_model():
    assert {name for pair in PAIRS for name in pair} <= set(Tls.model_fields)
    assert all(certificate.replace("certificate", "key") == key for certificate, key in PAIRS)
