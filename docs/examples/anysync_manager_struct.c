/* SPDX-License-Identifier: MIT */
/* AnySync, context manager from a class: a struct of one's own, with enter and exit. */
#include <anysync.h>

#include <stdio.h>

struct connection {
    const char *url;
    int uses;
};

static int enter(void *self, void *ret_value)
{
    struct connection *connection = self;

    *(int *)ret_value = ++connection->uses;
    return anysync_sleep(anysync_in_ms(5)); /* runs in a task: waits as coroutines do */
}

static int leave(void *self, int error)
{
    struct connection *connection = self;

    printf("leave %s after %s\n", connection->url, anysync_error_name(error));
    return error;
}

static const struct anysync_manager_type connection_type =
        ANYSYNC_MANAGER_TYPE(connection, sizeof(int), enter, leave);

static int use(struct connection *connection)
{
    struct anysync_manager *manager = NULL;
    int error = anysync_manager_new(&connection_type, connection, &manager);

    if (error)
        return error;
    ANYSYNC_WITH_MANAGER(int, number, manager, &error)
    {
        printf("use %d of %s\n", number, connection->url);
    }
    anysync_manager_unref(manager);
    return error;
}

int main(void)
{
    struct connection connection = {"alpha", 0};
    int error = use(&connection);

    if (!error)
        error = use(&connection); /* a manager is used once; its object as often as one likes */
    if (error)
        fprintf(stderr, "%s\n", anysync_last_error()->message);
    return error != 0;
}
