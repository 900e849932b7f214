/* SPDX-License-Identifier: MIT */
/*
 * The heart of the demo is fetch_all(): one function, no second version.  Plain threads run it and
 * it blocks them; the coroutine visit() runs it and it suspends.
 *
 * SHARED  Runners share the job: atomic counters, one element of `latency_ns` for each request and,
 *   under `mutex`, the first error.  All else belongs to one runner until `finished` is done.
 */
#include "crawl.h"

#include "client.h"
#include "progress.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_LIMIT 16

struct job {
    const struct crawl_plan *plan;
    atomic_size_t next;  /* request to take */
    atomic_size_t ended; /* requests that ended, for the progress bar */
    atomic_size_t errors;
    atomic_size_t runners; /* the last one completes `finished` */
    int64_t *latency_ns;   /* of each request; -1: none */
    struct anysync_future *finished;
    pthread_mutex_t mutex;
    int first_error;
    char sentence[512];
};

struct runner {
    struct job *job;
    pthread_t thread;
    bool is_started;
    unsigned caller; /* anysync_thread_serial() */
    unsigned workers[SEEN_LIMIT];
    size_t worker_count;
    size_t documents;
    uint64_t bytes;
};

/* Add SERIAL to a small set. */
static void see(unsigned *seen, size_t *count, size_t limit, unsigned serial)
{
    for (size_t i = 0; i < *count; i++) {
        if (seen[i] == serial)
            return;
    }
    if (*count < limit)
        seen[(*count)++] = serial;
}

static void note_error(struct job *job, int error)
{
    atomic_fetch_add(&job->errors, 1);
    pthread_mutex_lock(&job->mutex);
    if (!job->first_error) {
        job->first_error = error;
        snprintf(job->sentence, sizeof job->sentence, "%s", anysync_last_error()->message);
    }
    pthread_mutex_unlock(&job->mutex);
}

/* The same code for both worlds: fetch() knows how to wait. */
static void fetch_all(struct runner *runner)
{
    struct job *job = runner->job;
    const struct crawl_plan *plan = job->plan;

    runner->caller = anysync_thread_serial();
    while (atomic_load(&job->errors) < CRAWL_ERRORS) {
        size_t index = atomic_fetch_add(&job->next, 1);
        anysync_time began = anysync_now();
        struct page page;
        int error;

        if (index >= plan->requests)
            return;
        error = fetch(&page, plan->urls[index % plan->url_count]);
        if (error) {
            note_error(job, error);
        } else {
            job->latency_ns[index] = anysync_now() - began;
            runner->documents++;
            runner->bytes += page.size;
            see(runner->workers, &runner->worker_count, SEEN_LIMIT, page.thread);
            page_free(&page);
        }
        atomic_fetch_add(&job->ended, 1);
    }
}

static void runner_end(struct job *job)
{
    if (atomic_fetch_sub(&job->runners, 1) == 1)
        (void)anysync_future_set(job->finished, NULL);
}

static void *runner_main(void *argument)
{
    struct runner *runner = argument;

    fetch_all(runner);
    runner_end(runner->job);
    return NULL;
}

ANYSYNC_COROUTINE(void, visit, (struct runner *, runner))
{
    fetch_all(runner);
    runner_end(runner->job);
    return 0;
}

static int compare_times(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* Sorts the latencies: the job has ended. */
static void report_latency(struct job *job, struct crawl_report *report)
{
    size_t count = 0;

    for (size_t i = 0; i < job->plan->requests; i++) {
        if (job->latency_ns[i] >= 0)
            job->latency_ns[count++] = job->latency_ns[i];
    }
    if (count == 0)
        return;
    qsort(job->latency_ns, count, sizeof *job->latency_ns, compare_times);
    report->p50_ns = job->latency_ns[(count - 1) / 2];
    report->p99_ns = job->latency_ns[(count - 1) * 99 / 100];
}

/* RUNNERS: the coroutine's is the first. */
static void report_runners(const struct runner *runners, size_t count, struct crawl_report *report)
{
    unsigned *seen = calloc(3 * (count + SEEN_LIMIT), sizeof *seen); /* three sets */
    unsigned *callers = seen;
    unsigned *workers = seen ? seen + count + SEEN_LIMIT : NULL;
    unsigned *all = seen ? workers + count + SEEN_LIMIT : NULL;

    report->of_coroutine = runners[0].documents;
    for (size_t i = 0; i < count; i++) {
        report->documents += runners[i].documents;
        report->bytes += runners[i].bytes;
        if (!seen || !runners[i].caller)
            continue;
        see(all, &report->threads, count + SEEN_LIMIT, runners[i].caller);
        if (i > 0)
            see(callers, &report->callers, count, runners[i].caller);
        for (size_t j = 0; j < runners[i].worker_count; j++) {
            see(workers, &report->workers, SEEN_LIMIT, runners[i].workers[j]);
            see(all, &report->threads, count + SEEN_LIMIT, runners[i].workers[j]);
        }
    }
    free(seen);
}

static void start_threads(struct runner *runners, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        int code = pthread_create(&runners[i].thread, NULL, runner_main, &runners[i]);

        runners[i].is_started = code == 0;
        if (code) {
            anysync_fail(-code, "cannot start a thread: %s", strerror(code));
            note_error(runners[i].job, -code);
            runner_end(runners[i].job);
        }
    }
}

/* Wait for all runners, and draw while they work. */
static void watch(struct job *job)
{
    struct progress progress;
    int error;

    progress_start(&progress, job->plan->requests);
    do {
        progress_draw(&progress, atomic_load(&job->ended), atomic_load(&job->errors));
        error = anysync_future_wait(job->finished, anysync_in_ms(100));
    } while (error == -ETIMEDOUT);
    progress_end(&progress);
}

static void run(struct job *job, struct runner *runners, size_t count)
{
    ANYSYNC_SCOPED_FUTURE(visit, visitor);
    int error = visit_start(&visitor, &runners[0]);

    if (error) {
        note_error(job, error);
        runner_end(job);
    }
    start_threads(runners, count);
    watch(job);
    if (!error)
        error = visit_wait(&visitor, ANYSYNC_FOREVER);
    if (error && !job->first_error)
        note_error(job, error);
    for (size_t i = 1; i < count; i++) {
        if (runners[i].is_started)
            pthread_join(runners[i].thread, NULL);
    }
}

int crawl(const struct crawl_plan *plan, struct crawl_report *report)
{
    size_t count = plan->threads + 1;
    struct job job = {.plan = plan};
    struct runner *runners = calloc(count, sizeof *runners);
    anysync_time began = anysync_now();
    int error = anysync_future_new(0, &job.finished);

    memset(report, 0, sizeof *report);
    job.latency_ns = malloc(plan->requests * sizeof *job.latency_ns);
    if (!error && (!runners || !job.latency_ns))
        error = anysync_fail(-ENOMEM, "no memory for %zu requests", plan->requests);
    if (!error && runners && job.latency_ns) { /* said twice for static analysers */
        pthread_mutex_init(&job.mutex, NULL);
        atomic_init(&job.next, 0);
        atomic_init(&job.ended, 0);
        atomic_init(&job.errors, 0);
        atomic_init(&job.runners, count);
        for (size_t i = 0; i < plan->requests; i++)
            job.latency_ns[i] = -1;
        for (size_t i = 0; i < count; i++)
            runners[i].job = &job;
        run(&job, runners, count);
        report->elapsed_ns = anysync_now() - began;
        report->errors = atomic_load(&job.errors);
        report->first_error = job.first_error;
        memcpy(report->sentence, job.sentence, sizeof report->sentence);
        report_runners(runners, count, report);
        report_latency(&job, report);
        pthread_mutex_destroy(&job.mutex);
    }
    anysync_future_unref(job.finished);
    free(job.latency_ns);
    free(runners);
    return error;
}
