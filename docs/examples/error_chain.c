/* SPDX-License-Identifier: MIT */
/* An error with its sentence and the chain of tasks it came through; and one nobody asks for. */
#include <anysync.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

ANYSYNC_COROUTINE(int, load_page, (const char *, name))
{
    *result = (int)strlen(name);
    return anysync_fail(-ENOENT, "no page named %s", name);
}

ANYSYNC_COROUTINE(int, load_site, (const char *, name))
{
    return load_page_await(result, name); /* a task of its own: one more frame in the chain */
}

static void on_uncollected(const char *task, const struct anysync_error *error, void *context)
{
    (void)context;
    printf("nobody asked: %s: %s\n", task, error->message);
}

int main(void)
{
    int size = -1;
    int error = load_site(&size, "a.html");
    const struct anysync_error *last = anysync_last_error();

    printf("%s, size still %d\n", anysync_error_name(error), size); /* untouched on failure */
    printf("%s\n", last->message);
    for (const struct anysync_frame *frame = last->frames; frame; frame = frame->outer)
        printf("  in %s on %s\n", frame->function, frame->thread);

    anysync_set_error_hook(on_uncollected, NULL);
    if (load_page_start(NULL, "b.html")) /* on its own: its error goes to the hook */
        return 1;
    if (anysync_shutdown(ANYSYNC_DRAIN, anysync_in_seconds(10), NULL))
        return 1;
    return error == -ENOENT ? 0 : 1;
}
