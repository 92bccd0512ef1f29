"""Ordinary log lines of a shop: no card anywhere, and every kind of number that is taken for one.

Deterministic: the same seed gives the same lines. Check digits are right where the real thing has one (JAN, IMEI, tracking
numbers), so that a detector cannot win by luck. The mix is that of a busy backend: access logs, application logs, a
database, a cluster, the warehouse, the payment gateway.
"""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Callable

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_START = 1_763_800_000


def mod10(digits: str) -> str:
    """``digits`` with the check digit that JAN, ITF, SSCC and Japan Post's numbers end in (weights 3 and 1)."""
    total = sum(int(d) * (3, 1)[i % 2] for i, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


def mod7(digits: str) -> str:
    """``digits`` with the check digit of Yamato's and Sagawa's tracking numbers: the remainder of seven."""
    return digits + str(int(digits) % 7)


def luhn_complete(digits: str) -> str:
    """``digits`` with the check digit of IMEI, ICCID and card numbers (ISO/IEC 7812-1)."""
    total = sum(sum(divmod(int(d) * 2, 10)) if i % 2 == 0 else int(d) for i, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


class Shop:
    """Where the numbers of the lines come from."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = _START * 1_000_000_000

    def tick(self) -> int:
        """Nanoseconds since 1970, a little later each time."""
        self.clock += self.random.randrange(1_000, 900_000_000)
        return self.clock

    def digits(self, count: int) -> str:
        return "".join(self.random.choices("0123456789", k=count))

    def hex(self, count: int) -> str:
        return "".join(self.random.choices("0123456789abcdef", k=count))

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def ulid(self) -> str:
        return "01K" + "".join(self.random.choices(_CROCKFORD, k=23))

    def snowflake(self) -> str:
        return str(((self.clock // 1_000_000 - 1_288_834_974_657) << 22) | self.random.getrandbits(22))

    def jan(self) -> str:
        return mod10(self.random.choice(("45", "49")) + self.digits(10))

    def ip(self) -> str:
        return ".".join(str(self.random.randrange(1, 255)) for _ in range(4))

    def order(self) -> str:
        return self.random.choice(
            (f"R{self.digits(9)}", f"20261122-{self.digits(6)}", self.digits(16), self.digits(12))
        )

    def yamato(self) -> str:
        return mod7(self.digits(11))

    def base64(self, count: int) -> str:
        return base64.b64encode(self.random.randbytes(count)).decode()


def _nginx(shop: Shop) -> str:
    r = shop.random
    path = r.choice((
        "/", "/cart", f"/items/{shop.jan()}", f"/orders/{shop.digits(16)}", f"/api/v1/users/{shop.digits(10)}",
        f"/img/{shop.hex(32)}.webp", f"/search?q=%E3%83%86%E3%83%B3%E3%83%88&page={r.randrange(40)}",
        f"/track?no={shop.yamato()}",
    ))  # fmt: skip
    agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148"
    return (
        f'{shop.ip()} - - [22/Nov/2026:12:{r.randrange(60):02}:{r.randrange(60):02} +0900] "GET {path} HTTP/1.1" '
        f'{r.choice((200, 200, 302, 404))} {r.randrange(100, 99999)} "-" "{agent}" rt={r.random():.3f} urt="{r.random():.3f}" '
        f"rid={shop.hex(32)}"
    )


def _postgres(shop: Shop) -> str:
    r = shop.random
    return r.choice((
        f"2026-11-22 12:34:{r.randrange(60):02}.{shop.digits(3)} JST [{r.randrange(99999)}] LOG:  duration: {r.random() * 900:.3f} ms  statement: SELECT * FROM orders WHERE id = {shop.digits(9)} AND total > {r.randrange(90000)}",
        f"2026-11-22 12:34:{r.randrange(60):02} JST [{r.randrange(99999)}] LOG:  checkpoint complete: wrote {r.randrange(9999)} buffers ({r.random() * 9:.1f}%); write={r.random() * 90:.3f} s, sync={r.random():.3f} s; distance={r.randrange(99999)} kB, lsn={shop.hex(2).upper()}/{shop.hex(8).upper()}",
        f"INSERT INTO shipments (id, order_id, tracking_no, jan, weight) VALUES ({shop.snowflake()}, '{shop.order()}', '{shop.yamato()}', '{shop.jan()}', {r.random() * 30:.6f});",
        f"COPY stock: {shop.jan()}\t{r.randrange(900)}\t{r.randrange(99)}00\t{shop.tick() // 1000}",
    ))  # fmt: skip


def _application(shop: Shop) -> str:
    r = shop.random
    return r.choice((
        f'{{"ts":{shop.tick() // 1_000_000},"level":"info","msg":"order created","order_id":"{shop.order()}","user_id":{shop.digits(10)},"amount":{r.randrange(990000)},"trace_id":"{shop.hex(32)}","span_id":"{shop.hex(16)}"}}',
        f'{{"timestamp":"{shop.tick()}","severity":"DEBUG","dd.trace_id":"{r.getrandbits(63)}","dd.span_id":"{r.getrandbits(63)}","elapsed_ns":{r.getrandbits(44)}}}',
        f"I, [2026-11-22T12:34:56.{shop.digits(6)} #{r.randrange(99999)}]  INFO -- : [{shop.uuid()}] Completed 200 OK in {r.randrange(900)}ms (Views: {r.random() * 90:.1f}ms | ActiveRecord: {r.random() * 90:.1f}ms | Allocations: {r.randrange(99999)})",
        f"2026-11-22T12:34:56.{shop.digits(3)}+09:00  INFO {r.randrange(99999)} --- [nio-8080-exec-{r.randrange(9)}] jp.roki.OrderService : order={shop.order()} session={shop.hex(32).upper()} took {r.random() * 900:.2f} ms",
        f'I1122 12:34:56.{shop.digits(6)}       1 event.go:307] "Event occurred" object="shop/web-{shop.hex(10)}-{shop.hex(5)}" uid="{shop.uuid()}" resourceVersion={shop.digits(9)}',
        f'{{"event":"page_view","client_id":"{shop.digits(9)}.{_START}","session_id":"{_START + r.randrange(9999)}","ga":"GA1.2.{shop.digits(10)}.{_START}","value":{r.random() * 9000}}}',
        f"score={r.random()} weights=[{r.random()}, {r.random()}, {r.gauss(0, 1)}] seed={r.getrandbits(48)}",
        f'cache set key=sess:{shop.ulid()} ttl=3600 etag="{shop.hex(40)}" bytes={r.randrange(99999)}',
        f"jwt=eyJhbGciOiJIUzI1NiJ9.{shop.base64(60).rstrip('=')}.{shop.base64(32).rstrip('=')} csrf={shop.base64(32)}",
        f"worker {r.randrange(99)} job {shop.uuid()} started {shop.tick() // 1000} finished {shop.tick() // 1000} attempts {r.randrange(4)}",
    ))  # fmt: skip


def _warehouse(shop: Shop) -> str:
    r = shop.random
    return r.choice((
        f'{{"jan":"{shop.jan()}","sku":"TENT-{shop.digits(4)}","price":{r.randrange(99)}00,"stock":{r.randrange(500)},"itf":"{mod10("1" + shop.jan()[:12])}"}}',
        f"入荷 JAN:{shop.jan()} 数量:{r.randrange(99)} SSCC {mod10("0" + shop.jan()[:7] + shop.digits(9))} ロット {shop.digits(8)}",
        f"お問い合わせ番号 {shop.yamato()} ヤマト運輸 〒{shop.digits(3)}-{shop.digits(4)} 電話 0{r.choice("3679")}0-{shop.digits(4)}-{shop.digits(4)}",
        f"佐川急便 送り状番号: {shop.yamato()[:4]}-{shop.digits(4)}-{shop.digits(4)} 代引 {r.randrange(99)},{shop.digits(3)}円",
        f"ゆうパック 追跡番号={mod7(shop.digits(10))} 書留 {shop.digits(3)}-{shop.digits(2)}-{shop.digits(5)}-{r.randrange(9)}",
        f"scanner imei={luhn_complete("35" + shop.digits(12))} iccid={luhn_complete("8981" + shop.digits(14))} pos=35.{shop.digits(6)},139.{shop.digits(6)} v{r.randrange(9)}.{r.randrange(99)}.{shop.digits(4)}",
        f"在庫 {shop.digits(4)} {shop.digits(3)} {shop.digits(5)} {shop.digits(2)} {shop.digits(4)} 棚 {shop.digits(2)}-{shop.digits(3)}",
    ))  # fmt: skip


def _gateway(shop: Shop) -> str:
    r = shop.random
    tran = f"2611{shop.digits(24)}"
    return r.choice((
        f"GMO EntryTran OrderID=ROKI-20261122-{shop.digits(4)} AccessID={shop.hex(32)} AccessPass={shop.hex(32)}",
        f"GMO ExecTran ACS=0&OrderID={shop.digits(16)}&Forward=2a99662&Method=1&PayTimes=&Approve={shop.digits(7)}&TranID={tran}&TranDate=20261122{shop.digits(6)}&CheckString={shop.hex(32)}",
        "GMO SearchCard CardSeq=0|1&CardNo=*************111|*************444&Expire=3012|2911&HolderName=|&DeleteFlag=0|0",
        f"GMO SearchTrade Status=AUTH&CardNo=************{shop.digits(4)}&Expire=3012&Amount={r.randrange(99999)}&TranID={tran}",
        f'GMO webhook {{"accessId":"{shop.hex(32)}","maskedCardNo":"411111******{shop.digits(4)}","token":"{shop.hex(64)}","nwTransactionId":"{shop.digits(28)}"}}',
        f"決済完了 受付番号 {shop.digits(11)} 承認番号 {shop.digits(7)} カード下4桁 {shop.digits(4)} 有効期限 **/** 金額 {r.randrange(99)},{shop.digits(3)}円",
    ))  # fmt: skip


_KINDS: tuple[Callable[[Shop], str], ...] = (_nginx, _nginx, _postgres, _application, _application, _application, _warehouse, _gateway)  # fmt: skip


def lines(count: int, seed: int = 20261122) -> list[str]:
    """``count`` lines."""
    shop = Shop(seed)
    return [shop.random.choice(_KINDS)(shop) for _ in range(count)]
