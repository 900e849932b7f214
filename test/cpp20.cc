// SPDX-License-Identifier: MIT
// include/anysync/future.hpp, run by test_cpp20.sh: prints "ok NAME" or what was wrong.
#include <anysync/future.hpp>

#include <anysync/with_poll.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            std::printf("not ok %s:%d: %s\n", __FILE__, __LINE__, #what);                          \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

namespace
{

int add_later_body(void *argument, void *result)
{
    const int *terms = static_cast<int *>(argument);
    int error = anysync_sleep(anysync_in_ms(1));

    if (terms[0] < 0)
        return anysync_fail(-EDOM, "%d is negative", terms[0]);
    *static_cast<int *>(result) = terms[0] + terms[1];
    return error;
}

struct anysync_function make_add_later()
{
    struct anysync_function function = {};

    function.name = "add_later";
    function.file = __FILE__;
    function.line = __LINE__;
    function.body = add_later_body;
    function.argument_size = 2 * sizeof(int);
    function.result_size = sizeof(int);
    return function;
}

const struct anysync_function add_later_function = make_add_later();

anysync::future<int> add_later(int left, int right)
{
    int terms[] = {left, right};
    struct anysync_future *future = nullptr;

    CHECK(anysync_spawn(&add_later_function, terms, &future) == 0);
    return anysync::adopt<int>(future);
}

anysync::task<int> twice(anysync::future<int> sum)
{
    co_return 2 * co_await sum;
}

anysync::task<int> nested(int depth)
{
    if (depth == 0)
        co_return co_await twice(add_later(1, 2));
    co_return 1 + co_await nested(depth - 1);
}

anysync::task<void> throws(int kind)
{
    co_await add_later(0, 0);
    if (kind == 0)
        throw anysync::error(-EPIPE, "the pipe is gone");
    if (kind == 1)
        throw std::runtime_error("something else");
    throw 3;
}

anysync::task<std::thread::id> where(anysync::future<int> sum, struct anysync_port *port)
{
    (void)co_await sum.on(port);
    co_return std::this_thread::get_id();
}

int code_of(const anysync::future<void> &future, std::string *ret_sentence)
{
    try {
        future.get();
    } catch (const anysync::error &error) {
        *ret_sentence = error.what();
        return error.code();
    }
    return 0;
}

void check_awaits()
{
    CHECK(add_later(1, 2).get() == 3);
    CHECK(twice(add_later(1, 2)).get() == 6);
    CHECK(nested(10).get() == 16);
    anysync::future<int> made = anysync::make_future<int>();
    anysync::future<int> doubled = twice(made);
    CHECK(made.set(21));
    CHECK(!made.set(22));
    CHECK(doubled.get() == 42);
    anysync::future<double> real = anysync::make_future<double>();
    CHECK(real.set(21)); /* of another type */
    CHECK(real.get() == 21.0);
    anysync::future<void> nothing = anysync::make_future<void>();
    CHECK(nothing.set());
    nothing.get();
    std::puts("ok awaits");
}

void check_errors()
{
    std::string sentence;

    CHECK(code_of(throws(0), &sentence) == -EPIPE);
    CHECK(sentence == "the pipe is gone");
    CHECK(code_of(throws(1), &sentence) == -EIO);
    CHECK(sentence == "something else");
    CHECK(code_of(throws(2), &sentence) == -EIO);
    try {
        (void)twice(add_later(-1, 2)).get();
        CHECK(false);
    } catch (const anysync::error &error) {
        CHECK(error.code() == -EDOM);
        CHECK(std::string(error.what()) == "-1 is negative");
    }
    anysync::future<int> never = anysync::make_future<int>();
    try {
        (void)never.get(anysync_in_ms(1));
        CHECK(false);
    } catch (const anysync::error &error) {
        CHECK(error.code() == -ETIMEDOUT);
    }
    anysync::future<int> doubled = twice(never);
    never.cancel();
    try {
        (void)doubled.get();
        CHECK(false);
    } catch (const anysync::error &error) {
        CHECK(error.code() == -ECANCELED);
    }
    std::puts("ok errors");
}

void check_standard()
{
    CHECK(add_later(2, 3).standard().get() == 5);
    std::future<int> bad = add_later(-1, 0).standard();
    try {
        (void)bad.get();
        CHECK(false);
    } catch (const anysync::error &error) {
        CHECK(error.code() == -EDOM);
    }
    anysync::future<void> nothing = anysync::make_future<void>();
    std::future<void> other = nothing.standard();
    CHECK(nothing.set());
    other.get();
    std::puts("ok standard");
}

void check_ports()
{
    struct anysync_port *port = nullptr;

    CHECK(anysync_port_new(&port) == 0);
    anysync::future<std::thread::id> there = where(add_later(1, 1), port);
    struct pollfd item = anysync_poll_item(port);
    while (anysync_future_result(there.handle(), nullptr) == -EAGAIN) {
        CHECK(poll(&item, 1, -1) == 1);
        CHECK(anysync_poll_done(port, &item) >= 0);
    }
    CHECK(there.get() == std::this_thread::get_id());
    anysync::future<int> pending = anysync::make_future<int>();
    anysync::future<std::thread::id> gone = where(pending, port);
    anysync_port_close(port);
    anysync_port_unref(port);
    CHECK(pending.set(1));
    try {
        (void)gone.get();
        CHECK(false);
    } catch (const anysync::error &error) {
        CHECK(error.code() == -ESHUTDOWN);
    }
    std::puts("ok ports");
}

void check_many()
{
    std::vector<anysync::future<int>> all;
    long sum = 0;

    for (int i = 0; i < 1000; i++)
        all.push_back(twice(add_later(i, 0)));
    for (const auto &each : all)
        sum += each.get();
    CHECK(sum == 999 * 1000);
    std::puts("ok many");
}

} // namespace

int main()
{
    check_awaits();
    check_errors();
    check_standard();
    check_ports();
    check_many();
    return 0;
}
