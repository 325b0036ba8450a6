"""Many log-ins at once: each is served, nobody else waits for them, and beyond what there is time for they are told."""

import asyncio
import statistics
import time
from uuid import uuid4

import pytest

from lib.auth.passwords import MOST_NEW, MOST_WAITING, verify_password
from tests.fixtures.web import PASSWORD, Deployment

LOG_INS = 20


@pytest.mark.alone
async def test_with_twenty_log_ins_in_flight_health_answers_at_once_and_all_are_served(parley: Deployment) -> None:
    account = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    await parley.client.post("/auth/register", json=account)
    await parley.client.get("/health/")
    log_ins = [asyncio.create_task(parley.client.post("/auth/login", json=account)) for _ in range(LOG_INS)]
    seconds: list[float] = []
    while sum(not log_in.done() for log_in in log_ins) > 2:
        began = time.perf_counter()
        response = await parley.client.get("/health/")
        seconds.append(time.perf_counter() - began)
        assert response.status_code == 200
    assert [log_in.status_code for log_in in await asyncio.gather(*log_ins)] == [200] * LOG_INS
    assert len(seconds) > LOG_INS
    assert statistics.median(seconds) < 0.05


async def test_a_log_in_that_would_wait_too_long_is_told_when_to_come_back(parley: Deployment) -> None:
    waiting = [asyncio.create_task(verify_password("somebody else's", None)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    response = await parley.client.post("/auth/login", json={"email": "jo@example.com", "password": PASSWORD})
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert (response.status_code, response.json()["code"]) == (503, "busy")
    assert response.headers["retry-after"] == "8"
    served = await parley.client.post("/auth/login", json={"email": "jo@example.com", "password": PASSWORD})
    assert served.status_code == 401


async def test_who_registers_in_masses_is_told_to_come_back_and_a_strangers_log_in_is_served(
    parley: Deployment,
) -> None:
    stranger = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    await parley.client.post("/auth/register", json=stranger)
    masses = [
        asyncio.create_task(
            parley.client.post("/auth/register", json=stranger | {"email": f"{uuid4().hex}@a.example.com"})
        )
        for _ in range(MOST_WAITING + 8)
    ]
    refused = await next(asyncio.as_completed(masses))
    assert (refused.status_code, refused.json()["code"]) == (503, "busy")
    assert (await parley.client.post("/auth/login", json=stranger)).status_code == 200
    statuses = [answer.status_code for answer in await asyncio.gather(*masses)]
    assert MOST_NEW <= statuses.count(201) < MOST_WAITING
    assert set(statuses) == {201, 503}
