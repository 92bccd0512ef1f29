import pytest

from detectors.decoders.part_names import MOST, names_of


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ([], []),
        ([(b"filename", b"x")], []),
        ([(b"name", b"cvv")], ["cvv"]),
        ([(b"name", b'c\\"v')], ['c"v']),
        ([(b"name", b"cvv"), (b"name", b"cvv")], ["cvv"]),
        ([(b"name", b"a"), (b"name", b"cvv")], ["a", "cvv"]),
        ([(b"name", b"100%")], ["100%"]),
        ([(b"name", b"c%76v")], ["c%76v", "cvv"]),
        ([(b"name", b"=?utf-8?B?Y3Z2?=")], ["=?utf-8?B?Y3Z2?=", "cvv"]),
        ([(b"name", b"=?utf-8?B?A?=")], ["=?utf-8?B?A?="]),
        ([(b"name", b"=?no-charset?Q?c=76v?=")], ["=?no-charset?Q?c=76v?=", "cvv"]),
        ([(b"name*", b"utf-8'en'c%76v")], ["cvv"]),
        ([(b"name*", b"no-charset''c%76v")], ["cvv"]),
        ([(b"name*", b"cvv")], ["cvv"]),
        ([(b"name*1", b"v"), (b"name*0", b"cv")], ["cvv"]),
        ([(b"name*0*", b"utf-8''c%76"), (b"name*1", b"%76"), (b"name*2*", b"%76")], ["cv%76v"]),
        ([(b"name*x", b"cvv"), (b"names", b"cvv")], []),
        ([(b"name", "カード番号".encode())], ["カード番号"]),
        ([(b"name", b"\xff")], ["\ufffd"]),
    ],
)
def test_names(parameters, names):
    assert names_of(parameters) == names


def test_one_more_than_are_read():
    assert len(names_of([(b"name", b"n%d" % n) for n in range(99)])) == MOST + 1
