/* SPDX-License-Identifier: MIT */
/*
 * The main program of a peer in C or C++: see peer.h, which includes this.
 */
#ifndef BENCH_PEERS_PEER_MAIN_H
#define BENCH_PEERS_PEER_MAIN_H

struct peer_work {
    const char *id;
    bool there;
    int64_t (*run)(int64_t count, int number); /* ns of COUNT operations */
    int number;                                /* when the id has none */
    bool started;                              /* after peer_start() */
};

/* Give RUN(count) to whoever writes to the standard input. */
static inline void peer_serve(const struct peer_work *work, int number)
{
    long long count;

    printf("ready\n");
    fflush(stdout);
    while (scanf("%lld", &count) == 1) {
        printf("%.6g", (double)work->run(count, number) / (double)count);
        for (int64_t i = 0; i < peer_record_count; i++)
            printf(" %.0f", peer_records[i]);
        printf("\n");
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    const struct peer_work works[] = {
            {"W1-hot", peer_call != NULL, peer_calls, 0, true},
            {"W1-one-core", peer_call != NULL, peer_calls, 0, true},
            {"W1-parked", peer_call != NULL, peer_calls_parked, 0, true},
            {"W1-latency", peer_call != NULL, peer_calls_timed, 0, true},
            {"W2", peer_call != NULL, peer_calls_crew, 1, true},
            {"W3", peer_submit != NULL, peer_submits, 1, true},
            {"W4", peer_spawn != NULL, peer_spawn, 0, false},
            {"W5", peer_yield != NULL, peer_yield, 0, false},
            {"W6-time", peer_sleep != NULL, peer_sleep_time, 100000, false},
            {"W6-bytes", peer_sleep != NULL, peer_sleep_bytes, 100000, false},
            {"W7", peer_offload != NULL, peer_offload, 1, false},
            {"W8", peer_nested != NULL, peer_nested_runs, 0, false},
            {"W9", peer_iterate != NULL, peer_iterate, 1, true},
            {"W9-loop", peer_in_loop != NULL, peer_in_loop, 0, false},
            {"W10", peer_echo != NULL, peer_echo, 0, false},
            {"W11", peer_messages != NULL, peer_messages, 0, false},
            {"W14", peer_cancel != NULL, peer_cancel, 0, false},
    };

    for (size_t i = 0; argc == 2 && i < sizeof(works) / sizeof(works[0]); i++) {
        size_t length = strlen(works[i].id);
        const char *rest = argv[1] + length;
        char *end = argv[1];
        long number = works[i].number;

        if (!works[i].there || strncmp(works[i].id, argv[1], length) != 0)
            continue;
        if (*rest && (*rest != '-' || (number = strtol(rest + 1, &end, 10)) < 1 || *end))
            continue;
        if (works[i].started && peer_start)
            peer_start();
        if (works[i].run == peer_echo)
            return (int)peer_echo(0, 0); /* says itself when it is ready */
        peer_serve(&works[i], (int)number);
        break;
    }
    return argc != 2;
}

#endif
