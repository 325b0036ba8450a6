"""What answers: this process, and the machine it is on."""

import asyncio
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from typing import Final

import psutil

from lib.metrics.reports import Cpu, Disk, Memory, System
from lib.settings import this_place
from lib.version import VERSION

SAMPLE: Final = 0.1
"""Seconds over which the use of the processor is measured: a function has no earlier moment to compare with."""


@dataclass(frozen=True, slots=True)
class About:
    """The process that answers."""

    version: str
    platform: str
    region: str | None
    python: str
    uptime_seconds: float


def about() -> About:
    """Return what answers."""
    place = this_place()
    return About(VERSION, place.platform, place.region, platform.python_version(), uptime())


def uptime() -> float:
    """Return the seconds since this process was started."""
    return round(time.time() - psutil.Process().create_time(), 1)


async def system() -> System:
    """Measure the machine, for `SAMPLE` seconds."""
    psutil.cpu_percent()  # the first call only notes the moment
    await asyncio.sleep(SAMPLE)
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(tempfile.gettempdir())
    return System(
        cpu=Cpu(psutil.cpu_percent(), os.cpu_count() or 1, round(os.getloadavg()[0], 2)),
        memory=Memory(memory.total, memory.available, memory.percent, psutil.Process().memory_info().rss),
        disk=Disk(disk.total, disk.free, disk.percent),
        uptime_seconds=uptime(),
    )
