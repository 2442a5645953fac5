"""Windows by the real dates of real zones; against brute force, which steps from minute to minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkprov.runbook.windows import Freeze, Open, Window, begins, frozen_at, open_from, overlap

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def first(window: Window, now: str, *freezes: Freeze, count: int = 1) -> list[tuple[str, str]]:
    found = islice(open_from(window, freezes, at(now)), count)
    zone = ZoneInfo(window.zone)
    return [(o.opens.astimezone(zone).isoformat(), o.closes.astimezone(zone).isoformat()) for o in found]


WEEKLY = Window(BERLIN, datetime(2026, 3, 7, 1), 3 * 3600.0, "FREQ=WEEKLY;BYDAY=SA,SU")


class TestChangesOfClock:
    def test_one_that_crosses_the_change_to_summer_is_as_long_as_any(self) -> None:
        # 29 March 2026: 02:00 is 03:00
        assert first(WEEKLY, "2026-03-29T00:00+01:00", count=2) == [
            ("2026-03-29T01:00:00+01:00", "2026-03-29T05:00:00+02:00"),
            ("2026-04-04T01:00:00+02:00", "2026-04-04T04:00:00+02:00"),
        ]

    def test_one_that_crosses_the_change_to_winter_is_as_long_as_any(self) -> None:
        # 25 October 2026: 03:00 is 02:00
        assert first(WEEKLY, "2026-10-25T00:00+02:00") == [("2026-10-25T01:00:00+02:00", "2026-10-25T03:00:00+01:00")]

    def test_a_begin_that_the_clock_leaves_out_is_read_with_the_offset_before(self) -> None:
        window = Window(BERLIN, datetime(2026, 3, 28, 2, 30), 3600.0, "FREQ=DAILY")
        assert [o for o, _ in first(window, "2026-03-28T00:00+01:00", count=3)] == [
            "2026-03-28T02:30:00+01:00",
            "2026-03-29T03:30:00+02:00",
            "2026-03-30T02:30:00+02:00",
        ]

    def test_a_begin_that_comes_twice_is_the_first(self) -> None:
        window = Window(BERLIN, datetime(2026, 10, 24, 2, 30), 3600.0, "FREQ=DAILY")
        assert [o for o, _ in first(window, "2026-10-24T12:00+02:00", count=2)] == [
            "2026-10-25T02:30:00+02:00",
            "2026-10-26T02:30:00+01:00",
        ]

    def test_it_is_open_in_the_hour_that_comes_twice(self) -> None:
        window = Window(BERLIN, datetime(2026, 10, 25, 2, 30), 3600.0)
        for now, is_open in (
            ("02:45+02:00", True),
            ("02:15+01:00", True),
            ("02:29:59+01:00", True),
            ("02:31+01:00", False),
        ):
            found = next(open_from(window, (), at(f"2026-10-25T{now}")), None)
            assert (found is not None and found.opens <= at(f"2026-10-25T{now}")) is is_open, now


class TestFreezes:
    def test_days_of_the_windows_zone_and_their_last_moment(self) -> None:
        freeze = Freeze(date(2026, 3, 14), date(2026, 3, 15), "fair")
        assert first(WEEKLY, "2026-03-09T00:00Z", freeze) == [
            ("2026-03-21T01:00:00+01:00", "2026-03-21T04:00:00+01:00")
        ]
        assert frozen_at((freeze,), BERLIN, at("2026-03-15T23:59:59+01:00")) == freeze
        assert frozen_at((freeze,), BERLIN, at("2026-03-16T00:00+01:00")) is None

    def test_one_that_is_frozen_in_its_midst_has_two_ends(self) -> None:
        long = Window("UTC", datetime(2026, 3, 7, 12), 72 * 3600.0)
        assert first(long, "2026-03-01T00:00Z", Freeze(date(2026, 3, 8), date(2026, 3, 8)), count=9) == [
            ("2026-03-07T12:00:00+00:00", "2026-03-08T00:00:00+00:00"),
            ("2026-03-09T00:00:00+00:00", "2026-03-10T12:00:00+00:00"),
        ]


def test_the_one_that_is_open_comes_first_and_a_single_one_is_over_for_good() -> None:
    once = Window("UTC", datetime(2026, 3, 7, 12), 3600.0)
    assert first(once, "2026-03-07T12:59:59Z") == [("2026-03-07T12:00:00+00:00", "2026-03-07T13:00:00+00:00")]
    assert first(once, "2026-03-07T13:00Z") == []


def test_one_that_never_opens() -> None:
    assert (
        list(
            begins(
                Window("UTC", datetime(2026, 1, 1), 60.0, "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"),
                at("2026-01-01T00:00Z"),
            )
        )
        == []
    )


@pytest.mark.parametrize(
    "recurrence",
    ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=MONTHLY;BYDAY=6MO", "FREQ=SECONDLY;UNTIL=20200101T000000Z"],
)
def test_one_that_is_searched_for_in_vain_is_not_searched_for_ever(recurrence: str) -> None:
    assert list(begins(Window("UTC", datetime(2016, 1, 1), 60.0, recurrence), at("2026-01-01T00:00Z"))) == []


def test_one_that_began_long_ago_is_not_gone_through_from_there() -> None:
    now = at("2026-11-29T12:00:00Z")
    for recurrence, opens in (
        ("FREQ=SECONDLY;INTERVAL=7", "2026-11-29T12:00:03+00:00"),
        ("FREQ=MINUTELY", "2026-11-29T12:00:00+00:00"),
        ("FREQ=HOURLY;INTERVAL=5", "2026-11-29T16:00:00+00:00"),
    ):
        [found] = islice(begins(Window("UTC", datetime(1990, 1, 1), 1.0, recurrence), now), 1)
        assert found.isoformat() == opens
    counted = Window("UTC", datetime(2026, 11, 29, 11), 60.0, "FREQ=MINUTELY;INTERVAL=10;COUNT=8")
    assert [b.isoformat()[11:16] for b in begins(counted, now)] == ["12:00", "12:10"]
    assert list(begins(counted, at("2026-11-30T12:00Z"))) == []


@pytest.mark.parametrize(
    "recurrence",
    [
        "FREQ=SECONDLY;BYMONTH=2",
        "EVERY DAY",
        "FREQ=DAILY\nFREQ=DAILY",
        "DTSTART:20260101T000000",
        "FREQ=NEVER",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=-1",
        # they would be searched for through millions of hours or days
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=50",
        "INTERVAL=2",
    ],
)
def test_what_is_no_recurrence(recurrence: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(islice(begins(Window("UTC", datetime(2026, 1, 1), 60.0, recurrence), at("2026-01-01T00:00Z")), 2))


@pytest.mark.parametrize(
    ("recurrence", "length_s", "overlaps"),
    [
        ("FREQ=HOURLY", 3601.0, True),
        ("FREQ=HOURLY", 3600.0, False),
        ("FREQ=WEEKLY;BYDAY=SA,SU", 25 * 3600.0, True),
        ("", 1e6, False),
    ],
)
def test_overlap(recurrence: str, length_s: float, overlaps: bool) -> None:
    assert (overlap(Window(BERLIN, datetime(2026, 3, 7, 1), length_s, recurrence)) is not None) is overlaps


@given(
    zone=st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"]),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1)).map(lambda d: d.replace(second=0, microsecond=0)),
    days=st.integers(1, 3),
    minutes=st.integers(1, 23 * 60),
    ahead=st.integers(-60 * 24, 60 * 24 * 20),
    frozen=st.none() | st.integers(0, 15),
)
def test_open_is_what_minute_by_minute_is_open(
    zone: str, start: datetime, days: int, minutes: int, ahead: int, frozen: int | None
) -> None:
    """By the definition: some begin, its local time the start's plus so many days, was less than the length ago, and no freeze holds."""
    window = Window(zone, start, minutes * 60.0, f"FREQ=DAILY;INTERVAL={days}")
    local = ZoneInfo(zone)
    freezes = (
        () if frozen is None else (Freeze((start + timedelta(frozen)).date(), (start + timedelta(frozen + 1)).date()),)
    )
    now = start.replace(tzinfo=local).astimezone(UTC) + timedelta(minutes=ahead)

    instants = [(start + timedelta(days * n)).replace(tzinfo=local).astimezone(UTC) for n in range(40)]

    def is_open(moment: datetime) -> bool:
        today = moment.astimezone(local).date()
        return any(i <= moment < i + timedelta(minutes=minutes) for i in instants) and not any(
            f.first <= today <= f.last for f in freezes
        )

    found: Open | None = next(open_from(window, freezes, now), None)
    assert found is not None
    assert (found.opens <= now) is is_open(now)
    moment = max(now, found.opens)
    assert is_open(moment) and is_open(found.closes - timedelta(seconds=1))
    if minutes < 22 * 60:  # a longer one may touch the next, on the day that has an hour less
        assert not is_open(found.closes)
    if found.opens > now:
        assert not any(is_open(now + (found.opens - now) * part / 7) for part in range(7))
