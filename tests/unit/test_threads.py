"""Short calls that go one after the other in one thread, and one of them that hangs."""

from __future__ import annotations

import asyncio
import threading

import pytest

from zkprov.observe.threads import InTurn


def test_one_after_the_other_in_one_thread() -> None:
    order, threads = list[int](), set[int]()

    def call(number: int) -> int:
        order.append(number)
        threads.add(threading.get_ident())
        return number * 2

    async def all_of_them() -> list[int]:
        turn = InTurn()
        return await asyncio.gather(*(turn.read(lambda n=n: call(n)) for n in range(5)))  # type: ignore[misc]

    assert asyncio.run(all_of_them()) == [0, 2, 4, 6, 8]
    assert order == [0, 1, 2, 3, 4] and len(threads) == 1 and threading.get_ident() not in threads


def test_what_one_raises_is_its_own() -> None:
    def broken() -> None:
        raise PermissionError("no")

    async def both() -> list[object]:
        turn = InTurn()
        return await asyncio.gather(turn.read(broken), turn.read(lambda: 7), return_exceptions=True)

    failed, right = asyncio.run(both())
    assert isinstance(failed, PermissionError) and right == 7


def test_one_that_hangs_keeps_the_others_no_longer_than_its_turn() -> None:
    free = threading.Event()

    async def look() -> int:
        turn = InTurn()
        hangs = asyncio.create_task(turn.read(free.wait))
        try:
            return await asyncio.wait_for(turn.read(lambda: 1), 10)
        finally:
            assert not hangs.done()
            free.set()
            await hangs

    assert asyncio.run(look()) == 1


def test_whoever_comes_later_has_a_turn_too() -> None:
    async def two() -> tuple[int, int]:
        turn = InTurn()
        return await turn.read(lambda: 1), await turn.read(lambda: 2)

    assert asyncio.run(two()) == (1, 2)


def test_one_that_nobody_waits_for_any_more_does_no_harm() -> None:
    free = threading.Event()

    async def given_up() -> int:
        turn = InTurn()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(turn.read(free.wait), 0.01)
        free.set()
        return await turn.read(lambda: 3)

    assert asyncio.run(given_up()) == 3
