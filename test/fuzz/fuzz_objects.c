/* SPDX-License-Identifier: MIT */
/*
 * The operations of fuzz_calls.c that have their outcome at once, and what each must be:
 * generators, context variables, groups, context managers, scopes, timers, calls on other threads.
 *
 * The model of a generator is what its body does, written down: COUNT items from START on, each
 * larger by what was sent; what is thrown ends it, unless it PERSISTS: then it counts, too.
 */
#include "fuzz_calls.h"

#include <errno.h>

/* --- generators ------------------------------------------------------------------------------- */

struct course {
    int start, count, ending;
    bool persists;
};

struct generator {
    struct anysync_generator *generator;
    struct course course;
    uint32_t read_ahead;
    int given, sum; /* items, and what was sent or thrown */
    bool fresh, over;
};

enum { GENERATORS = 2, TOKENS = 6, MOST_ELSEWHERE = 2 };

static struct generator generators[GENERATORS];

static int body(struct anysync_generator *self, void *argument)
{
    const struct course *course = argument;
    int sum = 0;

    for (int i = 0; i < course->count; i++) {
        int item = course->start + i + sum, sent = 1000; /* never left so */
        int error = anysync_generator_yield(self, &item, &sent);
        if (error == -ECANCELED || (error && !course->persists))
            return error;
        sum += error ? -error : sent;
    }
    return course->ending;
}

static const struct anysync_generator_function counting =
        ANYSYNC_GENERATOR_FUNCTION(counting, body, sizeof(struct course), sizeof(int), sizeof(int));

static void drop_generator(struct generator *self)
{
    if (self->generator)
        self->generator = anysync_generator_unref(self->generator);
}

static void open_generator(struct generator *self, struct bytes *bytes)
{
    uint8_t byte = next_byte(bytes);
    struct anysync_generator_options options = {.read_ahead = byte & 128 ? byte / 16 % 4 : 0};

    drop_generator(self);
    *self = (struct generator){.fresh = true, .read_ahead = options.read_ahead};
    self->course = (struct course){.start = byte,
            .count = byte % 4,
            .ending = byte & 16 ? -EPROTO : 0,
            .persists = byte & 32};
    AGREE(anysync_generator_new(&counting, &self->course, &options, &self->generator) == 0);
}

/* The body goes on to its next yield, or its end.  Returns what the consumer is told. */
static int go_on(struct generator *self, int *ret_item)
{
    self->fresh = false;
    if (self->given < self->course.count) {
        *ret_item = self->course.start + self->given++ + self->sum;
        return 0;
    }
    self->over = true;
    return self->course.ending ? self->course.ending : ANYSYNC_DONE;
}

static void use_generator(struct generator *self, struct bytes *bytes)
{
    uint8_t byte = next_byte(bytes);
    int value = byte / 8, code = -1 - byte / 8, item = -1, model = -1, status, expected;

    if (!self->generator)
        return;
    switch (byte % 8) {
    case 0:
        status = anysync_generator_send(self->generator, &value, &item, ANYSYNC_FOREVER);
        expected = self->read_ahead > 0 ? -EINVAL
                   : self->over         ? ANYSYNC_DONE
                   : self->fresh        ? -EINVAL
                                        : 0;
        self->sum += expected ? 0 : value;
        break;
    case 1:
        if (self->read_ahead > 0)
            return;
        status = anysync_generator_throw(self->generator, code, NULL, &item, ANYSYNC_FOREVER);
        expected = self->over ? ANYSYNC_DONE : 0;
        if (!expected && (self->fresh || !self->course.persists || code == -ECANCELED)) {
            self->over = true;
            expected = code;
        }
        self->sum += expected ? 0 : -code;
        break;
    case 2:
        status = anysync_generator_close(self->generator, ANYSYNC_FOREVER);
        AGREE(status == 0 || (self->read_ahead > 0 && status == self->course.ending));
        self->over = true;
        return;
    default:
        status = byte & 64 ? anysync_generator_step(self->generator, &item, ANYSYNC_FOREVER)
                           : anysync_generator_next(self->generator, &item, ANYSYNC_FOREVER);
        expected = self->over ? ANYSYNC_DONE : 0;
    }
    if (expected == 0)
        expected = go_on(self, &model);
    AGREE(status == expected);
    AGREE(item == model);
}

/* --- context variables ------------------------------------------------------------------------ */

ANYSYNC_VAR(int, carried, 7);

struct undo {
    struct anysync_token token;
    int before;
    bool used;
};

static struct undo undos[TOKENS];
static int undo_count, carried_now;

ANYSYNC_COROUTINE(int, tell_carried)
{
    int error = anysync_yield();

    *result = carried_get();
    return error ? error : carried_set(-1, NULL); /* nobody else sees it */
}

static void use_variables(struct bytes *bytes)
{
    uint8_t byte = next_byte(bytes);
    int seen = 0;

    if (byte & 1 && undo_count < TOKENS) {
        struct undo *undo = &undos[undo_count++];
        *undo = (struct undo){.before = carried_now};
        AGREE(carried_set(byte, &undo->token) == 0);
        carried_now = byte;
    } else if (undo_count > 0) {
        struct undo *undo = &undos[byte / 2 % undo_count];
        AGREE(anysync_var_reset(&undo->token) == (undo->used ? -EALREADY : 0));
        carried_now = undo->used ? carried_now : undo->before;
        undo->used = true;
    }
    AGREE(carried_get() == carried_now);
    if (byte & 64) {
        AGREE(tell_carried_await(&seen) == 0);
        AGREE(seen == carried_now && carried_get() == carried_now);
    }
}

/* --- groups ----------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, child, (int, index), (int, kind))
{
    int error = 0;

    *result = index;
    switch (kind) {
    case 0:
        return 0;
    case 1:
        return -ENOENT - index;
    case 2:
        for (int i = 0; i < 5 && !error; i++)
            error = anysync_yield();
        return error;
    default:
        return anysync_sleep(ANYSYNC_FOREVER);
    }
}

/* Children end at once, fail at once, take some turns, or never end unless one fails. */
static void use_group(struct bytes *bytes)
{
    uint8_t byte = next_byte(bytes);
    struct anysync_group *group = NULL;
    child_future futures[4];
    int own = byte >= 248 ? -EDOM : 0, failure = own, before = own ? 0 : 4;

    for (int i = 0; i < 4 && !failure; i++) {
        failure = (byte >> 2 * i & 3) == 1 ? -ENOENT - i : 0;
        before = failure ? i : before; /* those before it have begun, the others never do */
    }
    AGREE(anysync_group_open(&group) == 0);
    for (int i = 0; i < 4; i++) {
        int kind = byte >> 2 * i & 3;
        AGREE(child_spawn(group, &futures[i], i, kind == 3 && !failure ? 2 : kind) == 0);
    }
    AGREE(anysync_group_close(group, own, ANYSYNC_FOREVER) == failure);
    for (int i = 0; i < 4; i++) {
        int kind = byte >> 2 * i & 3, value = -1;
        bool ends = !failure || (kind == 0 && i < before);
        AGREE(anysync_future_done(futures[i].future));
        AGREE(child_value(&futures[i], &value) == (ends ? 0 : -EAGAIN));
        AGREE(value == (ends ? i : -1));
        child_drop(&futures[i]);
    }
}

/* --- context managers, scopes ----------------------------------------------------------------- */

static int manager_body(struct anysync_generator *self, void *argument)
{
    int how = *(int *)argument;

    if (how == 3)
        return -EACCES; /* the set-up fails */
    int error = anysync_generator_yield(self, &how, NULL);
    return how == 0 ? error : how == 1 ? 0 : -EDOM;
}

static const struct anysync_generator_function managing =
        ANYSYNC_GENERATOR_FUNCTION(managing, manager_body, sizeof(int), sizeof(int), 0);

static void use_manager(struct bytes *bytes)
{
    uint8_t byte = next_byte(bytes);
    int how = byte % 4, error = byte & 4 ? -ENOENT : 0, value = -1;
    struct anysync_manager *manager = NULL;

    AGREE(anysync_manager_new_of(&managing, &how, &manager) == 0);
    int status = anysync_manager_enter(manager, &value, ANYSYNC_FOREVER);
    AGREE(status == (how == 3 ? -EACCES : 0));
    if (status == 0) {
        AGREE(value == how);
        AGREE(anysync_manager_enter(manager, &value, ANYSYNC_FOREVER) == -EALREADY);
        AGREE(anysync_manager_exit(manager, error, ANYSYNC_FOREVER) == (how == 0          ? error
                                                                               : how == 1 ? 0
                                                                                          : -EDOM));
    }
    anysync_manager_unref(manager);
}

/* Scopes in scopes, some of them shields, some cut: what a wait in the innermost says. */
static void use_scopes(struct bytes *bytes)
{
    enum { DEEP = 3 };
    struct anysync_scope scopes[DEEP];
    uint8_t byte = next_byte(bytes);
    bool cut = false, around[DEEP], timed[DEEP], marked[DEEP], shields[DEEP];

    for (int i = 0; i < DEEP; i++) {
        uint8_t bits = (uint8_t)(byte >> 2 * i);
        timed[i] = (bits & 3) == 1;
        shields[i] = (bits & 3) == 2;
        marked[i] = (bits & 3) == 3;
        (shields[i] ? anysync_shield_enter : anysync_scope_enter)(
                &scopes[i], timed[i] ? ANYSYNC_POLL : ANYSYNC_FOREVER);
        if (marked[i])
            anysync_scope_cancel(&scopes[i], NULL);
        around[i] = cut && !shields[i];
        cut = around[i] || timed[i] || marked[i];
    }
    int error = anysync_sleep(cut ? ANYSYNC_FOREVER : ANYSYNC_POLL);
    AGREE(error == (cut ? -ECANCELED : 0));
    for (int i = DEEP - 1; i >= 0; i--) {
        int expected = error == -ECANCELED && timed[i] && !around[i] ? -ETIMEDOUT : error;
        error = anysync_scope_exit(&scopes[i], error);
        AGREE(error == expected);
    }
}

/* --- timers ----------------------------------------------------------------------------------- */

static int calls_back;

static void count_call(struct anysync_future *future, void *argument)
{
    AGREE(future && anysync_future_result(future, NULL) == *(const int *)argument);
    calls_back++;
}

static void use_timer(struct bytes *bytes)
{
    static const int statuses[] = {0, -ECANCELED};
    bool cancel = next_byte(bytes) & 1;
    struct anysync_future *timer = NULL;
    int before = calls_back;

    AGREE(anysync_future_at(cancel ? anysync_in_seconds(3600) : ANYSYNC_POLL, &timer) == 0);
    AGREE(anysync_future_on_done(timer, count_call, (void *)&statuses[cancel]) == 0);
    AGREE(calls_back == before); /* never within the call */
    if (cancel)
        AGREE(anysync_cancel(timer) == 0);
    AGREE(anysync_future_wait(timer, ANYSYNC_FOREVER) == 0);
    AGREE(anysync_cancel(timer) == ANYSYNC_DONE);
    for (int i = 0; i < 60 && calls_back == before; i++)
        AGREE(anysync_yield() == 0);
    AGREE(calls_back == before + 1);
    anysync_future_unref(timer);
}

/* --- calls with a task or a thread of their own ----------------------------------------------- */

static int elsewhere; /* threads take their time: some in a program, no more */

ANYSYNC_COROUTINE(int, square, (int, n), (int, how))
{
    *result = n * n;
    if (how & 1)
        anysync_exit(how & 2 ? -ERANGE : 0); /* with what was written so far */
    return how & 2 ? -ERANGE : 0;
}

ANYSYNC_BLOCKING(int, square_back, (int, n), (int, how))
{
    return how & 4 ? square_run_back(result, n, how) : (*result = n * n, how & 2 ? -ERANGE : 0);
}

static void call_something(struct bytes *bytes)
{
    uint8_t byte = next_byte(bytes);
    int how = byte / 4 % 8, value = -1, status;
    struct anysync_task *task = NULL;

    switch (byte % 4) {
    case 0:
        status = square_await(&value, byte, how);
        break;
    case 1:
        AGREE(square_new(&task, byte, how) == 0);
        status = anysync_task_await(task, &value, ANYSYNC_FOREVER);
        AGREE(anysync_task_await(task, &value, ANYSYNC_FOREVER) == -EALREADY);
        anysync_task_unref(task);
        break;
    case 2:
        if (elsewhere++ >= MOST_ELSEWHERE)
            return;
        status = square_run(&value, byte, how); /* the global worker's; this loop blocks */
        break;
    default:
        if (elsewhere++ >= MOST_ELSEWHERE)
            return;
        status = square_back(&value, byte, how);
    }
    AGREE(status == (how & 2 ? -ERANGE : 0));
    AGREE(value == (status ? -1 : byte * byte));
}

/* --- all -------------------------------------------------------------------------------------- */

void begin_objects(void)
{
    undo_count = 0;
    carried_now = 7;
    elsewhere = 0;
}

void end_objects(void)
{
    for (int i = 0; i < GENERATORS; i++)
        drop_generator(&generators[i]);
    for (int i = 0; i < undo_count; i++)
        anysync_token_drop(&undos[i].token);
}

void use_objects(uint8_t op, struct bytes *bytes)
{
    struct generator *generator = &generators[op >> 7];

    switch (op >> 4 & 7) {
    case 0:
        open_generator(generator, bytes);
        break;
    case 1:
        use_generator(generator, bytes);
        break;
    case 2:
        use_variables(bytes);
        break;
    case 3:
        use_group(bytes);
        break;
    case 4:
        use_manager(bytes);
        break;
    case 5:
        use_scopes(bytes);
        break;
    case 6:
        use_timer(bytes);
        break;
    default:
        call_something(bytes);
    }
}
