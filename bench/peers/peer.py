# SPDX-License-Identifier: MIT
"""What peer.h says, for the peers in Python."""

import sys
import threading
import time

SLEEP_S = 1.0
records = []  # of the last repetition


def now():
    return time.perf_counter_ns()


def timed(work, *arguments):
    start = now()
    work(*arguments)
    return now() - start


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def repeat(count, work):
    for _ in range(count):
        work()


def crew(count, threads, work):
    """Let THREADS do WORK together until it was done COUNT times."""
    barrier = threading.Barrier(threads + 1)

    def member():
        barrier.wait()
        repeat((count + threads - 1) // threads, work)

    members = [threading.Thread(target=member) for _ in range(threads)]
    for one in members:
        one.start()
    barrier.wait()
    start = now()
    for one in members:
        one.join()
    return now() - start


def calls_apart(call, delay):
    def run(count, _):
        for _ in range(count):
            time.sleep(delay) if delay else None
            records.append(timed(call))
        return sum(records)

    return run


def sleepers_time(sleep):
    def run(_, sleepers):
        before, start = resident_bytes(), now()
        asleep = sleep(sleepers)
        records.append((asleep - before) // sleepers)
        return now() - start - int(SLEEP_S * 1e9)

    return run


def sleepers_bytes(sleep):
    def run(_, sleepers):
        before = resident_bytes()
        return (sleep(sleepers) - before) // sleepers

    return run


def serve(call, sleep, works):
    """WORKS are functions of count and number that return ns; those made of CALL and SLEEP are
    added.  SLEEP lets that many sleep, and returns the resident bytes meanwhile."""
    works.update({
        "W1-hot": lambda count, _: timed(repeat, count, call),
        "W1-one-core": lambda count, _: timed(repeat, count, call),
        "W1-latency": calls_apart(call, 0),
        "W1-parked": calls_apart(call, 0.002),
        "W2": lambda count, callers: crew(count, callers, call),
        "W6-time": sleepers_time(sleep),
        "W6-bytes": sleepers_bytes(sleep),
    })
    workload = sys.argv[1]
    once = workload.startswith("W6")  # one figure for all sleepers
    name, number = workload, 100000 if once else 1
    head, _, tail = workload.rpartition("-")
    if tail.isdigit():
        name, number = head, int(tail)
    if name not in works:
        return
    if name == "W10":
        works[name](0, 0)  # says itself when it is ready
    print("ready", flush=True)
    for line in sys.stdin:
        count = int(line)
        records.clear()
        each = works[name](count, number) / (1 if once else count)
        print(each, *(records if name in ("W1-latency", "W6-time") else ()), flush=True)
