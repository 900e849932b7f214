/* SPDX-License-Identifier: MIT */
/*
 * Memory as x86 has it: each thread's stores go through a queue of its own, which empties at any
 * time; a load looks into the own queue first; a read-modify-write waits until it is empty.
 *
 * The steps are called as in lib/thread/atomic.h, with the thread first, and what they give back
 * before it.  Their orders say nothing here, but test/reliability/check_models.sh compares them,
 * and the labels behind them, with the sources.  put() is a plain store.
 */
typedef queue {
    byte at[DEPTH];
    byte value[DEPTH];
    byte used
};

byte memory[WORDS];
queue queues[THREADS];

#ifdef SC /* without the queues: memory as one has it who looks on */
#define put(me, address, what) memory[address] = what
#else
#define put(me, address, what)                                                                     \
    atomic {                                                                                       \
        queues[me].used < DEPTH;                                                                   \
        queues[me].at[queues[me].used] = address;                                                  \
        queues[me].value[queues[me].used] = what;                                                  \
        queues[me].used++                                                                          \
    }
#endif

/* At most three stores are under way: the newest one that fits, else memory. */
#define held(me, i, address) (queues[me].used > i && queues[me].at[i] == address)
#define asi_load(ret, me, address, order)                                                          \
    ret = (held(me, 2, address) -> queues[me].value[2] : (held(me, 1, address) ->                  \
            queues[me].value[1] : (held(me, 0, address) -> queues[me].value[0] : memory[address])))

#define asi_store(me, address, what, order) put(me, address, what)

#define asi_exchange(ret, me, address, what, order)                                                \
    atomic {                                                                                       \
        queues[me].used == 0;                                                                      \
        ret = memory[address];                                                                     \
        memory[address] = what                                                                     \
    }

#define asi_cas_strong(ok, me, address, expected, desired, success, failure)                       \
    atomic {                                                                                       \
        queues[me].used == 0;                                                                      \
        if                                                                                         \
        :: memory[address] == expected -> memory[address] = desired; ok = 1                        \
        :: else -> expected = memory[address]; ok = 0                                              \
        fi                                                                                         \
    }
#define asi_cas_weak asi_cas_strong

#define asi_add(me, address, what, order)                                                          \
    atomic {                                                                                       \
        queues[me].used == 0;                                                                      \
        memory[address] = (memory[address] + what) % 16                                            \
    }

proctype empties(byte whose)
{
end:
    do
    :: d_step {
        queues[whose].used > 0;
        memory[queues[whose].at[0]] = queues[whose].value[0];
        queues[whose].at[0] = queues[whose].at[1];
        queues[whose].value[0] = queues[whose].value[1];
        queues[whose].at[1] = queues[whose].at[2];
        queues[whose].value[1] = queues[whose].value[2];
        queues[whose].at[2] = 0;
        queues[whose].value[2] = 0;
        queues[whose].used--
    }
    od
}
