/* SPDX-License-Identifier: MIT */
/*
 * What a closed port leaves to those that it refuses (include/anysync/port.h, Order of calls).
 *
 * Promised                                       Tested by
 *   a refused call comes after the close           who_is_refused_sees_what_came_before_the_close
 */
#include "harness.h"
#include "unordered.h"

#include <anysync.h>

#include <errno.h>

static struct {
    struct anysync_port *port;
    int left; /* by the port's thread before its close */
    atomic_bool go;
} refused;

static int never(void *argument)
{
    (void)argument;
    test_fail(TEST_HERE, "a closed port has called a function");
}

static void be_refused(void *argument, int index)
{
    (void)argument, (void)index;
    unordered_wait(&refused.go);
    CHECK_EQ(anysync_port_call(refused.port, never, NULL, ANYSYNC_FOREVER), -ESHUTDOWN);
    CHECK_EQ(refused.left, 1); /* the thread sanitizer looks */
}

TEST(who_is_refused_sees_what_came_before_the_close)
{
    CHECK_EQ(anysync_port_new(&refused.port), 0);
    struct test_threads *threads = test_threads_start(2, be_refused, NULL);

    refused.left = 1;
    anysync_port_close(refused.port);
    unordered_open(&refused.go);
    test_threads_join(threads);
    anysync_port_unref(refused.port);
}
