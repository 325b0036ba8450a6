"""What the benchmark reads of processes."""

import os
import subprocess
import sys
import time
from typing import IO, cast

from bench.processes import processor_time, resident

WORKS = """
import sys, time
while time.process_time() < 0.3: pass
print("done", flush=True)
sys.stdin.read()
"""


def test_the_time_of_a_process_and_of_its_children_is_read() -> None:
    own = processor_time(os.getpid())
    with subprocess.Popen([sys.executable, "-c", WORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        cast("IO[bytes]", child.stdout).readline()
        alone, together = processor_time(child.pid), processor_time(os.getpid())
        cast("IO[bytes]", child.stdin).close()
    assert 0.25 < alone < 10
    assert together - own >= alone


def test_own_work_counts() -> None:
    before, began = processor_time(os.getpid()), time.process_time()
    while time.process_time() - began < 0.1:
        pass
    assert processor_time(os.getpid()) - before > 0.05


def test_a_process_that_has_ended_has_used_nothing_more() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
        assert processor_time(child.pid) == 0


def test_what_a_process_holds_is_read_in_bytes() -> None:
    before = resident(os.getpid())
    held = bytearray(os.urandom(1024)) * (64 * 1024)
    assert resident(os.getpid()) - before > 32 * 1024 * 1024
    assert len(held) == 64 * 1024 * 1024
