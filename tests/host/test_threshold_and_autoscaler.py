"""When a job has failed too often, and how many instances a compute should have."""

from __future__ import annotations

import pytest

from dask_batch.compute.base import Instance
from dask_batch.host.autoscaler import Autoscaler, Demand, to_release, wanted_instances
from dask_batch.host.threshold import exceeded
from dask_batch.jobfolder.chunks import Counts


def over(threshold, share=0.5, files=10_000, table=False, **counts):
    return exceeded(threshold, Counts(**counts), files=files, share=share, table=table)


def test_minus_one_tolerates_everything():
    assert over(-1, items=10, failed=10) is None


def test_zero_ends_the_job_at_the_first_failure():
    assert over(0, items=10, failed=0) is None
    assert "1 item failed" in over(0, items=10, failed=1)


def test_a_count_may_be_reached_but_not_exceeded():
    assert over(3, items=10, failed=3) is None
    assert over(3, items=10, failed=4)


def test_a_percentage_is_not_looked_at_before_there_is_enough_to_say():
    assert over("10%", share=0.01, items=10, failed=9) is None
    assert over("10%", share=0.01, items=1000, failed=101)
    assert over("10%", share=0.1, items=10, failed=9)


def test_for_tables_rows_and_files_are_each_held_against_it():
    assert over("5%", table=True, files=100, share=1.0, items=100_000, failed=10, failed_files=10)
    assert over("5%", table=True, files=1000, share=1.0, items=100_000, failed=10, failed_files=10) is None
    assert "rows" in over(5, table=True, items=1000, failed=6)


def test_no_work_needs_the_minimum_only():
    assert wanted_instances([], slots=4, minimum=2, maximum=9) == 2


def test_a_job_gets_no_more_instances_than_it_has_chunks_for_or_asked_for():
    assert wanted_instances([Demand(10, 5)], slots=4, minimum=0, maximum=99) == 2
    assert wanted_instances([Demand(3, 500)], slots=4, minimum=0, maximum=99) == 3
    assert wanted_instances([Demand(300, 5000)], slots=4, minimum=0, maximum=99) == 99


def test_only_idle_instances_are_released_and_only_after_the_idle_time():
    there = [Instance("a", "running", 2), Instance("b", "running", 2), Instance("c", "running", 2)]
    assert to_release(there, {"a": 10, "c": 10}, 1, surplus_s=10, idle_limit_s=120) == []
    assert to_release(there, {"a": 121, "c": 121}, 1, surplus_s=121, idle_limit_s=120) == ["a", "c"]
    assert to_release(there, {"a": 121, "b": 7, "c": 120}, 0, surplus_s=200, idle_limit_s=120) == ["a", "c"]
    assert to_release(there, {}, 1, surplus_s=121, idle_limit_s=120) == []
    assert to_release(there, {"a": 0}, 0, surplus_s=0, idle_limit_s=0) == ["a"]


class Shelf:
    """A provider that gives at once."""

    def __init__(self):
        self.there, self.asked = [], 0

    why = ""
    failure = None

    async def start(self, scheduler): ...

    async def request(self, count):
        self.there += [Instance(f"i{self.asked + n}", "running", 2) for n in range(count)]
        self.asked += count

    async def release(self, instances):
        gone = set(instances)
        self.there = [one for one in self.there if one.id not in gone]

    async def instances(self):
        return list(self.there)

    async def close(self): ...


@pytest.fixture
def scaler():
    return Autoscaler(Shelf(), slots=2, minimum=0, maximum=3, idle_limit_s=120)


async def ticks(scaler, *steps):
    sizes = []
    for now, demands in steps:
        await scaler.tick(demands, frozenset(), now)
        sizes.append(len(scaler.instances))
    return sizes


def test_it_scales_from_zero_and_back_and_replaces_what_was_lost(scaler):
    import asyncio

    async def story():
        assert await ticks(scaler, (0, []), (1, [Demand(9, 100)]), (2, [Demand(9, 100)])) == [0, 3, 3]
        scaler.provider.there.pop()
        assert await ticks(scaler, (3, [Demand(9, 100)])) == [3]
        assert await ticks(scaler, (4, []), (100, []), (122, []), (124, [])) == [3, 3, 3, 0]

    asyncio.run(story())


def test_pending_instances_go_first_and_soon_unless_they_are_wanted():
    there = [Instance("a", "running", 2), Instance("b", "pending", 2), Instance("c", "pending", 2)]

    def released(wanted, idle_s):
        return to_release(there, dict.fromkeys("abc", idle_s), wanted, surplus_s=idle_s, idle_limit_s=120)

    assert released(3, 1000) == []
    assert released(2, 11) == ["c"]
    assert released(0, 11) == ["b", "c"]
    assert released(0, 121) == ["b", "c", "a"]


def test_an_instance_that_has_just_worked_stays_though_others_have_been_idle_for_long(scaler):
    import asyncio

    async def story():
        assert await ticks(scaler, (0, [Demand(2, 100)]), (1, [])) == [2, 2]
        first, _ = scaler.provider.there
        await scaler.tick([Demand(1, 1)], frozenset({first.id}), 119)
        assert await ticks(scaler, (123, []), (238, [])) == [1, 1]
        assert scaler.instances == [first]
        assert await ticks(scaler, (240, [])) == [0]

    asyncio.run(story())


def test_what_drains_is_replaced(scaler):
    import asyncio

    async def story():
        assert await ticks(scaler, (0, [Demand(2, 100)])) == [2]
        first, second = scaler.provider.there
        scaler.provider.there = [Instance(first.id, "draining", 2), second]
        assert await ticks(scaler, (1, [Demand(2, 100)])) == [3]
        assert scaler.running_slots == 4

    asyncio.run(story())
