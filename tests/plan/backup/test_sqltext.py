"""SELECT statements of the field, and the SQL they become."""

from __future__ import annotations

import random

import pytest

from holdfast.backup.plan.sqltext import rewrite, words
from holdfast.kernel.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select * from nodes", "select * from nodes"),
        (
            "select node_name from nodes where lastacc_time<current_timestamp - 24 hours",
            "select node_name from nodes where hf_shift ( lastacc_time < hf_now() , - 24 , 'hour' )",
        ),
        (
            "SELECT count(*) FROM summary WHERE start_time >= current_timestamp - 1 DAY AND activity='BACKUP'",
            "SELECT count ( * ) FROM summary WHERE start_time >= hf_shift ( hf_now() , - 1 , 'day' ) "
            "AND activity = 'BACKUP'",
        ),
        (
            "select x from a where t>(current_timestamp - 2 days)",
            "select x from a where t > ( hf_shift ( hf_now() , - 2 , 'day' ) )",
        ),
        (
            "select entity, (end_time-start_time) seconds from summary",
            "select entity , hf_span ( end_time , start_time , 'second' ) from summary",
        ),
        (
            "select cast((current_timestamp-last_backup_date)hours as decimal(6,1)) from db",
            "select hf_decimal ( hf_span ( hf_now() , last_backup_date , 'hour' ) , 6 , 1 ) from db",
        ),
        (
            "select cast(sum(physical_mb)/1024 as decimal(10,2)) as gb from occupancy",
            "select hf_decimal ( sum ( physical_mb ) / 1024 , 10 , 2 ) as gb from occupancy",
        ),
        (
            "select decimal(pct_utilized,4,1), cast(x as varchar(20)) from stgpools",
            "select hf_decimal ( pct_utilized , 4 , 1 ) , cast ( x as varchar ( 20 ) ) from stgpools",
        ),
        (
            "select date(start_time), hour(start_time) from summary fetch first 5 rows only",
            "select hf_date ( start_time ) , hf_hour ( start_time ) from summary limit 5",
        ),
        (
            "select * from events where scheduled_start>CURRENT TIMESTAMP - 30 minutes for fetch only with ur",
            "select * from events where scheduled_start > hf_shift ( hf_now() , - 30 , 'minute' )",
        ),
        ("select tabname from syscat.tables", "select tabname from syscat_tables"),
        ("select n.x + 3 months from nodes n", "select hf_shift ( n . x , 3 , 'month' ) from nodes n"),
        ("select 'a - 1 day' from nodes", "select 'a - 1 day' from nodes"),
        ("select a-1 from t", "select a - 1 from t"),
        ("select count(*) as days from t", "select count ( * ) as days from t"),
        ("select max(a) hours from t", "select max ( a ) hours from t"),
    ],
)
def test_what_becomes_of_a_statement(text: str, expected: str) -> None:
    expected = expected.replace("hf_shift ( lastacc_time < hf_now() ,", "lastacc_time < hf_shift ( hf_now() ,")
    assert rewrite(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "delete from nodes", "select * from nodes;", "select 'a from nodes", "select cast(a from nodes", "pragma x",
     "select a-b) hours from nodes", "select " + "x" * 30_000, "select " + "a - 1 day," * 1_000],
)  # fmt: skip
def test_what_is_no_select_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        rewrite(text)
    assert caught.value.remedy


def test_words_are_names_not_texts() -> None:
    assert {"nodes", "select", "b"} <= words("select 'actlog' , b from NODES")
    assert "actlog" not in words("select 'actlog' , b from NODES")


def test_any_text_is_rewritten_or_refused(rng: random.Random) -> None:
    pieces = [
        "select",
        "(",
        ")",
        "-",
        "+",
        "1",
        "hours",
        "days",
        "as",
        "cast",
        "decimal",
        ",",
        "current_timestamp",
        "a",
        ".",
        "'x'",
        "fetch",
        "only",
        "from",
        "t",
    ]
    rewritten = 0
    for _ in range(2_000):
        text = "select " + " ".join(rng.choices(pieces, k=rng.randint(1, 40)))
        try:
            rewritten += bool(rewrite(text))
        except InputError:
            continue
    assert rewritten > 100
