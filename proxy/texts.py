"""Every text that a reader of the inspector page sees, and every advice of a refusal, in English and Japanese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Lang = Literal["en", "ja"]


class Text(NamedTuple):
    """One text in both languages."""

    en: str
    ja: str


_STORED = Text(
    "Card data is stored there already. Find out how it got there, and delete it (PCI DSS 12.10.7).",
    "カード情報がすでに保存されています。経路を調べ、削除してください(PCI DSS 12.10.7)。",
)

TEXTS: Mapping[str, Text] = {
    # What to do about card data, by role and direction (``proxy.advice``).
    "fix.shop.request": Text(
        "Card data must not reach the shop (通過). Let the page give the card to GMO's token script, and post only "
        "the token that it returns.",
        "カード情報をショップに通過させてはいけません。画面からGMOのトークン用スクリプトにカード情報を渡し、"
        "返されたトークンだけを送信してください。",
    ),
    "fix.shop.response": Text(
        "The shop's answer must not hold card data. To show a registered card, use the masked number that GMO's "
        "SearchCard returns.",
        "ショップの応答にカード情報を含めてはいけません。登録済みカードの表示には、GMOのSearchCardが返すマスク済み番号を"
        "使ってください。",
    ),
    "fix.payment-gateway.response": Text(
        "The payment gateway answered with card data that is not masked. Do not store the answer; ask the gateway "
        "for the masked form, and treat this as an incident.",
        "決済代行会社がマスクされていないカード情報を返しました。応答を保存せず、マスク済みの形式を決済代行会社に求め、"
        "インシデントとして扱ってください。",
    ),
    "fix.logging.request": Text(
        "Leave the field out of what is logged, or log its last four digits only.",
        "その項目をログに出力しないか、下4桁だけを出力してください。",
    ),
    "fix.logging.response": _STORED,
    "fix.storage.request": Text(
        "Do not store it (保持). Keep GMO's MemberID and CardSeq instead, and the last four digits for display.",
        "保存しないでください(保持にあたります)。代わりにGMOのMemberIDとCardSeq、表示用に下4桁を保存してください。",
    ),
    "fix.storage.response": _STORED,
    "fix.external.request": Text(
        "Third parties must not get card data: leave the field out.",
        "第三者にカード情報を渡してはいけません。その項目を送らないでください。",
    ),
    "fix.external.response": Text(
        "A third party holds card data: find out how it got there, and have it deleted.",
        "第三者がカード情報を保持しています。経路を調べ、削除を依頼してください。",
    ),
    # Calls to the payment gateway.
    "fix.gmo.browser": Text(
        "Only the browser may call GMO's token endpoint: load GMO's script in the page, and post the token.",
        "GMOのトークン取得を呼び出せるのはブラウザだけです。画面でGMOのスクリプトを読み込み、トークンを送信してください。",
    ),
    "fix.gmo.reference": Text(
        "A reference such as MemberID or ClientField1 holds a card number: send the shop's own id instead.",
        "MemberIDやClientField1などの項目にカード番号が入っています。ショップ独自のIDを送ってください。",
    ),
    "fix.gmo.digits.form": Text(
        "A token is not made of digits: send the one that GMO's script returned as `Token`.",
        "トークンは数字だけの値ではありません。GMOのスクリプトが返したトークンを`Token`で送ってください。",
    ),
    "fix.gmo.digits.json": Text(
        "A token is not made of digits: send the one that GMO's script returned as `token`.",
        "トークンは数字だけの値ではありません。GMOのスクリプトが返したトークンを`token`で送ってください。",
    ),
    "fix.gmo.digits.openapi": Text(
        "A token is not made of digits: send the one that GMO's script returned as `tokenizedCard.token`.",
        "トークンは数字だけの値ではありません。GMOのスクリプトが返したトークンを`tokenizedCard.token`で送ってください。",
    ),
    "fix.gmo.raw.form": Text(
        "This is a call that passes card data through the shop (通過型): send `Token` from GMO's script instead of "
        "`CardNo`, `Expire` and `SecurityCode`, which stay empty.",
        "カード情報がショップを通過する呼び出し(通過型)です。`CardNo`、`Expire`、`SecurityCode`は空のままにし、"
        "GMOのスクリプトの`Token`を送ってください。",
    ),
    "fix.gmo.raw.json": Text(
        "This is a call that passes card data through the shop (通過型): send `token` from GMO's script instead of "
        "`cardNo`, `expire` and `securityCode`, which stay empty.",
        "カード情報がショップを通過する呼び出し(通過型)です。`cardNo`、`expire`、`securityCode`は空のままにし、"
        "GMOのスクリプトの`token`を送ってください。",
    ),
    "fix.gmo.raw.openapi": Text(
        "This is a call that passes card data through the shop (通過型): send `tokenizedCard.token` from GMO's script "
        "instead of `card`, which stay empty.",
        "カード情報がショップを通過する呼び出し(通過型)です。`card`の代わりに、GMOのスクリプトの"
        "`tokenizedCard.token`を送ってください。",
    ),
    "fix.token": Text(
        "A token can pay once for as long as it lives: leave it out here.",
        "トークンは有効期限内に一度だけ決済に使えます。ここには含めないでください。",
    ),
    "fix.unmended": Text(
        "This lane redacts, but here the data could not be replaced without breaking what is around it.",
        "このレーンはマスクする設定ですが、前後のデータを壊さずに置き換えることができませんでした。",
    ),
    "fix.test": Text(
        "Only published test numbers were found: `allow_test_numbers: true` on the lane lets those pass.",
        "見つかったのは公開されているテスト番号だけです。レーンに`allow_test_numbers: true`を設定すると通せます。",
    ),
    # What to do about what could not be inspected.
    "fix.unlisted-gmo-path": Text(
        "This path is none of the gateway's APIs that a backend may call.",
        "このパスは、バックエンドから呼び出せる決済代行会社のAPIではありません。",
    ),
    "fix.unreadable-gmo-call": Text(
        "No parameter could be read from it: send it in the form that this API documents.",
        "パラメータを読み取れませんでした。このAPIの仕様どおりの形式で送ってください。",
    ),
    "fix.gap": Text(
        "Send it in an encoding that can be inspected and within the lane's limits, or have the policy changed.",
        "検査できる符号化で、レーンの上限内に収めて送るか、ポリシーの変更を依頼してください。",
    ),
    "fix.failure": Text(
        "Sekisho could not finish inspecting or recording this message, so it was not forwarded. It may be sent again; "
        "if it keeps failing, the operators find the cause under sekisho_internal_errors_total and in the log.",
        "検査または記録を完了できなかったため、転送しませんでした。再送できます。続く場合は、"
        "sekisho_internal_errors_totalとログで原因を確認してください。",
    ),
}


def say(name: str, lang: Lang = "en", otherwise: str = "") -> str:
    """The text called ``name``; ``otherwise`` if there is none, and without that a ``KeyError``."""
    text = TEXTS.get(name)
    if text is None:
        if otherwise:
            return otherwise
        raise KeyError(name)
    return text.ja if lang == "ja" else text.en
