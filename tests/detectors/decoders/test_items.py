import pytest

from detectors.decoders.items import ARRAY, BREAK, DEEPEST, INTEGER, MAP, OTHER, TEXT, Format, Nest, peels, read, survey
from tests.detectors.decoders.peeling import ask

DATA = b"abcdefghijklmnopqrstuvwxyz"


def fed(*made):
    """A stream of the given items; a text is one letter of ``DATA``, by its position."""

    def items(data, asked):
        for at, item in enumerate(made):
            yield None if item is None else (item[0], at, at, at + 1, item[1] if len(item) > 1 else 0, None)

    return items


def form(*made):
    return Format("form", fed(*made), lambda size: b"", lambda size: b"", lambda value: b"0")


def places(*made):
    nest = Nest()
    return [(nest.path(), nest.key, nest.parent, naming) for _, naming in read(DATA, fed(*made), ask(), nest)]


T, NUMBER = (TEXT,), (INTEGER, 7)


def test_arrays_count_their_elements():
    assert places((ARRAY, 2), T, (ARRAY, 1), NUMBER) == [("$[0]", "", "", False), ("$[1][0]", "", "", False)]


def test_maps_name_their_values_and_arrays_hand_the_name_on():
    assert places((MAP, 2), T, T, T, (ARRAY, 2), NUMBER, (MAP, 1), T, NUMBER) == [
        ("$.b", "b", "", True), ("$.b", "b", "", False), ("$.d", "d", "", True), ("$.d[0]", "d", "", False),
        ("$.d[1].h", "h", "d", True), ("$.d[1].h", "h", "d", False),
    ]  # fmt: skip


def test_items_in_a_row_are_documents():
    assert [path for path, *_ in places((ARRAY, 1), NUMBER, (ARRAY, 1), NUMBER)] == ["$[0]", "[1].$[0]"]


def test_what_names_no_length_ends_with_a_break():
    assert [path for path, *_ in places((ARRAY, -1), NUMBER, (MAP, -1), T, NUMBER, (BREAK,), NUMBER, (BREAK,), (ARRAY, 1), NUMBER)] == [
        "$[0]", "$[1].d", "$[1].d", "$[2]", "[1].$[0]",
    ]  # fmt: skip


def test_empty_arrays_and_maps_are_values():
    assert [path for path, *_ in places((MAP, 3), T, (ARRAY, 0), T, (MAP, 0), T, NUMBER)][-1] == "$.f"
    assert [path for path, *_ in places((ARRAY, 3), (ARRAY, 0), (MAP, 0), NUMBER)] == ["$[2]"]


def test_names_may_be_numbers_or_anything():
    assert [
        key for _, key, _, naming in places((MAP, 3), NUMBER, T, (OTHER,), T, (ARRAY, 1), NUMBER, T) if not naming
    ] == ["7", "", "", ""]


@pytest.mark.parametrize(
    "made", [((ARRAY, 2), T), ((MAP, 1), T), ((BREAK,),), ((ARRAY, 1), (BREAK,)), (T, None), ((ARRAY, -1), T)]
)
def test_what_breaks_off_breaks(made):
    assert list(read(DATA, fed(*made), ask(), Nest()))[-1] is None
    assert survey(DATA, form(*made), ask(), declared=True) is None
    assert list(peels(DATA, form(*made), ask()))[-1] is None


def test_undeclared_bytes_are_arrays_or_maps_with_something_in_them():
    assert survey(DATA, form((ARRAY, 1), T), ask(), declared=False) is not None
    assert survey(DATA, form((ARRAY, 1), (INTEGER, 10**13)), ask(), declared=False) is not None
    assert survey(DATA, form((ARRAY, 1), NUMBER), ask(), declared=False) is None
    assert survey(DATA, form(T), ask(), declared=False) is None
    assert survey(DATA, form(T), ask(), declared=True) is not None


def test_a_deep_path_shows_its_ends():
    (path,) = [place for place, *_ in places(*[(ARRAY, 1)] * 100, NUMBER)]
    assert path == "$" + "[0]" * 32 + ".." + "[0]" * 32


def test_nesting_that_no_library_reads_is_broken():
    assert places(*[(ARRAY, 1)] * DEEPEST, NUMBER)
    assert list(read(DATA, fed(*[(ARRAY, 1)] * (DEEPEST + 1), NUMBER), ask(), Nest()))[-1] is None


def test_only_values_with_a_hit_are_children():
    stream = form((ARRAY, 3), T, T, T)
    assert [peel.data for peel in peels(DATA, stream, ask())] == [b"b", b"c", b"d"]
    assert [peel.data for peel in peels(DATA, stream, ask("", 2))] == [b"c"]
    assert [peel.path for peel in peels(DATA, stream, ask("", 1, 3))] == ["$[0]", "$[2]"]


def test_odd_names_are_quoted_and_numbers_in_them_starred():
    found = [path for path, *_ in places((MAP, 1), T, NUMBER)]
    assert found == ["$.b", "$.b"]
    data = b"a b'4111111111111111"

    def items(_, asked):
        yield (MAP, 0, 0, 0, 1, None)
        yield (TEXT, 0, 0, 4, 0, None)
        yield (MAP, 4, 4, 4, 1, None)
        yield (TEXT, 4, 4, 20, 0, None)
        yield (INTEGER, 19, 19, 20, 7, None)

    nest = Nest()
    assert [nest.path() for _ in read(data, items, ask(), nest)][-1] == "$['a b\\'']['****************']"
