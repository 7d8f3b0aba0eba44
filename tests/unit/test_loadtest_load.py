"""Loads: when requests are due, and how processes share them."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from loadtest.load import Load
from loadtest.timing import Timing, stable


def test_constant_arrivals_are_evenly_spaced():
    assert list(islice(Load(rate_per_s=4.0).due(10.0), 4)) == [10.0, 10.25, 10.5, 10.75]


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_processes_take_turns_at_a_constant_rate(processes):
    shares = Load(rate_per_s=10.0).shares(processes)

    together = sorted(due for share in shares for due in islice(share.due(0.0), 20))

    assert len(shares) == processes
    assert together[:20] == pytest.approx([number / 10 for number in range(20)])


def test_random_arrivals_are_exponential_the_same_again_and_others_in_each_process():
    load = Load(rate_per_s=100.0, arrivals="poisson", seed=1)
    gaps = np.diff(list(islice(load.due(0.0), 5000)))

    assert gaps.mean() == pytest.approx(0.01, rel=0.05)
    assert gaps.std() == pytest.approx(0.01, rel=0.05)
    assert list(islice(load.due(0.0), 9)) == list(islice(load.due(0.0), 9))
    first, second = load.shares(2)
    assert (first.rate_per_s, second.rate_per_s) == (50.0, 50.0)
    assert next(first.due(0.0)) != next(second.due(0.0))


@pytest.mark.parametrize(("users", "processes", "counts"), [(5, 2, [3, 2]), (1, 3, [1]), (6, 3, [2, 2, 2])])
def test_users_are_shared_out_and_nobody_is_a_process_without_any(users, processes, counts):
    assert [share.users for share in Load(users=users).shares(processes)] == counts


@pytest.mark.parametrize(
    ("load", "text"),
    [
        (Load(users=1), "1 user"),
        (Load(users=2), "2 users"),
        (Load(rate_per_s=12.5), "12.5 requests/s"),
        (Load(rate_per_s=10.0, arrivals="poisson"), "10 requests/s, poisson"),
    ],
)
def test_loads_in_words(load, text):
    assert str(load) == text


@pytest.mark.parametrize(
    ("images_per_s", "latency_ms", "agree"),
    [
        ([100, 110, 105], [10, 10, 10.9], True),
        ([100, 111, 105], [10, 10, 10], False),
        ([100, 100, 100], [10, 10, 11.1], False),
        ([50, 100, 105, 102], [20, 10, 10, 10], True),
        ([100, 105], [10, 10], False),
        ([100, 0, 105], [10, None, 10], False),
    ],
)
def test_the_last_three_windows_must_agree_within_10_per_cent_in_both(images_per_s, latency_ms, agree):
    assert stable(images_per_s, latency_ms) is agree


def test_windows_of_slow_models_are_longer_and_bounded():
    timing = Timing(warm_up_s=3.0, duration_s=5.0, open_requests=30)

    assert timing.expected_s == 18.0
    assert (timing.enough(1), timing.enough(100), timing.enough(None)) == (10, 300, 30)
    assert (timing.longest_window_s(1.0), timing.longest_window_s(60.0)) == (30.0, 90.0)
