# SPDX-License-Identifier: MIT
"""asyncio.  A thread runs a loop; callers use run_coroutine_threadsafe(), submitters
call_soon_threadsafe().  Work inside the loop is a coroutine of that loop."""

import asyncio
import threading
import time

import asyncio_tasks
import peer

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


async def noop():
    pass


def within(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def timed_within(function):
    """A workload that is a coroutine function."""
    return lambda count, number: peer.timed(within, function(count, number))


def within_itself(function):
    """Likewise, of one that takes its time itself."""
    return lambda count, number: within(function(count, number))


def submits(count, producers):
    left = (count + producers - 1) // producers * producers
    finished = threading.Event()

    def task():
        nonlocal left
        left -= 1
        if left == 0:
            finished.set()

    start = peer.now()
    peer.crew(count, producers, lambda: loop.call_soon_threadsafe(task))
    finished.wait()
    return peer.now() - start


async def spawns(count, _):
    for _ in range(count):
        await asyncio.create_task(noop())


async def yields(count, _):
    async def half():
        for _ in range(count // 2):
            await asyncio.sleep(0)

    await asyncio.gather(half(), half())


async def sleepers(count):
    tasks = [asyncio.create_task(asyncio.sleep(peer.SLEEP_S)) for _ in range(count)]
    await asyncio.sleep(0)
    asleep = peer.resident_bytes()
    await asyncio.wait(tasks)
    return asleep


async def offloads(count, flight):
    async def one():
        for _ in range((count + flight - 1) // flight):
            await asyncio.to_thread(int)

    await asyncio.gather(*(one() for _ in range(flight)))


async def nested(count, _):
    for _ in range(count):
        thread = threading.Thread(target=asyncio.run, args=(noop(),))
        thread.start()
        thread.join()


async def generator(count):
    for i in range(count):
        yield i


async def push(queue, count):
    for i in range(count):
        await queue.put(i)


def iterate(count, ahead):
    queue, items = asyncio.Queue(ahead), generator(count)
    if ahead > 1:
        asyncio.run_coroutine_threadsafe(push(queue, count), loop)
    step = items.__anext__ if ahead == 1 else queue.get
    return peer.timed(peer.repeat, count, lambda: within(step()))


async def in_loop(count, _):
    async for _ in generator(count):
        pass


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


def echo(_, __):
    server = within(loop.create_server(Echo, "127.0.0.1", 0))
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    time.sleep(1e6)


peer.serve(lambda: within(noop()), lambda count: within(sleepers(count)), {
    "W3": submits,
    "W4": timed_within(spawns),
    "W5": timed_within(yields),
    "W7": timed_within(offloads),
    "W8": timed_within(nested),
    "W9": iterate,
    "W9-loop": timed_within(in_loop),
    "W10": echo,
    "W13": asyncio_tasks.here,
    **{name: within_itself(work) for name, work in asyncio_tasks.WORKS.items()},
})
