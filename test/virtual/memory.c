/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1 /* MAP_ANONYMOUS */
/*
 * Memory of a virtual machine: what is allocated, what was delayed, and what happened before what.
 * (What a virtual schedule is: virtual.h.)
 *
 * HAPPENED BEFORE  Each thread counts its points, and knows how far it has seen the others.  A
 *   store that releases leaves what its thread has seen with the object, a load that acquires takes
 *   it over; so do locks, starts and ends of threads.  Two accesses of which neither thread has
 *   seen the other's race, if one of them writes and not both are atomic; a free() writes all
 *   that it frees.  An object's accesses are kept as records of the last ones, four plain and four
 *   atomic (as the thread sanitizer does), so that some races are missed and none is invented.
 *
 * A DELAYED store is seen by its own thread at once, by others when that thread changes anything
 *   atomically, sleeps, wakes, or ends, or when somebody has all processors pass a barrier.  What
 *   is stored after a delayed one is delayed behind it.
 *
 * THE ARENA holds stacks and heap.  It is used from one end to the other and nothing twice, so that
 *   what was freed is known.
 */
#include "atomic.h"
#include "explore.h"
#include "machine.h"

#include <string.h>
#include <sys/mman.h>

enum {
    LINE = 64,
    ARENA_SIZE = 64 << 20,
    DATA_SIZE = 1 << 20, /* static memory of the library, at most */
    RECORDS = 4,
    HANDOVERS = 1 << 14
};

/* One of the last plain accesses of a word of eight bytes. */
struct access {
    uint32_t when;
    uint8_t thread;
    uint8_t bytes; /* a mask */
    bool write;
};

enum manner { PLAIN, ATOMIC, MANNERS };

struct word {
    uint32_t execution;    /* what follows is of this one */
    uint8_t next[MANNERS]; /* record to replace */
    struct access accesses[MANNERS][RECORDS];
};

/* An atomic object, or a lock: what who acquires it has seen. */
struct handover {
    const volatile void *object;
    uint32_t execution; /* what follows is of this one */
    bool releases;
    struct clock released;
};

enum line_state { UNTOUCHED, IN_USE, FREED };

static char *arena;
static size_t arena_used, bytes_in_use;
static unsigned char *lines;                 /* enum line_state */
static uint32_t *sizes;                      /* in lines, of what begins there */
static struct word *arena_words;             /* of eight bytes each */
static struct word *data_words;              /* likewise */
static struct handover handovers[HANDOVERS]; /* where its address leads, or behind that */
static uint32_t execution;
static bool looks; /* this is the build that looks at plain accesses */

static void look_at(
        const volatile void *object, size_t size, bool write, enum manner manner, void *caller);

static void *map(size_t size)
{
    void *memory = mmap(
            NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        explore_give_up("no memory for the arena");
    return memory;
}

void memory_prepare(void)
{
    arena = map(ARENA_SIZE + LINE);
    lines = map(ARENA_SIZE / LINE);
    sizes = map(ARENA_SIZE / LINE * sizeof(*sizes));
    arena_words = map(ARENA_SIZE / 8 * sizeof(struct word));
    data_words = map(DATA_SIZE / 8 * sizeof(struct word));
    if (data_end - data_begin > DATA_SIZE)
        explore_give_up("the library has more static memory than expected");
    arena += -(uintptr_t)arena & (LINE - 1);
}

void memory_reset(void)
{
    memset(lines, UNTOUCHED, arena_used / LINE);
    arena_used = 0;
    bytes_in_use = 0;
    execution++;
}

void *memory_take(size_t size, size_t alignment)
{
    size_t begin = (arena_used + alignment - 1) & ~(alignment - 1);
    size_t length = (size + LINE - 1) / LINE + (size == 0);

    /* One line between two objects: what is used beyond the end is noticed. */
    if (begin + (length + 1) * LINE > ARENA_SIZE)
        explore_give_up("the arena is used up");
    memset(lines + begin / LINE, IN_USE, length);
    sizes[begin / LINE] = (uint32_t)length;
    arena_used = begin + (length + 1) * LINE;
    bytes_in_use += length * LINE;
    return arena + begin;
}

/* Where MEMORY is in the arena; ARENA_SIZE: it is not. */
static size_t place(const volatile void *memory)
{
    size_t at = (size_t)((const volatile char *)memory - arena);

    return at < ARENA_SIZE ? at : ARENA_SIZE;
}

void memory_check(const volatile void *object, const char *where)
{
    size_t at = place(object);

    if (at == ARENA_SIZE || lines[at / LINE] == IN_USE)
        return;
    virtual_fail("%s: memory is used that %s", where,
            lines[at / LINE] == FREED ? "was freed" : "belongs to nobody");
}

void memory_unmap(void *memory, size_t size, const char *where)
{
    for (size_t done = 0; done < size; done += LINE)
        memory_check((char *)memory + done, where);
    memset(lines + place(memory) / LINE, FREED, size / LINE);
    bytes_in_use -= size;
}

void memory_give(void *memory, const char *where)
{
    size_t at = place(memory);

    if (!memory)
        return;
    if (at == ARENA_SIZE || at % LINE != 0 || sizes[at / LINE] == 0)
        virtual_fail("%s: what is freed was not allocated", where);
    if (lines[at / LINE] != IN_USE)
        virtual_fail("%s: freed twice", where);
    size_t length = sizes[at / LINE];
    look_at(memory, length * LINE, true, PLAIN, NULL);
    memset(lines + at / LINE, FREED, length);
    memset(memory, 0xdb, length * LINE);
    bytes_in_use -= length * LINE;
}

size_t virtual_in_use(void)
{
    return bytes_in_use;
}

/* --- what happened before what ---------------------------------------------------------------- */

static struct word *word_of(const volatile void *object)
{
    size_t at = place(object);
    struct word *word;

    if (at < ARENA_SIZE) {
        word = &arena_words[at / 8];
    } else {
        at = (size_t)((const volatile char *)object - data_begin);
        if (at >= (size_t)(data_end - data_begin))
            return NULL;
        word = &data_words[at / 8];
    }
    if (word->execution != execution) {
        memset(word, 0, sizeof(*word));
        word->execution = execution;
    }
    return word;
}

static struct handover *handover_of(const volatile void *object)
{
    size_t at = (size_t)((uintptr_t)object * 0x9e3779b97f4a7c15u >> 50);

    for (unsigned i = 0; i < HANDOVERS; i++) {
        struct handover *handover = &handovers[(at + i) % HANDOVERS];
        if (handover->execution != execution)
            *handover = (struct handover){.object = object, .execution = execution};
        if (handover->object == object)
            return handover;
    }
    explore_give_up("too many atomic objects");
}

void memory_acquire(const volatile void *object)
{
    const struct handover *handover = handover_of(object);

    if (handover->releases)
        clock_join(&running->seen, &handover->released);
}

void memory_release(const volatile void *object)
{
    struct handover *handover = handover_of(object);

    if (handover->releases)
        clock_join(&handover->released, &running->seen);
    else
        handover->released = running->seen;
    handover->releases = true;
    running->seen.of[running->number]++;
}

static bool acquires(enum virtual_order order)
{
    return order == VIRTUAL_acquire || order >= VIRTUAL_acq_rel;
}

static bool releases(enum virtual_order order)
{
    return order >= VIRTUAL_release;
}

/* --- values ----------------------------------------------------------------------------------- */

static uint64_t get(const volatile void *object, size_t size)
{
    switch (size) {
    case 1:
        return *(const volatile uint8_t *)object;
    case 2:
        return *(const volatile uint16_t *)object;
    case 4:
        return *(const volatile uint32_t *)object;
    default:
        return *(const volatile uint64_t *)object;
    }
}

static void put(volatile void *object, size_t size, uint64_t value)
{
    switch (size) {
    case 1:
        *(volatile uint8_t *)object = (uint8_t)value;
        break;
    case 2:
        *(volatile uint16_t *)object = (uint16_t)value;
        break;
    case 4:
        *(volatile uint32_t *)object = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)object = value;
    }
}

/* --- delayed stores --------------------------------------------------------------------------- */

/* An atomic access writes VALUE: those who have delayed a store to the same object know. */
static void write_through(volatile void *object, size_t size, uint64_t value)
{
    put(object, size, value);
    for (int i = 0; i < VIRTUAL_THREADS; i++) {
        for (int j = 0; j < threads[i].delayed_count; j++) {
            if (threads[i].delayed[j].object == object)
                threads[i].delayed[j].under = get(object, size); /* as wide as the object */
        }
    }
}

void memory_publish(struct thread *thread)
{
    for (int i = 0; i < thread->delayed_count; i++) {
        struct delayed *store = &thread->delayed[i];
        struct handover *handover = handover_of(store->object);
        memory_check(store->object, "a delayed store");
        if (get(store->object, store->size) != store->under)
            continue; /* by a plain store that came later its memory serves another purpose */
        write_through(store->object, store->size, store->value);
        handover->releases = store->releases;
        handover->released = store->released;
    }
    thread->delayed_count = 0;
}

uint64_t virtual_load(
        const volatile void *object, size_t size, enum virtual_order order, const char *where)
{
    point("load", object, where);
    memory_check(object, where);
    look_at(object, size, false, ATOMIC, NULL);
    for (int i = running->delayed_count; i > 0; i--) {
        if (running->delayed[i - 1].object == object)
            return running->delayed[i - 1].value;
    }
    if (acquires(order))
        memory_acquire(object);
    return get(object, size);
}

void virtual_store(volatile void *object, size_t size, uint64_t value, enum virtual_order order,
        const char *where)
{
    point("store", object, where);
    memory_check(object, where);
    look_at(object, size, true, ATOMIC, NULL);
    if (order == VIRTUAL_seq_cst || running->delayed_count == MOST_DELAYED)
        memory_publish(running);
    running->delayed[running->delayed_count++] = (struct delayed){
            object, size, value, get(object, size), running->seen, releases(order)};
    if (releases(order))
        running->seen.of[running->number]++;
    if (order == VIRTUAL_seq_cst || !choose_delay())
        memory_publish(running);
}

/* The atomic change itself, in ORDER. */
static uint64_t change_now(
        volatile void *object, size_t size, uint64_t value, enum virtual_order order)
{
    uint64_t before = get(object, size);

    if (acquires(order))
        memory_acquire(object);
    look_at(object, size, true, ATOMIC, NULL);
    if (releases(order))
        memory_release(object);
    write_through(object, size, value);
    return before;
}

uint64_t virtual_change(volatile void *object, size_t size, enum virtual_change change,
        uint64_t value, enum virtual_order order, const char *where)
{
    static const char *const names[] = {"exchange", "add", "sub", "or", "and"};

    point(names[change], object, where);
    memory_check(object, where);
    memory_publish(running);
    uint64_t before = get(object, size);
    switch (change) {
    case VIRTUAL_EXCHANGE:
        break;
    case VIRTUAL_ADD:
        value = before + value;
        break;
    case VIRTUAL_SUB:
        value = before - value;
        break;
    case VIRTUAL_OR:
        value = before | value;
        break;
    case VIRTUAL_AND:
        value = before & value;
        break;
    }
    return change_now(object, size, value, order);
}

bool virtual_cas(volatile void *object, size_t size, void *expected, uint64_t desired,
        enum virtual_order success, enum virtual_order failure, const char *where)
{
    point("cas", object, where);
    memory_check(object, where);
    memory_publish(running);
    if (get(object, size) == get(expected, size)) {
        change_now(object, size, desired, success);
        return true;
    }
    if (acquires(failure))
        memory_acquire(object);
    look_at(object, size, false, ATOMIC, NULL);
    put(expected, size, get(object, size));
    return false;
}

void virtual_pause(const char *where)
{
    memory_publish(running);
    give_way(where);
}

/* --- plain accesses --------------------------------------------------------------------------- */

/* BYTES of WORD are accessed now in MANNER: fail if an OLD access races with that. */
static void compare(const struct access *old, enum manner old_manner, const struct access *now,
        enum manner manner, void *caller)
{
    if (!(old->bytes & now->bytes) || old->thread == now->thread || !(old->write || now->write))
        return;
    if (old->when > running->seen.of[old->thread])
        virtual_fail("%p after %s: a race: thread %d %s%s what thread %d %s%s", caller,
                running->where, now->thread, now->write ? "writes" : "reads",
                manner == ATOMIC ? " atomically" : "", old->thread, old->write ? "wrote" : "read",
                old_manner == ATOMIC ? " atomically" : "");
}

/* NOW joins the last accesses of WORD. */
static void keep(struct word *word, enum manner manner, const struct access *now)
{
    struct access *accesses = word->accesses[manner];

    for (int i = 0; i < RECORDS; i++) {
        struct access *old = &accesses[i];
        if (old->bytes == 0 || (old->thread == now->thread && old->bytes == now->bytes &&
                                       old->write == now->write)) {
            *old = *now;
            return;
        }
    }
    accesses[word->next[manner]] = *now;
    word->next[manner] = (uint8_t)((word->next[manner] + 1) % RECORDS);
}

/* BYTES of the word at OBJECT, eight at most. */
static void look_at_word(
        const volatile void *object, uint8_t bytes, bool write, enum manner manner, void *caller)
{
    struct word *word = word_of(object);
    struct access now = {running->seen.of[running->number], (uint8_t)running->number, bytes, write};

    if (!word)
        return;
    for (int i = 0; i < RECORDS; i++) {
        compare(&word->accesses[PLAIN][i], PLAIN, &now, manner, caller);
        if (manner == PLAIN)
            compare(&word->accesses[ATOMIC][i], ATOMIC, &now, manner, caller);
    }
    keep(word, manner, &now);
}

static void look_at(
        const volatile void *object, size_t size, bool write, enum manner manner, void *caller)
{
    const volatile char *at = object;

    if (!looks || !running ||
            ((char *)(uintptr_t)at >= tls_begin && (char *)(uintptr_t)at < tls_end))
        return;
    size_t in_arena = place(object);
    if (in_arena < ARENA_SIZE && lines[in_arena / LINE] != IN_USE)
        virtual_fail("%p: memory is used that %s", caller,
                lines[in_arena / LINE] == FREED ? "was freed" : "belongs to nobody");
    while (size > 0) {
        size_t offset = (uintptr_t)at & 7;
        size_t part = 8 - offset < size ? 8 - offset : size;
        look_at_word(at, (uint8_t)(((1u << part) - 1) << offset), write, manner, caller);
        at += part;
        size -= part;
    }
}

/* What gcc's -fsanitize=thread calls. */
#define CALLER __builtin_return_address(0)
#define HOOKS(size)                                                                                \
    void __tsan_read##size(void *object);                                                          \
    void __tsan_read##size(void *object)                                                           \
    {                                                                                              \
        look_at(object, size, false, PLAIN, CALLER);                                               \
    }                                                                                              \
    void __tsan_write##size(void *object);                                                         \
    void __tsan_write##size(void *object)                                                          \
    {                                                                                              \
        look_at(object, size, true, PLAIN, CALLER);                                                \
    }                                                                                              \
    void __tsan_unaligned_read##size(void *object);                                                \
    void __tsan_unaligned_read##size(void *object)                                                 \
    {                                                                                              \
        look_at(object, size, false, PLAIN, CALLER);                                               \
    }                                                                                              \
    void __tsan_unaligned_write##size(void *object);                                               \
    void __tsan_unaligned_write##size(void *object)                                                \
    {                                                                                              \
        look_at(object, size, true, PLAIN, CALLER);                                                \
    }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_init(void);
void __tsan_init(void)
{
    looks = true;
}

void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void);
void __tsan_func_exit(void)
{
}

void __tsan_read_range(void *object, size_t size);
void __tsan_read_range(void *object, size_t size)
{
    look_at(object, size, false, PLAIN, CALLER);
}

void __tsan_write_range(void *object, size_t size);
void __tsan_write_range(void *object, size_t size)
{
    look_at(object, size, true, PLAIN, CALLER);
}
