"""Names and values that stand apart: ``{"key": "cvv", "value": {"stringValue": "123"}}``, ``<th>CVV</th><td>123</td>``.

Telemetry, tag lists, form builders and tables name a value by a value beside it. Whatever the member itself is called
(``value``, ``stringValue``, ``S``) says nothing then; what stands beside it does, if it is the name of a card field.
"""

from __future__ import annotations

from detectors.keys import (
    EXPIRY_KEY_SET,
    HOLDER_KEY_SET,
    PIN_BLOCK_KEY_SET,
    SECURITY_CODE_KEY_SET,
    TRACK_KEYS,
    card_key,
    fold,
    names,
    other_key,
)

NAMING = frozenset(
    b"name key k field fieldname field_name label title id param parameter attribute attr tag property prop header"
    b" column column_name type path loc instancepath question selector element target autocomplete".split()
)
"""Members (lower case) whose text names the value beside them."""

SAYS_NOTHING = frozenset(
    b"value val v values content text data string str int integer long double float number_value stringvalue intvalue"
    b" doublevalue arrayvalue kvlistvalue bytesvalue string_value int_value s n #text $t _ $ raw default answer"
    b" rejectedvalue rejected_value invalidvalue invalid_value actual received"
    b" old new oldvalue newvalue old_value new_value before after from to current previous input selected"
    b" $numberint $numberlong $numberdouble $numberdecimal integervalue params context".split()
)
"""Members (lower case) that are called by their type or their part, not by what they hold."""

_LONGEST = 64
_KNOWN = SECURITY_CODE_KEY_SET | PIN_BLOCK_KEY_SET | EXPIRY_KEY_SET | HOLDER_KEY_SET | frozenset(map(fold, TRACK_KEYS))


def is_card_field(text: str) -> bool:
    """Whether ``text`` is the name of a card field: number, security code, expiry, holder, track, PIN block."""
    if not 1 < len(text) <= _LONGEST or text.isdigit():
        return False
    known = names("", text.lstrip("#."))
    return bool(card_key(known)) or not _KNOWN.isdisjoint(known)


def tells(text: str) -> bool:
    """Whether ``text`` names its value better than ``value`` does: a card field, or known to be none."""
    return is_card_field(text) or bool(len(text) <= _LONGEST and other_key(names("", text)))
