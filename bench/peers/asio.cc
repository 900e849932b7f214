/* SPDX-License-Identifier: MIT */
/*
 * Boost.Asio with C++20 coroutines.  A thread runs an io_context; callers co_spawn() with
 * use_future, submitted tasks are post()ed.  Boost 1.74 has no channels, so no W9.
 */
#include "peer.h"

#include <utility> /* Boost 1.74 forgets it */
#include <boost/asio.hpp>
#include <thread>

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;

static asio::io_context context(1);

static awaitable<void> noop() { co_return; }

void peer_start()
{
    static auto work = asio::make_work_guard(context);

    std::thread([] { context.run(); }).detach();
}

void peer_call()
{
    asio::co_spawn(context, noop(), asio::use_future).get();
}

void peer_submit() { asio::post(context, peer_task_ran); }

/* Run MAIN on a loop of this thread until it has nothing to do.  Returns ns. */
static int64_t run(awaitable<void> main)
{
    asio::io_context own(1);
    int64_t start = peer_now_ns();

    asio::co_spawn(own, std::move(main), asio::detached);
    own.run();
    return peer_now_ns() - start;
}

static awaitable<void> spawns(int64_t count)
{
    auto executor = co_await asio::this_coro::executor;

    for (int64_t i = 0; i < count; i++)
        co_await asio::co_spawn(executor, noop(), use_awaitable);
}

int64_t peer_spawn(int64_t count, int)
{
    return run(spawns(count));
}

static awaitable<void> yields(int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        co_await asio::post(use_awaitable);
}

static awaitable<void> two_yielders(int64_t count)
{
    auto executor = co_await asio::this_coro::executor;

    for (int i = 0; i < 2; i++)
        asio::co_spawn(executor, yields(count / 2), asio::detached);
}

int64_t peer_yield(int64_t count, int)
{
    return run(two_yielders(count));
}

static awaitable<void> sleeper()
{
    asio::steady_timer timer(co_await asio::this_coro::executor);

    timer.expires_after(std::chrono::nanoseconds(PEER_DELAY_NS));
    peer_sleeper_begins();
    co_await timer.async_wait(use_awaitable);
    peer_sleeper_ends();
}

void peer_sleep()
{
    asio::io_context own(1);

    for (int64_t i = 0; i < peer_sleepers; i++)
        asio::co_spawn(own, sleeper(), asio::detached);
    own.run();
}

static awaitable<void> offloads(asio::thread_pool &pool, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        co_await asio::co_spawn(pool, noop(), use_awaitable);
}

int64_t peer_offload(int64_t count, int flight)
{
    static asio::thread_pool pool(4);
    asio::io_context own(1);
    int64_t start = peer_now_ns();

    for (int i = 0; i < flight; i++)
        asio::co_spawn(own, offloads(pool, (count + flight - 1) / flight), asio::detached);
    own.run();
    return peer_now_ns() - start;
}

void *peer_nested(void *unused)
{
    run(noop());
    return unused;
}

static awaitable<void> serve(asio::ip::tcp::socket connection)
{
    char buffer[4096];
    boost::system::error_code error;
    auto token = asio::redirect_error(use_awaitable, error);

    connection.set_option(asio::ip::tcp::no_delay(true));
    for (;;) {
        size_t size = co_await connection.async_read_some(asio::buffer(buffer), token);

        if (error)
            co_return;
        co_await asio::async_write(connection, asio::buffer(buffer, size), token);
    }
}

static awaitable<void> listen(int fd)
{
    auto executor = co_await asio::this_coro::executor;
    asio::ip::tcp::acceptor acceptor(executor, asio::ip::tcp::v4(), fd);

    for (peer_ready(fd);;)
        asio::co_spawn(executor, serve(co_await acceptor.async_accept(use_awaitable)),
                asio::detached);
}

int64_t peer_echo(int64_t, int)
{
    return run(listen(peer_listen()));
}
