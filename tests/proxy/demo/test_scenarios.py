from __future__ import annotations

import pytest

from proxy.demo.scenarios import SCENARIOS, Scenario, ScenarioError, notification, registered_cards, token_order
from proxy.demo.search import card_numbers
from proxy.demo.stage import LANES, Stage

NAMES = [scenario.title for scenario in SCENARIOS]


def test_titles_are_told_apart():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_each_is_decided_on_a_lane_that_exists(scenario: Scenario):
    assert set(scenario.lane.split(", ")) <= {*LANES, "all"}


@pytest.mark.parametrize("scenario", [row for row in SCENARIOS if row.expect == "passes"], ids=lambda row: row.title)
async def test_a_clean_step_works_and_leaves_no_card(bare: Stage, scenario: Scenario):
    answer = await scenario.play(bare)
    assert answer.status < 300
    assert [
        name for name, sink in bare.sinks.items() if any(card_numbers(record.data) for record in sink.records)
    ] == []


@pytest.mark.parametrize("scenario", [row for row in SCENARIOS if row.expect == "stopped"], ids=lambda row: row.title)
async def test_a_mistake_reaches_its_sink_when_nothing_stops_it(bare: Stage, scenario: Scenario):
    await scenario.play(bare)
    assert any(card_numbers(record.data) for record in bare.sinks[scenario.lane].records)


async def test_a_second_visit_does_not_show_two_cards(bare: Stage):
    await registered_cards(bare)
    with pytest.raises(ScenarioError, match="account page"):
        await registered_cards(bare)


async def test_an_order_that_was_not_kept_whole_is_no_success(bare: Stage):
    bare.shop.lanes = bare.shop.lanes.__class__(
        logs=bare.lanes["search"], search=bare.lanes["search"], sessions=bare.lanes["sessions"],
        gmo=bare.lanes["gmo"], front=bare.lanes["front"],
    )  # fmt: skip
    with pytest.raises(ScenarioError, match="refused part"):
        await token_order(bare)


async def test_the_notification_arrives_byte_for_byte(bare: Stage):
    assert (await notification(bare)).body == b"0"
    assert b"AccessPass=" + b"*" * 32 in bare.sinks["front"].records[-1].body
