/* SPDX-License-Identifier: MIT */
/*
 * Boost.Fiber.  A thread takes packaged tasks from a buffered channel and runs each in a fiber, and
 * a caller waits for the task's future.  It has no descriptors and no pool, so no W7, W10.
 */
#include "peer.h"

#include <boost/fiber/all.hpp>
#include <thread>

namespace fibers = boost::fibers;

using task = fibers::packaged_task<void()>;

static fibers::buffered_channel<task> *tasks;

void peer_start()
{
    if (tasks)
        return;
    tasks = new fibers::buffered_channel<task>(1024);
    std::thread([] {
        task next;

        while (tasks->pop(next) == fibers::channel_op_status::success)
            fibers::fiber(fibers::launch::dispatch, std::move(next)).detach();
    }).detach();
}

void peer_call()
{
    task call([] {});
    auto future = call.get_future();

    tasks->push(std::move(call));
    future.get();
}

void peer_submit()
{
    tasks->push(task(peer_task_ran));
}

int64_t peer_spawn(int64_t count, int)
{
    int64_t start = peer_now_ns();

    for (int64_t i = 0; i < count; i++)
        fibers::fiber([] {}).join();
    return peer_now_ns() - start;
}

int64_t peer_yield(int64_t count, int)
{
    auto yields = [count] {
        for (int64_t i = 0; i < count / 2; i++)
            boost::this_fiber::yield();
    };
    int64_t start = peer_now_ns();
    fibers::fiber one(yields), other(yields);

    one.join();
    other.join();
    return peer_now_ns() - start;
}

static void sleeper()
{
    peer_sleeper_begins();
    boost::this_fiber::sleep_for(std::chrono::nanoseconds(PEER_DELAY_NS));
    peer_sleeper_ends();
}

void peer_sleep()
{
    fibers::fixedsize_stack stack(16384);
    std::vector<fibers::fiber> all;

    for (int64_t i = 0; i < peer_sleepers; i++)
        all.emplace_back(fibers::launch::dispatch, std::allocator_arg, stack, sleeper);
    for (auto &fiber : all)
        fiber.join();
}

void *peer_nested(void *unused)
{
    fibers::fiber([] {}).join();
    return unused;
}

/* A fiber of the other thread pushes COUNT items; this thread takes them. */
template <class Channel> static int64_t take(Channel &channel, int64_t count)
{
    int64_t start = peer_now_ns(), item;

    task source([&channel, count] {
        for (int64_t i = 0; i < count; i++)
            channel.push(i);
    });
    auto ended = source.get_future();

    tasks->push(std::move(source));
    for (int64_t i = 0; i < count; i++)
        channel.pop(item);
    ended.get();
    return peer_now_ns() - start;
}

int64_t peer_iterate(int64_t count, int ahead)
{
    fibers::unbuffered_channel<int64_t> lock_step;
    fibers::buffered_channel<int64_t> channel(64);

    return ahead == 1 ? take(lock_step, count) : take(channel, count);
}

int64_t peer_in_loop(int64_t count, int)
{
    fibers::unbuffered_channel<int64_t> channel;
    int64_t start = peer_now_ns(), item;
    fibers::fiber source([&channel, count] {
        for (int64_t i = 0; i < count; i++)
            channel.push(i);
    });

    for (int64_t i = 0; i < count; i++)
        channel.pop(item);
    source.join();
    return peer_now_ns() - start;
}

int64_t peer_messages(int64_t count, int)
{
    fibers::buffered_channel<int64_t> to(2), from(2); /* the least it takes; it holds one less */
    int64_t start = peer_now_ns(), item;
    fibers::fiber pong([&to, &from, count, message = int64_t()]() mutable {
        for (int64_t i = 0; i < count / 2; i++) {
            to.pop(message);
            from.push(message);
        }
    });

    for (int64_t i = 0; i < count / 2; i++) {
        to.push(i);
        from.pop(item);
    }
    pong.join();
    return peer_now_ns() - start;
}
