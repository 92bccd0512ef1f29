"""What deploy/compose.yaml promises: who is reached by whom, what each container may do, and that its parts agree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from proxy.policy import load
from tests.deploy.docker.dockerfile import shipped
from tests.deploy.prometheus.servers import need
from tests.sidecar import ROOT

DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text()
DOCUMENT = yaml.safe_load(TEXT)
SERVICES = DOCUMENT["services"]
POLICY = yaml.safe_load((DEPLOY / "compose/sekisho/sekisho.yaml").read_text())
LOCAL = "127.0.0.1:"


def neighbours(name: str) -> set[str]:
    """Whom the service shares a network with."""
    mine = set(SERVICES[name].get("networks", []))
    return {other for other, service in SERVICES.items() if other != name and mine & set(service.get("networks", []))}


def test_compose_takes_it(tmp_path):
    """Compose 2 as it is; Compose 1 (which Debian 12 has) does not know the project's name."""
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("apt-get install --no-install-recommends docker-compose")
    version = subprocess.run([program, "version", "--short"], capture_output=True, text=True, check=True).stdout
    text = TEXT.replace("name: sekisho\n", "", 1) if version.startswith("1.") else TEXT
    (tmp_path / "compose.yaml").write_text(text)
    ran = subprocess.run(
        [program, "-f", tmp_path / "compose.yaml", "config"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert set(yaml.safe_load(ran.stdout)["services"]) == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_may_do_little(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.keys() & {"privileged", "cap_add", "devices", "pid", "ipc", "user"} == set()
    assert re.search(r":(\$\{\w+:-)?v?\d+\.\d+\.\d+\}?$|:-sekisho:\d+\.\d+\.\d+\}$", service["image"])
    assert "healthcheck" in service or service["restart"] == "no"
    for port in service.get("ports", []):
        assert port.startswith(LOCAL), port


def test_the_backend_has_nobody_but_sekisho():
    assert neighbours("shop") == {"sekisho"}
    assert all(DOCUMENT["networks"][network]["internal"] for network in SERVICES["shop"]["networks"])


@pytest.mark.parametrize("name", ["loki", "stores", "gmo"])
def test_what_is_behind_sekisho_is_reached_by_no_backend(name):
    assert "sekisho" in neighbours(name)
    assert "shop" not in neighbours(name)


def test_each_upstream_is_a_service_beside_sekisho():
    hosts = {urlsplit(lane["upstream"]).hostname for lane in POLICY["lanes"]}
    assert hosts == {"loki", "stores", "gmo", "shop"}
    assert hosts <= neighbours("sekisho")


def test_the_backend_is_told_the_lanes_addresses_and_no_others():
    told = {port for host, port in re.findall(r'"http://(\w+):(\d+)"', STUB) if host == "sekisho"}
    assert told == {lane["listen"].rpartition(":")[2] for lane in POLICY["lanes"]}


STUB = (DEPLOY / "compose/stub.py").read_text()


def test_each_stub_has_its_role():
    roles = {service["command"][0] for service in SERVICES.values() if "/stub.py" in service.get("entrypoint", [])}
    assert roles == set(re.findall(r"^async def (\w+)\(_?client", STUB, re.MULTILINE))


def test_what_is_mounted_is_there():
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), source
                assert mount.endswith(":ro"), mount
            else:
                assert source in DOCUMENT["volumes"]


def test_sekisho_is_the_image_that_is_built():
    stage = shipped()[1][-1]
    build = SERVICES["sekisho"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    assert SERVICES["sekisho"]["healthcheck"]["test"] == ["CMD", *stage.last("HEALTHCHECK").words()]
    volume = stage.last("VOLUME").words()[0]
    assert f"records:{volume}" in SERVICES["sekisho"]["volumes"]
    assert POLICY["audit"]["path"].startswith(volume)
    assert SERVICES["key"]["entrypoint"][0] == stage.last("HEALTHCHECK").words()[0]


def test_the_environment_example_holds_every_variable_with_its_default():
    used = dict(re.findall(r"\$\{(\w+):-([^}]+)\}", TEXT))
    assert len(used) == len(set(re.findall(r"\$\{(\w+)", TEXT)))
    example = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert example == used


def test_keys_are_made_once_and_the_policy_is_good_with_them(tmp_path):
    keys = [tmp_path / name for name in ("fingerprint.key", "page.token")]
    make = [sys.executable, "-I", DEPLOY / "compose/key.py", *keys]
    subprocess.run(make, check=True, capture_output=True)
    first = [key.read_bytes() for key in keys]
    assert subprocess.run(make, check=True, capture_output=True).stdout == b""
    assert [key.read_bytes() for key in keys] == first
    assert first[0] != first[1]
    text = (DEPLOY / "compose/sekisho/sekisho.yaml").read_text().replace("/run/keys", str(tmp_path))
    (tmp_path / "sekisho.yaml").write_text(text)
    assert len(load(tmp_path / "sekisho.yaml").lanes) == 5


def test_prometheus_reads_what_is_shipped_at_these_addresses(tmp_path):
    ours = yaml.safe_load((DEPLOY / "compose/prometheus.yml").read_text())
    theirs = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    addresses = {"127.0.0.1:9464": "sekisho:9464", "127.0.0.1:9093": "alertmanager:9093"}
    expected = json.loads(re.sub("|".join(addresses), lambda found: addresses[found[0]], json.dumps(theirs)))
    assert ours | {"global": None} == expected | {"global": None}
    for source, target, *_ in (mount.split(":") for mount in SERVICES["prometheus"]["volumes"]):
        if source.startswith("./"):
            shutil.copy(DEPLOY / source, tmp_path / Path(target).name)
    checked = subprocess.run(
        [need("promtool"), "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_alertmanager_tells_the_pager():
    ours = (DEPLOY / "compose/alertmanager.yml").read_text()
    theirs = (DEPLOY / "prometheus/alertmanager.yml").read_text()
    assert yaml.safe_load(ours) == yaml.safe_load(theirs.replace("http://127.0.0.1:9095/", "http://pager:8000/"))
    checked = subprocess.run(
        [need("amtool"), "check-config", DEPLOY / "compose/alertmanager.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_grafana_has_the_dashboards_and_their_data_source():
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/sekisho.yaml").read_text())["providers"][0]
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    sources = yaml.safe_load((DEPLOY / "compose/datasources.yaml").read_text())["datasources"]
    assert [source["uid"] for source in sources] == ["prometheus", "loki"]
    for source in sources:
        assert urlsplit(source["url"]).hostname in neighbours("grafana")
