/* SPDX-License-Identifier: MIT */
/*
 * A blocking program that fetches real documents through an asynchronous HTTP client.
 *
 *      demo                            from an embedded server that offers this project's files
 *      demo http://127.0.0.1:8080/     the same document again and again, from any server
 *      demo --one URL                  one document; or of the embedded server: /README.md
 *
 * Exit codes: usage() has the list.
 */
#include "client.h"
#include "crawl.h"
#include "files.h"
#include "server.h"

#include <anysync.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum exit_code {
    EXIT_GOOD = 0,
    EXIT_OTHER = 1,
    EXIT_WRONG_URL = 2, /* and wrong arguments */
    EXIT_NO_CONNECTION = 3,
    EXIT_TIMEOUT = 4,
    EXIT_HTTP_STATUS = 5,
    EXIT_BROKEN = 6
};

struct options {
    const char *url;  /* NULL: the embedded server */
    const char *one;  /* NULL: many */
    const char *save; /* file for the document of --one; NULL: none */
    const char *root; /* of the embedded server; NULL: find the project */
    int threads;
    int requests;
    int timeout_ms;
};

static int usage(const char *complaint, const char *word)
{
    fprintf(stderr,
            "demo: %s%s\n"
            "usage: demo [URL] [--threads N] [--requests N] [--timeout MS] [--root FOLDER]\n"
            "       demo --one URL [--save FILE] [--timeout MS] [--root FOLDER]\n"
            "exit:  0 all fetched; 2 wrong URL or arguments; 3 no connection (refused,\n"
            "       unreachable, unknown host); 4 timeout; 5 the server answered with an\n"
            "       error such as 404; 6 the connection broke, or it was no HTTP;\n"
            "       1 anything else\n",
            complaint, word);
    return EXIT_WRONG_URL;
}

static int exit_code(int error)
{
    switch (error) {
    case 0:
        return EXIT_GOOD;
    case -EINVAL:
        return EXIT_WRONG_URL;
    case -ECONNREFUSED:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -EADDRNOTAVAIL:
        return EXIT_NO_CONNECTION;
    case -ETIMEDOUT:
        return EXIT_TIMEOUT;
    case -ENOENT:
    case -EACCES:
    case -EREMOTEIO:
        return EXIT_HTTP_STATUS;
    case -ECONNRESET:
    case -EPROTO:
    case -EFBIG:
        return EXIT_BROKEN;
    default:
        return EXIT_OTHER;
    }
}

/* Say why the last call failed, and how the program ends for it. */
static int complain(int error)
{
    fprintf(stderr, "demo: %s\n", anysync_last_error()->message);
    return exit_code(error);
}

/* --- arguments -------------------------------------------------------------------------------- */

/* Returns a number of 0 to LIMIT, or -1. */
static int parse_number(const char *text, int limit)
{
    char *end;
    long number;

    if (*text < '0' || *text > '9')
        return -1;
    errno = 0;
    number = strtol(text, &end, 10);
    return errno || *end || number > limit ? -1 : (int)number;
}

/* Take the option NAME with its VALUE.  Returns whether it made sense. */
static bool take_option(struct options *options, const char *name, const char *value)
{
    if (strcmp(name, "--threads") == 0)
        return (options->threads = parse_number(value, 1000)) >= 0;
    if (strcmp(name, "--requests") == 0)
        return (options->requests = parse_number(value, 10000000)) > 0;
    if (strcmp(name, "--timeout") == 0)
        return (options->timeout_ms = parse_number(value, 3600000)) > 0;
    if (strcmp(name, "--one") == 0)
        return (options->one = value) != NULL;
    if (strcmp(name, "--save") == 0)
        return (options->save = value) != NULL;
    if (strcmp(name, "--root") == 0)
        return (options->root = value) != NULL;
    return false;
}

/* Returns 0 or the exit code. */
static int parse_arguments(int count, char **arguments, struct options *options)
{
    for (int i = 1; i < count; i++) {
        if (strncmp(arguments[i], "--", 2) == 0) {
            if (i + 1 == count)
                return usage("a value is missing after ", arguments[i]);
            if (!take_option(options, arguments[i], arguments[i + 1]))
                return usage("cannot make sense of ", arguments[i]);
            i++;
        } else if (options->url) {
            return usage("one URL only, not also ", arguments[i]);
        } else if (*arguments[i]) { /* an empty one is what `make demo URL=` gives */
            options->url = arguments[i];
        }
    }
    if (options->url && options->one)
        return usage("--one has its own URL, not also ", options->url);
    return 0;
}

/* --- one document ----------------------------------------------------------------------------- */

static int save_page(const struct page *page, const char *path)
{
    FILE *file = fopen(path, "wb");
    bool is_good = file && fwrite(page->data, 1, page->size, file) == page->size;

    if (file && fclose(file) != 0)
        is_good = false;
    return is_good ? 0 : anysync_fail(-EIO, "cannot write %s: %s", path, strerror(errno));
}

static int fetch_one(const char *url, const char *save)
{
    struct page page;
    int error = fetch(&page, url);

    if (error)
        return complain(error);
    if (save)
        error = save_page(&page, save);
    if (!error)
        printf("%s: %zu bytes\n", url, page.size);
    page_free(&page);
    return error ? complain(error) : EXIT_GOOD;
}

/* --- many documents --------------------------------------------------------------------------- */

static void print_table(const struct crawl_report *report, bool is_embedded)
{
    double seconds = (double)report->elapsed_ns / 1e9;
    size_t answers = report->documents + report->errors;

    printf("documents     %12zu   (%zu by threads, %zu by the coroutine)\n", report->documents,
            report->documents - report->of_coroutine, report->of_coroutine);
    printf("bytes         %12" PRIu64 "\n", report->bytes);
    printf("errors        %12zu%s\n", report->errors,
            report->errors >= CRAWL_ERRORS ? "   (gave up)" : "");
    printf("requests/s    %12.0f\n", seconds > 0 ? (double)answers / seconds : 0.0);
    printf("p50           %12.3f ms\n", (double)report->p50_ns / 1e6);
    printf("p99           %12.3f ms\n", (double)report->p99_ns / 1e6);
    printf("threads used  %12zu   (%zu that block, %zu worker%s%s)\n", report->threads,
            report->callers, report->workers, report->workers == 1 ? "" : "s",
            is_embedded ? "; the server has its own" : "");
}

static int fetch_many(const struct options *options, const struct files *urls, bool is_embedded)
{
    const struct crawl_plan plan = {.urls = urls->paths,
            .url_count = urls->count,
            .requests = (size_t)options->requests,
            .threads = (size_t)options->threads};
    struct crawl_report report;
    struct page page;
    int error = fetch(&page, urls->paths[0]);

    /* A first one alone: a wrong URL or a dead server is told at once, and once. */
    if (error)
        return complain(error);
    page_free(&page);
    error = crawl(&plan, &report);
    if (error)
        return complain(error);
    print_table(&report, is_embedded);
    if (report.first_error) {
        fflush(stdout);
        fprintf(stderr, "demo: %s\n", report.sentence);
    }
    return exit_code(report.first_error);
}

/* --- against the embedded server -------------------------------------------------------------- */

static char *embedded_url(const struct server *server, const char *path)
{
    size_t size = strlen(path) + 40;
    char *url = malloc(size);

    if (url)
        snprintf(url, size, "http://127.0.0.1:%d%s", server->port, path);
    return url;
}

/* Put the server's address before each path. */
static int make_urls(const struct server *server, struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        char *url = embedded_url(server, files->paths[i]);

        if (!url)
            return anysync_fail(-ENOMEM, "no memory for the list of URLs");
        free(files->paths[i]);
        files->paths[i] = url;
    }
    return 0;
}

static int fetch_embedded(
        const struct options *options, const struct server *server, struct files *files)
{
    char *url;
    int code;
    int error;

    if (!options->one) {
        error = make_urls(server, files);
        return error ? complain(error) : fetch_many(options, files, true);
    }
    url = embedded_url(server, options->one);
    if (!url)
        return complain(anysync_fail(-ENOMEM, "no memory for a URL"));
    code = fetch_one(url, options->save);
    free(url);
    return code;
}

static int run_embedded(const struct options *options)
{
    struct server server;
    struct files files;
    char *folder;
    int code = EXIT_OTHER;
    int error = files_find(options->root, &files, &folder);

    if (!error) {
        error = server_start(&server, folder);
        if (!error) {
            code = fetch_embedded(options, &server, &files);
            server_stop(&server);
        }
        files_free(&files);
        free(folder);
    }
    if (error) {
        complain(error);
        code = EXIT_OTHER; /* not a fetch that failed: the other codes would tell a wrong story */
    }
    return code;
}

int main(int count, char **arguments)
{
    struct options options = {.threads = 4, .requests = 2000, .timeout_ms = 10000};
    int code = parse_arguments(count, arguments, &options);

    if (code)
        return code;
    fetch_set_timeout(options.timeout_ms);
    if (options.one && *options.one != '/') {
        code = fetch_one(options.one, options.save);
    } else if (options.url) {
        struct files urls = {.paths = (char **)&options.url, .count = 1};

        code = fetch_many(&options, &urls, false);
    } else {
        code = run_embedded(&options);
    }
    /* Nothing is left to do, so this returns at once; without it the process would end as well. */
    if (anysync_shutdown(ANYSYNC_CANCEL, anysync_in_seconds(5), NULL) != 0)
        fprintf(stderr, "demo: %s\n", anysync_last_error()->message);
    return code;
}
