#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Break the library in one place after another, and see whether anything notices.

    mutate.py [--sample N] [--seconds N] [--seed WORD] [--jobs N] [--only PATTERN] [FOLDER...]

A MUTANT has one memory order weaker by a step, or lacks one statement that wakes, delivers,
completes, orders, gives back, or drops a reference.  It is KILLED if it does not compile, if a
scene of the virtual schedule fails or never ends, or if a test does: those that mutants.tests names
for its file, built as it says.  One that survives must be WAIVED: a line in mutants.waived,

    FILE | KIND | the line without blanks at its ends | why it is no bug

where FILE:FUNCTION in the place of FILE waives it in that function only.  It is not tried then.

Without a sample all mutants of the FOLDERs (lib/thread lib/sched lib/api) are tried.  --sample
takes N of them; --seconds as many as are done by then, in an order that the seed decides.  Prints a
line for each survivor, and "N mutants: N killed, N waived, N survived"; ends with 1 if any
survived, or if a waiver is for no mutant at all.  VERBOSE=1 says of each who killed it.  Works on
copies in build/mutants, one for each of the jobs (as many as there are processors)."""

import argparse
import concurrent.futures
import fnmatch
import functools
import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(ROOT, "build", "mutants")
GLANCE = [["--most", "100"], ["--random", "150", "--rank", "50"]]
ORDERS = [["--most", "4000"], ["--random", "2000", "--rank", "1000"]]
SECONDS = 1800  # of a processor: more is a hang, for all scenes together
TEST_SECONDS = 60  # by the clock: the same for one test, of those that take well below one

# What make is told, and where it puts what it builds.
BUILDS = {
    "virtual": (["VIRTUAL=races"], "build/virtual-races"),
    "address": (["SAN=address"], "build/gcc-address/test"),
    "race": (["SAN=address", "RACE=1"], "build/gcc-address-race/test"),
    "thread": (["CC=clang", "SAN=thread"], "build/clang-thread/test"),
    "debug": (["DEBUG=1", "BUILD=build/debug"], "build/debug/test"),
}
TEST_ENVIRONMENT = {
    "TEST_SCALE": "5", "TEST_TIME_LIMIT": str(TEST_SECONDS),
    "ASAN_OPTIONS": "detect_stack_use_after_return=1", "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=0:die_after_fork=0:exitcode=66:atexit_sleep_ms=10"}

ACCESS = re.compile(r"asi_(load|store|exchange|add|sub|or|and|cas_weak|cas_strong)\(")
WEAKER = {"acq_rel": ("acquire", "release"), "acquire": ("relaxed",), "release": ("relaxed",),
          "seq_cst": ("acq_rel",)}
DELETED = re.compile(
    r"^\s+(\(void\))?(asi_(futex_wake|doorbell_ring|barrier_heavy|waiter_\w+|cell_\w+|refs_\w+"
    r"|brief_\w+|owned_\w+|flag_\w+|pointer_set|store|lock_give|lock_take|link_free|free"
    r"|mailbox_\w+|wake\w*|future_complete\w*|graph_\w+|edge_\w+)"
    r"|anysync_\w+_unref|wake|deliver\w*|discard|put_back|sweep)\(.*\);\s*(/\*.*\*/)?$")
# The head of a function.
HEAD = re.compile(r"(?:__attribute__\(\([^()]*(?:\([^()]*\))?[^()]*\)\) ?)?\w.*?\b(\w+)\(")


def mutants(folders):
    """(file, line index, kind, line, new line, function) of each."""
    for folder in folders:
        for name in sorted(os.listdir(os.path.join(ROOT, folder))):
            path = os.path.join(folder, name)
            if not name.endswith((".c", ".h")) or name == "atomic.h":
                continue
            function = ""
            for index, line in enumerate(read(os.path.join(ROOT, path)).split("\n")):
                if found := HEAD.match(line):
                    function = found[1]
                for kind, new in mutations(line):
                    yield path, index, kind, line, new, function


def mutations(line):
    """(kind, new line) of each mutant of LINE."""
    code = line.split("/*")[0]
    if ACCESS.search(code):
        for order, weaker in WEAKER.items():
            for found in re.finditer(rf"\b{order}\b", code):
                for other in weaker:
                    yield f"{order} -> {other}", line[:found.start()] + other + line[found.end():]
    if DELETED.match(line):
        yield "deleted", ";"


def read(path):
    with open(path) as file:
        return file.read()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def lines_of(name):
    """The lines of the file NAME beside this one that say something."""
    return [line for line in read(os.path.join(HERE, name)).split("\n")
            if line.strip() and not line.startswith("#")]


def waivers():
    """What mutants.waived says: (file, kind, line) to the reason."""
    table = {}
    for line in lines_of("mutants.waived"):
        where, kind, rest = line.split(" | ", 2)
        text, why = rest.rsplit(" | ", 1)  # the line may have a bar of its own
        table[where, kind, text] = why.strip()
    return table


def names(mutant):
    """By which a waiver may call MUTANT."""
    path, _, kind, line, _, function = mutant
    return (path, kind, line.strip()), (f"{path}:{function}", kind, line.strip())


def tests_of(path):
    """(build, program, words) of the tests for the file PATH, in their order."""
    for line in lines_of("mutants.tests"):
        pattern, kind, *programs = line.split()
        if fnmatch.fnmatch(path, pattern):
            for program in programs:
                yield (kind, *program.split(":", 1)) if ":" in program else (kind, program, "")


def copy_tree(copy):
    """Make COPY what the sources are.  What is the same stays, with its time, and is not built
    again; what is not has the time of now: nothing that was built of a mutant is taken for its."""
    for part in "lib", "include", "test":
        for folder, _, files in os.walk(os.path.join(ROOT, part)):
            there = os.path.join(copy, os.path.relpath(folder, ROOT))
            os.makedirs(there, exist_ok=True)
            for name in set(os.listdir(there)) - set(os.listdir(folder)):
                os.remove(os.path.join(there, name))
            for name in files:
                copy_file(os.path.join(folder, name), os.path.join(there, name))
    copy_file(os.path.join(ROOT, "Makefile"), os.path.join(copy, "Makefile"))


def copy_file(source, target):
    with open(source, "rb") as file:
        content = file.read()
    if os.path.exists(target):
        with open(target, "rb") as file:
            if file.read() == content:
                return
    with open(target, "wb") as file:
        file.write(content)


def build(copy, kind, program):
    """Build PROGRAM; its path, or None."""
    words, place = BUILDS[kind]
    path = f"{place}/{program}"
    done = subprocess.run(["make", "-s", "WERROR=", *words, path], cwd=copy,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path if done.returncode == 0 else None


def end_all(group):
    """End the processes of the GROUP, if there are any."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(command, copy, failed, seconds, environment):
    """Why COMMAND failed: its first line that matches FAILED, after which it is ended; or how it
    ended; "" if it went well."""
    started = subprocess.Popen(command, cwd=copy, text=True, errors="replace",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, start_new_session=True,
                               env={**os.environ, **environment})
    watch = threading.Timer(seconds, end_all, [started.pid])
    watch.start()
    why = next((line.strip() for line in started.stdout if failed.match(line)), "")
    if why:
        end_all(started.pid)
    started.stdout.close()
    status = started.wait()
    watch.cancel()
    end_all(started.pid)  # what it has left behind
    return why or (f"it ended with {status}" if status != 0 else "")


def run_scenes(copy, all_orders):
    """Why they failed; "" if they did not."""
    program = build(copy, "virtual", "virtual")
    if not program:
        return "it does not compile"
    for orders in all_orders:
        if why := run(["prlimit", f"--cpu={SECONDS}", program, *orders], copy,
                      re.compile(r"\w+: "), 24 * 3600, {}):
            return why
    return ""


def run_test(copy, kind, program, words):
    """The same, of a test program."""
    path = build(copy, kind, program)
    if not path:
        return f"{program} does not compile"
    command = ["setarch", os.uname().machine, "-R", path]  # sanitizers want it so
    why = run(command + (words.split(":") if words else []), copy, re.compile("not ok"),
              10 * TEST_SECONDS, TEST_ENVIRONMENT)
    return f"{kind} {program}: {why}" if why else ""


@functools.cache
def beyond_virtual():
    """The sources that the virtual machine does without."""
    return subprocess.run(["make", "-s", "print-beyond-virtual"], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, check=True).stdout.split()


def stages(copy, path):
    """What a mutant of the file PATH has to get through, with a name: first what kills most."""
    has_scenes = path not in beyond_virtual()
    if has_scenes:
        yield "a glance", lambda: run_scenes(copy, GLANCE)
    for kind in BUILDS:
        for test in tests_of(path):
            if test[0] == kind:
                yield test, lambda test=test: run_test(copy, *test)
    if has_scenes:
        yield "scenes", lambda: run_scenes(copy, ORDERS)


class Copies:
    """Copies of the tree to try mutants in; what is waived; what is known to pass without any."""

    def __init__(self, count, waived):
        self.free = queue.Queue()
        self.waived = waived
        self.passed = set()
        for number in range(count):
            copy = os.path.join(WORK, str(number))
            copy_tree(copy)
            self.free.put(copy)

    def judge(self, mutant, until):
        """Put MUTANT into one of the copies; why it is killed, "waived", "" if it survives, None if
        it is too late.  Who kills for the first time has to show that it does not without one."""
        path, index, _, _, new, _ = mutant
        if time.time() > until:
            return mutant, None
        if any(name in self.waived for name in names(mutant)):
            return mutant, "waived"
        copy = self.free.get()
        try:
            name = os.path.join(copy, path)
            before = read(name)
            lines = before.split("\n")
            lines[index] = new
            killer, why = None, ""
            try:
                write(name, "\n".join(lines))
                for killer, stage in stages(copy, path):
                    if why := stage():
                        break
            finally:
                write(name, before)
            if why and killer not in self.passed:
                if false := stage():
                    sys.exit(f"mutate.py: without any mutant: {false}")
                self.passed.add(killer)
            return mutant, why
        finally:
            self.free.put(copy)


def choose(options, all_mutants):
    """Those to be tried, in their order."""
    chosen = [mutant for mutant in all_mutants if options.only in f"{mutant[0]}:{mutant[1] + 1}"]
    if options.sample or options.seconds:
        print(f"seed {options.seed}")
        chosen = random.Random(options.seed).sample(
            chosen, min(options.sample or len(chosen), len(chosen)))
    return chosen


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="")
    parser.add_argument("folders", nargs="*", default=["lib/thread", "lib/sched", "lib/api"])
    options = parser.parse_args()
    known = waivers()
    all_mutants = list(mutants(options.folders))
    chosen = choose(options, all_mutants)
    copies = Copies(options.jobs, known)
    until = time.time() + (options.seconds or float("inf"))
    counts = {"killed": 0, "waived": 0, "survived": 0}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for mutant, why in pool.map(lambda mutant: copies.judge(mutant, until), chosen):
            if why is None:
                continue
            verdict = "waived" if why == "waived" else "killed" if why else "survived"
            counts[verdict] += 1
            path, index, kind, line, _, function = mutant
            if verdict == "survived" or os.environ.get("VERBOSE"):
                print(f"{verdict}: {path}:{index + 1} {function} | {kind} | {line.strip()} | {why}",
                      flush=True)
    called = {name for mutant in all_mutants for name in names(mutant)}
    idle = [name for name in known if name[0].startswith(tuple(options.folders))
            and name not in called]
    for name in idle:
        print("no such mutant: " + " | ".join(name))
    print(f"{sum(counts.values())} mutants: " +
          ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    return counts["survived"] > 0 or bool(idle)


if __name__ == "__main__":
    sys.exit(main())
