# SPDX-License-Identifier: MIT
"""AnyIO on asyncio.  A thread runs a blocking portal; callers use portal.call(), submitters
portal.start_task_soon().  Children belong to a task group.  W9 is a memory object stream."""

import threading

import anyio
from anyio.from_thread import start_blocking_portal

import anyio_tasks
import peer


async def noop():
    pass


def submits(count, producers):
    left = (count + producers - 1) // producers * producers
    finished = threading.Event()

    async def task():
        nonlocal left
        left -= 1
        if left == 0:
            finished.set()

    start = peer.now()
    peer.crew(count, producers, lambda: portal.start_task_soon(task))
    finished.wait()
    return peer.now() - start


async def spawns(count, _):
    for _ in range(count):
        async with anyio.create_task_group() as group:
            group.start_soon(noop)


async def yields(count, _):
    async def half():
        for _ in range(count // 2):
            await anyio.sleep(0)

    async with anyio.create_task_group() as group:
        group.start_soon(half)
        group.start_soon(half)


async def sleepers(count):
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(anyio.sleep, peer.SLEEP_S)
        await anyio.sleep(0)
        return peer.resident_bytes()


async def offloads(count, flight):
    async def one():
        for _ in range((count + flight - 1) // flight):
            await anyio.to_thread.run_sync(int)

    async with anyio.create_task_group() as group:
        for _ in range(flight):
            group.start_soon(one)


async def nested(count, _):
    for _ in range(count):
        thread = threading.Thread(target=anyio.run, args=(noop,))
        thread.start()
        thread.join()


async def push(sender, count):
    async with sender:
        for i in range(count):
            await sender.send(i)


def iterate(count, ahead):
    sender, receiver = anyio.create_memory_object_stream(ahead if ahead > 1 else 0)
    portal.start_task_soon(push, sender, count)
    return peer.timed(peer.repeat, count, lambda: portal.call(receiver.receive))


async def in_loop(count, _):
    sender, receiver = anyio.create_memory_object_stream(0)
    async with anyio.create_task_group() as group:
        group.start_soon(push, sender, count)
        async for _ in receiver:
            pass


async def connection(stream):
    async with stream:
        async for data in stream:
            await stream.send(data)


async def serve():
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    print("ready", port, flush=True)
    await listener.serve(connection)


def timed_within(function):
    """A workload that is a coroutine function."""
    return lambda count, number: peer.timed(portal.call, function, count, number)


def within_itself(function):
    """Likewise, of one that takes its time itself."""
    return lambda count, number: portal.call(function, count, number)


with start_blocking_portal() as portal:
    peer.serve(lambda: portal.call(noop), lambda count: portal.call(sleepers, count), {
        "W3": submits,
        "W4": timed_within(spawns),
        "W5": timed_within(yields),
        "W7": timed_within(offloads),
        "W8": timed_within(nested),
        "W9": iterate,
        "W9-loop": timed_within(in_loop),
        "W10": lambda _, __: portal.call(serve),
        **{name: within_itself(work) for name, work in anyio_tasks.WORKS.items()},
    })
