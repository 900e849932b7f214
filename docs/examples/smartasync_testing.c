/* SPDX-License-Identifier: MIT */
/* SmartAsync, testing: a plain test of a coroutine function needs no loop and no fixture. */
#include <anysync.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct user {
    int id;
    char name[16];
};

ANYSYNC_COROUTINE(struct user, look_up, (int, id))
{
    if (id < 1)
        return anysync_fail(-ENOENT, "no user %d", id);
    *result = (struct user){id, "ann"};
    return anysync_sleep(anysync_in_ms(5));
}

static void test_look_up(void)
{
    struct user user = {0};
    int error = look_up(&user, 7);

    assert(error == 0);
    assert(user.id == 7);
    assert(strlen(user.name) > 0);
}

/* What a test wants besides: an end for sure.  The deadline cancels the task. */
static void test_in_time(void)
{
    int error = look_up_run_until(NULL, 7, anysync_in_seconds(10));

    assert(error == 0);
    error = look_up(NULL, 0);
    assert(error == -ENOENT);
    assert(strcmp(anysync_last_error()->message, "no user 0") == 0);
}

int main(void)
{
    test_look_up();
    test_in_time();
    puts("2 tests passed");
    return 0;
}
