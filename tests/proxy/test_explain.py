from __future__ import annotations

import io
import json
import sys

import pytest

from proxy import cli
from proxy.explain import main

N = "4012888888881881"


def run(capsys, file, **options):
    code = main(str(file), **{"as_json": False, "content_type": "", "content_encoding": "", **options})
    return code, capsys.readouterr().out


def test_findings_rejections_and_counts_as_text(tmp_path, capsys):
    file = tmp_path / "a.json"
    file.write_text(f'{{"note":"Visa {N}","order_id":"5555555555554444","x":"9999888877776666"}}')
    code, text = run(capsys, file, content_type="application/json")
    assert code == 1
    assert text == (
        "PAN visa: 401288******1881  $.note, bytes 14 to 30\n"
        "  for      issuer, length, luhn, published test number, card word (visa)\n"
        "\n"
        "PAN mastercard, doubtful: 555555******4444  $.order_id, bytes 44 to 60\n"
        "  for      issuer, length, luhn, published test number\n"
        "  against  key says otherwise (orderid)\n"
        "\n"
        "no card number: 999988******6666  $.x, bytes 67 to 83\n"
        "  against  issuer: no brand begins so\n"
        "\n"
        "1 certain, 1 doubtful, 1 considered and dropped, 0 not inspected\n"
    )


@pytest.mark.parametrize(
    ("body", "options", "code", "last"),
    [
        (b"nothing here", {}, 0, "0 certain, 0 doubtful, 0 considered and dropped, 0 not inspected"),
        (b"order 9999888877776666", {}, 0, "0 certain, 0 doubtful, 1 considered and dropped, 0 not inspected"),
        (b"x", {"content_encoding": "gzip"}, 1, "0 certain, 0 doubtful, 0 considered and dropped, 1 not inspected"),
    ],
)
def test_exit_codes(tmp_path, capsys, body, options, code, last):
    file = tmp_path / "a"
    file.write_bytes(body)
    got, text = run(capsys, file, **options)
    assert (got, text.splitlines()[-1]) == (code, last)


def test_json_from_standard_input(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"pay {N}".encode())))
    code, text = run(capsys, "-", as_json=True)
    document = json.loads(text)
    assert code == 1
    assert N not in text
    assert [(row["entity"], row["verdict"], row["start"], row["end"]) for row in document["found"]] == [
        ("PAN", "high", 4, 20)
    ]
    assert document["rejected"] == document["gaps"] == []


def test_the_command(tmp_path, capsys, monkeypatch):
    file = tmp_path / "a.txt"
    file.write_text(f"card {N}")
    for arguments, code in ((["explain", str(file)], 1), (["explain", str(tmp_path / "none")], 2), (["explain", N], 2)):
        monkeypatch.setattr(sys, "argv", ["sekisho", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == code
    captured = capsys.readouterr()
    assert "401288******1881" in captured.out
    missing, number = captured.err.splitlines()
    assert missing.endswith("/none: cannot be read: No such file or directory")
    assert N not in number
    assert number.endswith(" (a number to be explained goes to standard input: sekisho explain -)")
