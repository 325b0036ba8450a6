"""What the time of a refused log-in tells: nothing of whether there is an account."""

import time
from itertools import product
from uuid import uuid4

import pytest

from tests.fixtures.web import PASSWORD, Deployment, Rows

ROUNDS = 16


@pytest.mark.alone
async def test_a_known_an_unknown_and_an_inactive_user_are_refused_in_times_that_mix(
    parley: Deployment, rows: Rows
) -> None:
    known, inactive, unknown = (f"{uuid4().hex}@example.com" for _ in range(3))
    for email in (known, inactive):
        account = {"email": email, "password": PASSWORD}
        assert (await parley.client.post("/auth/register", json=account)).status_code == 201
    await rows("UPDATE users SET is_active = false WHERE email = %s", inactive)
    asked = {
        "known": {"email": known, "password": "not-the-password"},
        "unknown": {"email": unknown, "password": "not-the-password"},
        "inactive": {"email": inactive, "password": PASSWORD},
    }
    times: dict[str, list[float]] = {name: [] for name in asked}
    for round_ in range(ROUNDS):
        for name in sorted(asked, key=lambda name: hash((round_, name))):
            began = time.perf_counter()
            answer = await parley.client.post("/auth/login", json=asked[name])
            times[name].append(time.perf_counter() - began)
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    told = {(one, other): precedence(times[one], times[other]) for one, other in product(asked, asked) if one < other}
    # Of two samples of 16 from one distribution this is within .5 +- .4 but once in some ten thousand times.
    assert {pair: share for pair, share in told.items() if not 0.1 <= share <= 0.9} == {}


def precedence(one: list[float], other: list[float]) -> float:
    """Return the share of pairs in which the first is the shorter: .5 of one distribution, 0 or 1 of two apart.

    It is the U of Mann and Whitney over its greatest value.
    """
    return sum(a < b for a, b in product(one, other)) / (len(one) * len(other))
