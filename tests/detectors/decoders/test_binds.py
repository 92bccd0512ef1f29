from __future__ import annotations

import json

import pytest

from detectors.decoders.binds import peel
from detectors.redaction import redact
from tests.detectors.decoders.peeling import ask, fields

INSERT = "insert into `cards` (`holder`, `cvv`) values (?, ?)"

LOGS = {
    "laravel": f'[2026-11-22 12:34:56] local.DEBUG: {INSERT} ["TARO YAMADA","123"]',
    "sequelize": f'Executing (default): {INSERT}; "TARO", "123"',
    "knex": f"{{ method: 'insert', bindings: [ 'TARO', '123' ], sql: '{INSERT}' }}",
    "django": '(0.001) INSERT INTO "cards" ("holder", "cvv") VALUES (%s, %s); args=(\'TARO\', \'123\')',
    "sqlalchemy": f"INFO Engine {INSERT}\nINFO Engine [generated in 0.00012s] ('TARO', '123')",
    "mybatis": f"==>  Preparing: {INSERT}\n==> Parameters: TARO(String), 123(String)",
    "mybatis, update": "==>  Preparing: UPDATE card SET cvv = ? WHERE id = ?\n==> Parameters: 123(String), 7(Long)",
    "hibernate": f"Hibernate: {INSERT}\nTRACE binding parameter [1] as [VARCHAR] - [TARO]\nTRACE binding parameter [2] as [VARCHAR] - [123]\n",
    "hibernate 6": f"Hibernate: {INSERT}\nTRACE binding parameter (1:VARCHAR) <- [TARO]\nTRACE binding parameter (2:VARCHAR) <- [123]\n",
    "postgresql": "LOG:  execute <unnamed>: INSERT INTO cards (cvv, holder) VALUES ($2, $1)\nDETAIL:  parameters: $1 = 'TARO', $2 = '123'",
    "postgresql, one line": "UPDATE cards SET cvv = $1 WHERE id = $2  parameters: $1 = '123', $2 = '7'",
    "doctrine": f'doctrine.DEBUG: {INSERT} {{"1":"TARO","2":"123"}} []',
    "doctrine 3": f'Executing statement: {INSERT} (parameters: array{{"1":"TARO","2":"123"}}, types: array{{"1":2,"2":2}})',
    "oracle": "INSERT INTO cards (holder, cvv) VALUES (:1, :2) params: [1='TARO', 2='123']",
    "named": 'INSERT INTO cards (holder, cvv) VALUES (:h, :c) {"h": "TARO", "c": "123"}',
    "named, Ruby": "INSERT INTO cards (holder, cvv) VALUES (:h, :c) {:h=>'TARO', :c=>'123'}",
    "named, before": "bound c=123, h=TARO to UPDATE cards SET cvv = :c WHERE holder = :h",
    "EF Core": "Executed DbCommand (2ms) [Parameters=[@p0='TARO', @p1='123' (Size = 4)], CommandType='Text']\n"
    "INSERT INTO [Cards] ([Holder], [Cvv])\nOUTPUT INSERTED.[Id]\nVALUES (@p0, @p1);",
    "EF Core, update": "[Parameters=[@p1='7', @p0='123' (Size = 4)]]\nUPDATE [Cards] SET [Cvv] = @p0\nWHERE [Id] = @p1;",
    "SQL Server": "exec sp_executesql N'INSERT INTO cards (holder, cvv) VALUES (@P0, @P1)',"
    "N'@P0 nvarchar(16),@P1 nvarchar(4)',N'TARO',N'123'",
    "SQL Server, named": "exec sp_executesql N'UPDATE cards SET cvv = @c WHERE id = @i',N'@c nvarchar(4),@i int',@c=N'123',@i=7",
    "numbers": f"{INSERT} [NULL, 123]",
    "condition": "SELECT 1 FROM cards WHERE cvv = ? [123]",
}  # fmt: skip


@pytest.mark.parametrize("name", LOGS)
def test_columns_name_the_values_passed_beside(inspector, name):
    for text in (LOGS[name], json.dumps({"message": LOGS[name]})):
        data = text.encode()
        found = inspector.inspect(data).findings
        assert [(f.entity, data[f.start : f.end]) for f in found] == [("SECURITY_CODE", b"123")]
        left = redact(data, found, "mask")
        assert left is not None
        assert inspector.inspect(left).findings == ()


@pytest.mark.parametrize(
    "text",
    [
        f'{INSERT} ["TARO","123","7"]',
        f"{INSERT}",
        'insert into `orders` (`holder`, `size`) values (?, ?) ["TARO","123"]',
        "UPDATE cards SET cvv = NULL WHERE id = ? [123]",
        'INSERT INTO cards (holder, cvv) VALUES (:h, :c) {"h": "TARO", "d": "123"}',
        'INSERT INTO orders (holder, size) VALUES (:h, :c) {"h": "TARO", "c": "123"}',
        "INSERT INTO [Cards] ([Holder], [Cvv]) VALUES (@p0, @p1); took 123 ms, @p2='123'",
        f'{INSERT} {{"3":"123","4":"456"}}',
        f"{INSERT} at line 2: 123",
    ],
)  # fmt: skip
def test_lists_of_other_lengths_and_other_columns_stay(inspector, text):
    assert inspector.inspect(text.encode()).findings == ()


def test_marks_are_counted_in_their_own_order():
    text = b"UPDATE c SET cvv = $2, x = 1 WHERE id = $1; DETAIL: parameters: $1 = '7', $2 = '123'"
    assert fields(peel(text, ask())) == [("[0].cvv", "cvv", b"123")]
