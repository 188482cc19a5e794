"""
Python imports this at its start where this folder is on its path: its monotonic clock travels with a test's `TravelClock`.

Not by libfaketime, as the Redis server's: it parses its file without a lock, and a process with threads now and then reads the
time of before all leaps.  A deadline that is reckoned from that is over at once, and a request answered 503.
"""

import asyncio
import os
import time

clock = os.open(os.environ["TRAVEL_CLOCK"], os.O_RDONLY)
real = time.monotonic
time.monotonic = lambda: real() + float(os.pread(clock, 64, 0))
# What is under way when time leaps goes on: only what reads the clock sees it, as with `travelling` in the test's own process.
asyncio.BaseEventLoop.time = lambda _: real()
