# SPDX-License-Identifier: MIT
"""AnyIO: what tasks of one loop do with one another.  W11 to W15."""

import anyio

import peer

HOUR = 3600


async def messages(count, _):
    to, to_end = anyio.create_memory_object_stream(1)
    back, back_end = anyio.create_memory_object_stream(1)

    async def pong():
        async with to_end, back:
            async for message in to_end:
                await back.send(message)

    start = peer.now()
    async with anyio.create_task_group() as group, back_end:
        group.start_soon(pong)
        async with to:
            for i in range(count // 2):
                await to.send(i)
                await back_end.receive()
    return peer.now() - start


async def cancels(count, _):
    """What is cancelled is a scope: a group of its own for each."""
    elapsed = 0
    for _ in range(count):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, HOUR)
            await anyio.sleep(0)  # it sleeps now
            start = peer.now()
            group.cancel_scope.cancel()
        elapsed += peer.now() - start
    return elapsed


async def groups(count, _):
    async def noop():
        pass

    start = peer.now()
    for _ in range(count):
        async with anyio.create_task_group() as group:
            group.start_soon(noop)
    return peer.now() - start


async def scopes(count, _):
    start = peer.now()
    for _ in range(count):
        with anyio.move_on_after(HOUR):
            pass
    return peer.now() - start


WORKS = {"W11": messages, "W14": cancels, "W15-group": groups, "W15-scope": scopes}
