"""S3: boto3 against a server that stores objects. Signatures, multipart uploads, presigned URLs and checksums survive;
an object with a card number in it is refused, and boto3 says why."""

from __future__ import annotations

import io
import json
import random

import pytest
import requests
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.e2e.clients.objects import BUCKET, s3
from tests.e2e.clients.stage import PAN, Stage

MIB = 2**20
CSV = "order_id,amount,card\n" + "".join(f"ROKI-20261122-{n:06},12800,************4242\n" for n in range(500))
OBJECTS = {
    "report.csv": CSV.encode(),
    "empty": b"",
    "ひらがな 1.json": json.dumps({"orders": [1, 2, 3], "placed_ms": 1763769600123}).encode(),
    "noise.bin": random.Random(7).randbytes(300_000),
}


@pytest.fixture
def client(stage):
    client = s3(stage.url("objects"))
    yield client
    client.close()
    stage.objects.empty()


@pytest.mark.parametrize("key", OBJECTS)
def test_put_and_get_clean(stage, client, key):
    """With what today's boto3 sends by default: a signed hash of the body, and a CRC."""
    answer = client.put_object(Bucket=BUCKET, Key=key, Body=OBJECTS[key])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert stage.objects.requests[0]["HTTP_AUTHORIZATION"].startswith("AWS4-HMAC-SHA256 ")
    assert any(name.startswith("HTTP_X_AMZ_CHECKSUM_") for name in stage.objects.requests[0])
    assert stage.objects.read(key) == OBJECTS[key]
    assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == OBJECTS[key]
    assert client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == len(OBJECTS[key])
    assert stage.records() == []


def test_leaking(stage, client):
    with pytest.raises(ClientError) as raised:
        client.put_object(Bucket=BUCKET, Key="report.csv", Body=CSV + f"ROKI-1,1,{PAN}\n")
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert raised.value.response["Error"]["Code"] == "AccessDenied"
    assert "holds a card number" in raised.value.response["Error"]["Message"]
    assert stage.objects.requests == []
    assert stage.verdicts("objects") == ["block"]


def test_multipart_upload_clean(stage, client):
    data = (CSV * 700).encode()[: 11 * MIB]
    transfer = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=3)
    client.upload_fileobj(io.BytesIO(data), BUCKET, "large.csv", Config=transfer)
    assert sum("partNumber" in environ["QUERY_STRING"] for environ in stage.objects.requests) == 3
    assert stage.objects.read("large.csv") == data
    got = io.BytesIO()
    client.download_fileobj(BUCKET, "large.csv", got)
    assert got.getvalue() == data
    assert stage.records() == []


def test_multipart_upload_leaking(stage, client):
    """The part with the number never arrives; boto3 gives the upload up, and no object comes into being."""
    data = CSV.encode() * 500 + f"ROKI-1,1,{PAN}\n".encode()
    with pytest.raises(Exception, match="holds a card number"):
        client.upload_fileobj(io.BytesIO(data), BUCKET, "large.csv", Config=TransferConfig(multipart_chunksize=5 * MIB))
    assert stage.objects.everything() == {}
    assert stage.verdicts("objects") == ["block"]


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_urls(stage, version):
    client = s3(stage.url("objects"), signature_version=version)
    put = client.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "up.csv"}, ExpiresIn=600)
    assert requests.put(put, data=CSV, timeout=60).status_code == 200
    get = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "up.csv"}, ExpiresIn=600)
    assert requests.get(get, timeout=60).text == CSV
    assert stage.records() == []
    answer = requests.put(put, data=f"card {PAN}", timeout=60)
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/xml")
    assert "<Code>AccessDenied</Code>" in answer.text
    assert stage.objects.everything() == {"up.csv": CSV.encode()}
    client.close()
    stage.objects.empty()


def test_a_number_in_metadata_or_key(stage, client):
    for places in ({"Key": "a.csv", "Metadata": {"card": PAN}}, {"Key": f"cards/{PAN}.csv"}):
        with pytest.raises(ClientError) as raised:
            client.put_object(Bucket=BUCKET, Body=b"x", **places)
        assert "holds a card number" in raised.value.response["Error"]["Message"]
    assert stage.objects.everything() == {}


def test_what_is_stored_there_already_does_not_come_out(stage, client):
    s3(stage.objects.url).put_object(Bucket=BUCKET, Key="old.csv", Body=f"card {PAN}")
    with pytest.raises(ClientError) as raised:
        client.get_object(Bucket=BUCKET, Key="old.csv")
    assert "is stored there already" in raised.value.response["Error"]["Message"]
    stage.objects.empty()
    assert stage.verdicts("objects") == ["block"]


def through_tls(stage: Stage, **options):
    """A client that reaches the TLS endpoint through the forward lane's tunnel, which Sekisho reads."""
    return s3(stage.objects.url_tls, verify=str(stage.ca_file), proxies={"https": stage.url("egress")}, **options)


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
def test_over_tls(stage, checksums):
    """Over https, and only there, boto3's default wraps a body into ``aws-chunked`` pieces with a checksum behind."""
    client = through_tls(stage, request_checksum_calculation=checksums)
    data = OBJECTS["noise.bin"] + CSV.encode()
    client.put_object(Bucket=BUCKET, Key="mixed.bin", Body=data)
    arrived = stage.objects.requests[0]
    pieces = "aws-chunked" in arrived.get("HTTP_CONTENT_ENCODING", "")
    assert pieces == (checksums == "when_supported")
    assert arrived["HTTP_X_AMZ_CONTENT_SHA256"].startswith("STREAMING-" if pieces else "")
    assert client.get_object(Bucket=BUCKET, Key="mixed.bin")["Body"].read() == data
    assert stage.objects.read("mixed.bin") == data
    assert stage.records() == []
    with pytest.raises(ClientError) as raised:
        client.put_object(Bucket=BUCKET, Key="report.csv", Body=f"{CSV}ROKI-1,1,{PAN}\n")
    client.close()
    assert raised.value.response["Error"]["Code"] == "AccessDenied"
    assert "holds a card number" in raised.value.response["Error"]["Message"]
    assert set(stage.objects.everything()) == {"mixed.bin"}
    stage.objects.empty()
    assert stage.verdicts("egress") == ["block"]


def test_a_number_cut_in_two_by_pieces(stage, client):
    """As a client of its own making could send it: the server joins what no piece holds alone."""
    url = client.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "cut"}, ExpiresIn=600)
    body = f"8\r\n{PAN[:8]}\r\n8\r\n{PAN[8:]}\r\n0\r\n\r\n"
    for headers in (
        {"Content-Encoding": "aws-chunked"},
        {"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
    ):
        answer = requests.put(url, data=body, headers=headers, timeout=60)
        assert answer.status_code == 403
        assert "holds a card number" in answer.text
    assert stage.objects.requests == []
