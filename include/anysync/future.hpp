/* SPDX-License-Identifier: MIT */
/*
 * Futures in C++20: co_await them, wait for them, make std::futures of them; and C++ coroutines whose
 * results are futures for C.
 *
 *      anysync::future<int> sum = anysync::adopt<int>(c_future);   // takes the reference
 *
 *      int value = co_await sum;                  // goes on on a loop's thread: see RESUMING
 *      int value = co_await sum.on(port);         // goes on on a port's thread (<anysync/port.h>)
 *      int value = sum.get();                     // blocks a thread, suspends one of our coroutines
 *      std::future<int> other = sum.standard();
 *
 *      anysync::task<int> twice(anysync::future<int> sum)
 *      {
 *          co_return 2 * co_await sum;            // exceptions become the future's error
 *      }
 *      anysync::future<int> doubled = twice(sum); // it has begun; doubled.handle() is for C
 *
 * VALUES  T is void, or trivially copyable, as values cross into C by their bytes.
 *
 * ERRORS  What C returns as a negative code is thrown as anysync::error, with code() and the
 *   sentence of the future's error.  An anysync::error that leaves a task keeps code and sentence;
 *   any other exception becomes -EIO, with its what().
 *
 * RESUMING  A co_await goes on in a callback of a future (<anysync/callback.h>): on the loop of the
 *   thread that awaits, or, from a plain thread, on the global worker.  So between two co_awaits do
 *   nothing that blocks, and use on(port) for a thread of your own.  If that loop ends before, the
 *   co_await throws -ESHUTDOWN.
 *
 * CANCEL  future::cancel() cancels what it stands for.  A task that is dropped runs on.
 */
#ifndef ANYSYNC_FUTURE_HPP
#define ANYSYNC_FUTURE_HPP

#include <anysync.h>

#include <cerrno>
#include <coroutine>
#include <exception>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace anysync
{

/* A negative code, and its sentence. */
class error : public std::runtime_error
{
  public:
    error(int code, const std::string &sentence) : std::runtime_error(sentence), code_(code)
    {
    }

    int code() const noexcept
    {
        return code_;
    }

    /* The last error of the calling thread or task. */
    static error last(int code)
    {
        const struct anysync_error *noted = anysync_last_error();

        return error(code, noted && noted->message ? noted->message : "");
    }

  private:
    int code_;
};

namespace detail
{

inline void check(int code)
{
    if (code < 0)
        throw error::last(code);
}

template <class T> constexpr std::size_t size_of()
{
    if constexpr (std::is_void_v<T>)
        return 0;
    else
        return sizeof(T);
}

/* The value of FUTURE, which is done. */
template <class T> T value_of(struct anysync_future *future)
{
    if constexpr (std::is_void_v<T>) {
        check(anysync_future_result(future, nullptr));
    } else {
        T value;
        check(anysync_future_result(future, &value));
        return value;
    }
}

/* What a co_await waits in. */
template <class T> class awaiter
{
  public:
    awaiter(struct anysync_future *future, struct anysync_port *port) noexcept
        : future_(future), port_(port)
    {
    }

    bool await_ready() const noexcept
    {
        return false;
    }

    void await_suspend(std::coroutine_handle<> waiting)
    {
        waiting_ = waiting;
        /* It may go on elsewhere before this returns: nothing of it is touched afterwards. */
        check(port_ ? anysync_port_on_done(port_, future_, resume, this)
                    : anysync_future_on_done(future_, resume, this));
    }

    T await_resume()
    {
        if (gone_)
            throw error(-ESHUTDOWN, "the loop that was to go on here has ended");
        return value_of<T>(future_);
    }

  private:
    static void resume(struct anysync_future *future, void *argument)
    {
        awaiter *self = static_cast<awaiter *>(argument);

        self->gone_ = !future;
        self->waiting_.resume();
    }

    struct anysync_future *future_;
    struct anysync_port *port_;
    std::coroutine_handle<> waiting_;
    bool gone_ = false;
};

template <class T> struct standard_promise {
    std::promise<T> promise;

    static void complete(struct anysync_future *future, void *argument)
    {
        std::unique_ptr<standard_promise> self(static_cast<standard_promise *>(argument));

        try {
            if (!future)
                throw error(-ESHUTDOWN, "the loop that was to tell has ended");
            if constexpr (std::is_void_v<T>) {
                value_of<T>(future);
                self->promise.set_value();
            } else {
                self->promise.set_value(value_of<T>(future));
            }
        } catch (...) {
            self->promise.set_exception(std::current_exception());
        }
    }
};

} // namespace detail

/* A reference to a future of C's.  Copies are references to the same. */
template <class T> class future
{
    static_assert(std::is_void_v<T> || std::is_trivially_copyable_v<T>,
            "values cross into C by their bytes: T is void or trivially copyable");

  public:
    future() noexcept = default;

    /* Takes over the reference OWNED. */
    explicit future(struct anysync_future *owned) noexcept : future_(owned)
    {
    }
    future(const future &other) noexcept
        : future_(other.future_ ? anysync_future_ref(other.future_) : nullptr)
    {
    }
    future(future &&other) noexcept : future_(std::exchange(other.future_, nullptr))
    {
    }
    future &operator=(future other) noexcept
    {
        std::swap(future_, other.future_);
        return *this;
    }
    ~future()
    {
        if (future_)
            anysync_future_unref(future_);
    }

    /* Borrowed. */
    struct anysync_future *handle() const noexcept
    {
        return future_;
    }

    /* Wait for it, as anysync_wait() does: a thread blocks, a coroutine of C's suspends.  In a
     * coroutine of C++'s use co_await. */
    T get(anysync_time deadline = ANYSYNC_FOREVER) const
    {
        detail::check(anysync_future_wait(future_, deadline));
        return detail::value_of<T>(future_);
    }

    /* For one that was made by hand; false: it was done before. */
    template <class... V> bool set(const V &...value) const
    {
        static_assert(sizeof...(V) == (std::is_void_v<T> ? 0 : 1), "one value, or none of a void");
        int code;

        if constexpr (std::is_void_v<T>) {
            code = anysync_future_set(future_, nullptr);
        } else {
            const T &bytes = (value, ...); /* of a T, though VALUE may be an int for a double */
            code = anysync_future_set(future_, std::addressof(bytes));
        }
        if (code != -EALREADY)
            detail::check(code);
        return code == 0;
    }

    void cancel() const
    {
        (void)anysync_cancel(future_);
    }

    detail::awaiter<T> operator co_await() const noexcept
    {
        return {future_, nullptr};
    }

    /* co_await it.on(port): go on on the thread of PORT (borrowed). */
    detail::awaiter<T> on(struct anysync_port *port) const noexcept
    {
        return {future_, port};
    }

    std::future<T> standard() const
    {
        auto other = std::make_unique<detail::standard_promise<T>>();
        std::future<T> result = other->promise.get_future();

        detail::check(anysync_future_on_done(
                future_, detail::standard_promise<T>::complete, other.get()));
        other.release();
        return result;
    }

  private:
    struct anysync_future *future_ = nullptr;
};

/* C++ takes over the reference FUTURE, whose value is a T. */
template <class T> future<T> adopt(struct anysync_future *future) noexcept
{
    return anysync::future<T>(future);
}

/* A future to be completed by hand. */
template <class T> future<T> make_future()
{
    struct anysync_future *made = nullptr;

    detail::check(anysync_future_new(detail::size_of<T>(), &made));
    return future<T>(made);
}

namespace detail
{

template <class T> struct task_promise_base {
    future<T> result = make_future<T>();

    std::suspend_never initial_suspend() const noexcept
    {
        return {};
    }
    std::suspend_never final_suspend() const noexcept
    {
        return {};
    }
    void unhandled_exception() noexcept
    {
        try {
            throw;
        } catch (const error &thrown) {
            (void)anysync_future_fail(result.handle(), thrown.code(), "%s", thrown.what());
        } catch (const std::exception &thrown) {
            (void)anysync_future_fail(result.handle(), -EIO, "%s", thrown.what());
        } catch (...) {
            (void)anysync_future_fail(result.handle(), -EIO, "an exception of an unknown type");
        }
    }
};

template <class T> struct task_promise;

} // namespace detail

/* What a C++ coroutine returns: it begins at once, and its end completes the future. */
template <class T> class task : public future<T>
{
  public:
    using promise_type = detail::task_promise<T>;

    explicit task(future<T> result) noexcept : future<T>(std::move(result))
    {
    }
};

namespace detail
{

template <class T> struct task_promise : task_promise_base<T> {
    task<T> get_return_object()
    {
        return task<T>(this->result);
    }
    void return_value(const T &value)
    {
        (void)this->result.set(value);
    }
};

template <> struct task_promise<void> : task_promise_base<void> {
    task<void> get_return_object()
    {
        return task<void>(this->result);
    }
    void return_void()
    {
        (void)this->result.set();
    }
};

} // namespace detail
} // namespace anysync

#endif
