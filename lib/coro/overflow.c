/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* SA_ONSTACK, sigaltstack() */
#include "coro/overflow.h"

#include "base/say.h"
#include "coro/coro.h"
#include "coro/stack.h"

#include <signal.h>

const char *(*asi_overflow_name)(const char **ret_file, int *ret_line);

static struct sigaction before_segv, before_bus;

static void tell(const struct asi_coro *coro)
{
    struct asi_say say = {.length = 0};
    const char *file = NULL;
    int line = 0;
    const char *name = asi_overflow_name ? asi_overflow_name(&file, &line) : NULL;

    asi_say_text(&say, "anysync: the stack of task \"");
    asi_say_text(&say, name ? name : "?");
    asi_say_text(&say, "\"");
    if (file) {
        asi_say_text(&say, " (");
        asi_say_text(&say, file);
        asi_say_text(&say, ":");
        asi_say_number(&say, (unsigned long)line);
        asi_say_text(&say, ")");
    }
    asi_say_text(&say, " overflowed its ");
    asi_say_number(&say, coro->size / 1024);
    asi_say_text(&say, " KiB: raise .stack_size of the function or of the executor\n");
    asi_say_out(&say);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    const struct sigaction *before = number == SIGBUS ? &before_bus : &before_segv;
    const struct asi_coro *coro = asi_coro_running;

    if (coro && asi_stack_guards(coro, info->si_addr)) {
        tell(coro);
        sigaction(number, before, NULL); /* the fault comes again, and goes there */
    } else if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, info, context);
    } else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(number);
    } else if (before->sa_handler == SIG_DFL || info->si_code > 0) {
        (void)signal(number, SIG_DFL); /* a fault comes again; what was sent has to be sent again */
        if (info->si_code <= 0)
            (void)raise(number);
    }
}

void asi_overflow_install(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&action.sa_mask);
    /* The old ones first: the handler may run as soon as it is installed. */
    sigaction(SIGSEGV, NULL, &before_segv);
    sigaction(SIGBUS, NULL, &before_bus);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

int asi_overflow_enter(void *memory)
{
    stack_t stack;

    if (sigaltstack(NULL, &stack) != 0 || !(stack.ss_flags & SS_DISABLE))
        return 0;
    stack = (stack_t){.ss_sp = memory, .ss_size = ASI_OVERFLOW_STACK};
    return sigaltstack(&stack, NULL) == 0;
}

void asi_overflow_leave(void)
{
    stack_t stack = {.ss_flags = SS_DISABLE, .ss_size = ASI_OVERFLOW_STACK};

    (void)sigaltstack(&stack, NULL);
}
