/* SPDX-License-Identifier: MIT */
#include "api/executor.h"
#include "sched/error.h"

#include <errno.h>

enum { LEAST_STACK = 16 * 1024, MOST_STACK = 1 << 30, MOST_SPIN_NS = 1000 * 1000 };

int asi_options_complete(const struct anysync_executor_options *options,
        struct anysync_executor_options *ret_options)
{
    static const struct anysync_executor_options none;
    const struct anysync_executor_options *given = options ? options : &none;

    *ret_options = (struct anysync_executor_options)ASI_DEFAULT_OPTIONS;
    if (given->nested < ANYSYNC_NESTED_THREAD || given->nested > ANYSYNC_NESTED_ERROR)
        return asi_call_fails(-EINVAL, "option nested is %d", (int)given->nested);
    if (given->spin < ANYSYNC_SPIN_ADAPTIVE || given->spin > ANYSYNC_SPIN_ALWAYS)
        return asi_call_fails(-EINVAL, "option spin is %d", (int)given->spin);
    if (given->spin_ns < 0 || given->spin_ns > MOST_SPIN_NS)
        return asi_call_fails(-EINVAL, "option spin_ns is %lld; it has to be 0 or at most %d",
                (long long)given->spin_ns, MOST_SPIN_NS);
    if (given->stack_size != 0 &&
            (given->stack_size < LEAST_STACK || given->stack_size > MOST_STACK))
        return asi_call_fails(-EINVAL, "option stack_size is %zu; it has to be 0 or %d to %d",
                given->stack_size, LEAST_STACK, MOST_STACK);
    if (given->name)
        ret_options->name = given->name;
    ret_options->nested = given->nested;
    ret_options->spin = given->spin;
    ret_options->spin_ns = given->spin_ns;
    if (given->stack_size != 0)
        ret_options->stack_size = given->stack_size;
    if (given->grace_ns != 0)
        ret_options->grace_ns = given->grace_ns;
    return 0;
}
