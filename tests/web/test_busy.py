"""Many log-ins at once: each is served, nobody else waits for them, and beyond what there is time for they are told."""

import asyncio
import statistics
import time
from uuid import uuid4

from lib.auth.passwords import MOST_WAITING, hash_password
from tests.fixtures.web import PASSWORD, Deployment

LOG_INS = 20


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
    waiting = [asyncio.create_task(hash_password("somebody else's")) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    response = await parley.client.post("/auth/login", json={"email": "jo@example.com", "password": PASSWORD})
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert (response.status_code, response.json()["code"]) == (503, "busy")
    assert response.headers["retry-after"] == "16"
    served = await parley.client.post("/auth/login", json={"email": "jo@example.com", "password": PASSWORD})
    assert served.status_code == 401
