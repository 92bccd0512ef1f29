import pytest

from detectors.decoders.survey import Lines, Survey, spelled


def test_lines_know_where_their_values_stand():
    lines = Lines()
    lines.add(b"", b"one", 10, 13)
    lines.add(b"cvv: ", b"123", 40, 43)
    lines.add(b"", b"two", 50, 53)
    text = lines.text()
    assert text == b"one\ncvv: 123\ntwo\n"
    assert list(lines.spans()) == [(10, 13), (40, 43), (50, 53)]
    assert len(lines) == 3
    ends = {"one": 3, "cvv": 7, "123": 12, "two": 16}
    assert {name: lines.at([end]) for name, end in ends.items()} == {"one": [10], "cvv": [40], "123": [40], "two": [50]}
    assert sorted(lines.at([2, 3, 16])) == [10, 50]
    assert lines.at([]) == []
    assert Lines().at([5]) == []


def test_texts_and_other_bytes_are_kept_apart():
    found = Survey()
    assert not found.telling
    assert not found.substantial
    found.add(b"", b"\xff\x00", 3, 5, text=False)
    assert not found.telling
    assert found.substantial
    found.add(b"a: ", b"text", 7, 11, text=True)
    assert found.telling
    assert (found.text.text(), found.other.text()) == (b"a: text\n", b"\xff\x00\n")
    found.pieces[3] = b"\xff\x00"
    assert list(found.blobs(bytes(40))) == [(3, b"\xff\x00")]
    found.number(b"n: ", b"4111", 20, 24)
    assert list(found.text.spans()) == [(7, 11), (20, 24)]
    assert found.solid == [(7, 11), (3, 5)]


def test_values_that_count_beside_a_card_number_are_told():
    found = Survey()
    for n, name in enumerate(("holder_name", "note", "expiry")):
        found.add(found.label("", name), b"value", n, n + 5, text=True)
    found.number(found.label("card", "cid"), b"123", 30, 31)
    assert found.beside == [0, 2, 30]


@pytest.mark.parametrize(
    ("parent", "key", "label"),
    [
        ("", "", b""),
        ("", "cvv", b"cvv: "),
        ("card", "number", b"card.number: "),
        ("", "Card_No", b"cardno: "),
        ("x", "", b""),
    ],
)
def test_labels_read_like_text(parent, key, label):
    found = Survey()
    assert found.label(parent, key) == label
    assert found.label(parent, key) == label


def test_labels_of_many_names_stay_right():
    found = Survey()
    for n in range(9000):
        assert found.label("", f"key {'a' * (n % 50)}x") == spelled(
            f"$.key {'a' * (n % 50)}x", f"key {'a' * (n % 50)}x"
        )
