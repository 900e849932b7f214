# SPDX-License-Identifier: MIT
"""asyncio: what coroutines of one loop do with one another.  W11 to W15."""

import asyncio
import contextvars

import peer

BATCH, HOUR = 32, 3600
VARS = [contextvars.ContextVar(f"one of eight, {i}") for i in range(8)]


async def messages(count, _):
    to, back = asyncio.Queue(1), asyncio.Queue(1)

    async def pong():
        for _ in range(count // 2):
            await back.put(await to.get())

    start = peer.now()
    other = asyncio.create_task(pong())
    for i in range(count // 2):
        await to.put(i)
        await back.get()
    await other
    return peer.now() - start


def here(count, _):
    async def noop():
        pass

    own = asyncio.new_event_loop()
    return peer.timed(peer.repeat, count, lambda: own.run_until_complete(noop()))


async def cancels(count, _):
    elapsed = 0
    for begun in range(0, count, BATCH):
        batch = range(min(BATCH, count - begun))
        sleepers = [asyncio.create_task(asyncio.sleep(HOUR)) for _ in batch]
        await asyncio.sleep(0)  # they sleep now
        start = peer.now()
        for one in sleepers:
            one.cancel()
        await asyncio.wait(sleepers)
        elapsed += peer.now() - start
    return elapsed


async def groups(count, _):
    async def noop():
        pass

    start = peer.now()
    for _ in range(count):
        async with asyncio.TaskGroup() as group:
            group.create_task(noop())
    return peer.now() - start


async def scopes(count, _):
    start = peer.now()
    for _ in range(count):
        async with asyncio.timeout(HOUR):
            pass
    return peer.now() - start


async def captures(count, _):
    for var in VARS:
        var.set(None)
    return peer.timed(peer.repeat, count, contextvars.copy_context)


WORKS = {
    "W11": messages,
    "W14": cancels,
    "W15-group": groups,
    "W15-scope": scopes,
    "W15-capture": captures,
}
