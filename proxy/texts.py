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
    "fix.unlisted-destination": Text(
        "List its host in the lane's `destinations`, if it is to be reached.",
        "接続を許可する場合は、レーンの`destinations`にホストを追加してください。",
    ),
    "fix.misdirected": Text(
        "Send it on a connection of its own; names that one server answers to belong into one destination.",
        "別の接続で送ってください。同じサーバーが応答する名前は、一つの送信先(destinations)にまとめてください。",
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
    # The page.
    "page.inspector": Text("Inspector", "検査の状況"),
    "page.skip": Text("Skip to the violations", "違反の一覧へ移動"),
    "page.languages": Text("Language", "表示言語"),
    "page.well": Text(
        "Every lane listens, and no self-probe has failed.", "すべてのレーンが稼働し、自己診断の失敗はありません。"
    ),
    "page.unwell": Text("Not ready: see the lanes below.", "準備ができていません。下のレーンを確認してください。"),
    "page.unrecorded": Text("Records cannot be written: {why}", "記録を書き込めません：{why}"),
    "page.as-of": Text("As of {ts} UTC", "{ts} UTC 現在"),
    "page.policy": Text("Policy in force", "適用中のポリシー"),
    "page.mode": Text("Mode", "モード"),
    "mode.enforce": Text("enforced", "適用(enforce)"),
    "mode.monitor": Text("monitored only", "監視のみ(monitor)"),
    "mode.mixed": Text("partly monitored only", "一部は監視のみ"),
    "mode.share": Text("enforced for {percent} %", "{percent} %のみ適用"),
    "page.lanes": Text("Lanes", "レーン"),
    "page.lane": Text("Lane", "レーン"),
    "page.state": Text("State", "状態"),
    "state.listening": Text("listening", "稼働中"),
    "page.probe": Text("Self-probe", "自己診断"),
    "probe.passed": Text("passed", "成功"),
    "probe.none": Text("not yet", "未実施"),
    "page.inspected": Text("Inspected", "検査済み"),
    "page.uninspected": Text("Not inspected", "未検査"),
    "page.gaps": Text("Gaps", "検査不能"),
    "page.covered": Text("Coverage", "検査率"),
    "page.violations": Text("Latest violations", "最近の違反"),
    "page.of-last": Text(
        "Those among the last {most} audit records in memory; the audit file has all.",
        "メモリ上にある直近{most}件の監査記録が対象です。すべての記録は監査ファイルにあります。",
    ),
    "page.none": Text("There is none that matches.", "該当する違反はありません。"),
    "page.filter": Text("Filter", "絞り込み"),
    "page.any": Text("any", "すべて"),
    "page.apply": Text("Apply", "適用"),
    "page.clear": Text("Clear", "解除"),
    "page.static": Text("Reload to see newer ones.", "新しい違反を見るには再読み込みしてください。"),
    "page.live": Text("Live: new ones appear by themselves.", "自動更新中:新しい違反は自動的に表示されます。"),
    "page.lost": Text("The connection is lost; trying again.", "接続が切れました。再接続しています。"),
    "page.new": Text("New:", "新着:"),
    "page.time": Text("Time (UTC)", "時刻(UTC)"),
    "page.kind": Text("Kind", "種類"),
    "page.what": Text("What", "内容"),
    "page.where": Text("Where", "場所"),
    "page.done": Text("Done", "対応"),
    "page.inside": Text("inside {trail}", "{trail}の中"),
    "page.more": Text("and {count} more", "ほか{count}件"),
    "kind.passthrough": Text("passthrough (通過)", "通過"),
    "kind.retention": Text("retention (保持)", "保持"),
    "kind.stored": Text("stored (at rest)", "保存済み"),
    "kind.gap": Text("not inspected", "検査不能"),
    "kind.failure": Text("failure of Sekisho", "検査の障害"),
    "entity.PAN": Text("card number", "カード番号"),
    "entity.SECURITY_CODE": Text("security code", "セキュリティコード"),
    "entity.TRACK_1": Text("magnetic stripe, track 1", "磁気データ(トラック1)"),
    "entity.TRACK_2": Text("magnetic stripe, track 2", "磁気データ(トラック2)"),
    "entity.PIN_BLOCK": Text("PIN block", "PINブロック"),
    "entity.EXPIRY": Text("expiry date", "有効期限"),
    "entity.CARDHOLDER_NAME": Text("cardholder's name", "カード名義人"),
    "entity.TOKEN": Text("one-time card token", "ワンタイムトークン"),
    "verdict.block": Text("blocked", "遮断"),
    "verdict.redact": Text("redacted", "マスク"),
    "verdict.report": Text("forwarded, reported", "転送(記録のみ)"),
    "verdict.allow": Text("forwarded", "転送"),
    "would.block": Text("would have been blocked", "適用時は遮断"),
    "would.redact": Text("would have been redacted", "適用時はマスク"),
    "direction.request": Text("request", "リクエスト"),
    "direction.response": Text("response", "レスポンス"),
    # One violation.
    "one.back": Text("All violations", "違反の一覧"),
    "one.found": Text("What was found", "見つかったもの"),
    "one.part": Text("Part of the message", "メッセージの部分"),
    "one.path": Text("Field", "項目"),
    "one.trail": Text("Encoded as", "符号化"),
    "one.bytes": Text("Bytes of the part", "バイト位置"),
    "one.brand": Text("Brand", "ブランド"),
    "one.why": Text("Why", "判定の根拠"),
    "one.gaps": Text("What could not be inspected", "検査できなかったもの"),
    "one.reason": Text("Reason", "理由"),
    "one.advice": Text("What to do", "対処方法"),
    "one.context": Text("The message", "メッセージ"),
    "one.peer": Text("Client", "送信元"),
    "one.destination": Text("Destination", "宛先"),
    "one.call": Text("Request", "リクエスト"),
    "one.policy": Text("Policy", "ポリシー"),
    "one.suppression": Text("If it is a false alarm", "誤検知の場合"),
    "one.suppression-how": Text(
        "Only if it certainly is no card data: put this into the policy file, with your reason, and send SIGHUP. "
        "It is counted on, but no longer acted on, up to its last day.",
        "カード情報ではないことが確実な場合に限り、理由を書いてポリシーファイルに追加し、SIGHUPを送ってください。"
        "最終日まで、件数は数え続けますが、遮断やマスクはしません。",
    ),
    "one.suppression-reason": Text("say here why this is no card data", "カード情報ではない理由をここに書く"),
    "one.copy": Text("Copy", "コピー"),
    "one.copied": Text("Copied", "コピーしました"),
    "one.record": Text("Audit record", "監査記録"),
    "one.gone": Text(
        "This record is no longer in memory, or never was: look for its id in the audit file.",
        "この記録はメモリ上にありません。監査ファイルでIDを検索してください。",
    ),
    "page.cross-site": Text(
        "Another site led here. If you meant to come, go on:", "別のサイトから開かれました。続ける場合はこちら:"
    ),
    "page.continue": Text("open this page", "このページを開く"),
    "confidence.high": Text("certain", "確実"),
    "confidence.low": Text("doubtful", "疑わしい"),
    "one.test": Text("published test number", "公開テスト番号"),
    # Why something is a finding (``Finding.why``), where Japanese readers are helped.
    "why.issuer": Text("issuer range of a brand", "発行会社の番号帯に一致"),
    "why.length": Text("a length that the brand has", "桁数がブランドと一致"),
    "why.luhn": Text("right check digit (Luhn)", "チェックディジット(Luhn)が正しい"),
    "why.published test number": Text("published test number", "公開テスト番号"),
    "why.card key": Text("a field named as a card's", "カード番号を示す項目名"),
    "why.card word": Text("a card word near it", "近くにカードを示す語がある"),
    "why.key says otherwise": Text("its field is named as something else", "項目名は別のものを示している"),
    "why.security code key": Text("a field named as a security code", "セキュリティコードを示す項目名"),
    "why.verification key": Text("a field named as a verification value", "確認コードを示す項目名"),
    "why.beside a card number": Text("beside a card number", "カード番号の隣にある"),
    "why.may be a one-time code": Text("may be a one-time code", "ワンタイムコードの可能性がある"),
    "why.thirteen digits without a card word": Text(
        "thirteen digits without a card word", "13桁で、カードを示す語がない"
    ),
    "why.a length that few cards have": Text("a length that few cards have", "カードには少ない桁数"),
    "why.a right JAN/EAN check digit": Text("a right JAN/EAN check digit", "JAN/EANのチェックディジットが正しい"),
    "why.round or evenly spaced numbers": Text("round or evenly spaced numbers", "区切りのよい、または等間隔の数値"),
    "why.among other numbers of its length": Text("among other numbers of its length", "同じ桁数の数値が並んでいる"),
    "why.decimal fraction": Text("decimal fraction", "小数"),
    "why.check digit not required": Text("check digit not required", "チェックディジットは不要"),
    "why.raw card parameter": Text("a raw card parameter of the gateway's", "決済代行会社のカード情報の項目"),
    "why.token made of digits": Text("a token made of digits", "数字だけのトークン"),
    "why.one-time card token": Text("a one-time card token", "ワンタイムトークン"),
    "why.token endpoint called by a backend": Text(
        "token endpoint called by a backend", "バックエンドからのトークン取得の呼び出し"
    ),
    "why.card number in the place of a reference": Text(
        "a card number in the place of a reference", "参照用の項目にカード番号"
    ),
    "why.unmasked number in an answer of the gateway": Text(
        "an unmasked number in an answer of the gateway", "決済代行会社の応答にマスクされていない番号"
    ),
}


def language(chosen: str, accepted: str) -> Lang:
    """``chosen``, if there are texts in it, else what an Accept-Language header asks for first (RFC 9110 12.5.4)."""
    weighed = [item.partition(";") for item in accepted.lower().split(",")]
    asked = sorted(((tag.strip()[:2], _weight(rest)) for tag, _, rest in weighed), key=lambda item: -item[1])
    names = [chosen, *(name for name, weight in asked if weight > 0)]
    return "ja" if next((name for name in names if name in ("en", "ja")), "en") == "ja" else "en"


def _weight(parameters: str) -> float:
    try:
        return float(parameters.replace(" ", "").partition("q=")[2] or 1)
    except ValueError:
        return 0.0


def say(name: str, lang: Lang = "en", otherwise: str = "") -> str:
    """The text called ``name``; ``otherwise`` if there is none, and without that a ``KeyError``."""
    text = TEXTS.get(name)
    if text is None:
        if otherwise:
            return otherwise
        raise KeyError(name)
    return text.ja if lang == "ja" else text.en
