#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Break the library in one place after another, and see whether the virtual schedule notices.

    mutate.py [--sample N] [--only PATTERN] [FOLDER...]      lib/thread lib/sched lib/api

A MUTANT has one memory order weaker by a step, or lacks one statement that wakes, delivers,
completes, orders, gives back, or drops a reference.  It is KILLED if a scene fails, if it does not
compile, or if it never ends.  One that survives must be waived: a line in mutants.waived,

    FILE | KIND | the line without blanks at its ends | why it is no bug

Prints a line for each survivor, and "N mutants: N killed, N waived, N survived"; ends with 1 if
any survived.  Works on copies in build/mutants, one for each processor."""

import argparse
import concurrent.futures
import os
import queue
import random
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(ROOT, "build", "mutants")
ORDERS = ["--most", "4000"], ["--random", "2000", "--rank", "1000"]
SECONDS = 300  # more is a hang

ACCESS = re.compile(r"asi_(load|store|exchange|add|sub|or|and|cas_weak|cas_strong)\(")
WEAKER = {"acq_rel": ("acquire", "release"), "acquire": ("relaxed",), "release": ("relaxed",),
          "seq_cst": ("acq_rel",)}
DELETED = re.compile(
    r"^\s+(\(void\))?(asi_(futex_wake|doorbell_ring|barrier_heavy|waiter_\w+|cell_\w+|refs_\w+"
    r"|brief_\w+|owned_\w+|flag_\w+|pointer_set|store|lock_give|lock_take|link_free|free"
    r"|mailbox_\w+|wake\w*|future_complete\w*|graph_\w+|edge_\w+)"
    r"|anysync_\w+_unref|wake|deliver\w*|discard|put_back|sweep)\(.*\);\s*(/\*.*\*/)?$")


def mutants(folders):
    """(file, line index, kind, line, new line) of each."""
    for folder in folders:
        for name in sorted(os.listdir(os.path.join(ROOT, folder))):
            path = os.path.join(folder, name)
            if not name.endswith((".c", ".h")) or name == "atomic.h":
                continue
            with open(os.path.join(ROOT, path)) as file:
                lines = file.read().split("\n")
            for index, line in enumerate(lines):
                code = line.split("/*")[0]
                if ACCESS.search(code):
                    for order, weaker in WEAKER.items():
                        for found in re.finditer(rf"\b{order}\b", code):
                            for other in weaker:
                                yield (path, index, f"{order} -> {other}", line,
                                       line[:found.start()] + other + line[found.end():])
                if DELETED.match(line):
                    yield path, index, "deleted", line, ";"


def waivers():
    """What mutants.waived says: (file, kind, line) to the reason."""
    table = {}
    path = os.path.join(HERE, "mutants.waived")
    if os.path.exists(path):
        with open(path) as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    where, kind, rest = line.split(" | ", 2)
                    text, why = rest.rsplit(" | ", 1)  # the line may have a bar of its own
                    table[where, kind, text] = why.strip()
    return table


def copies(count):
    """COUNT copies of the tree, built."""
    made = []
    for number in range(count):
        copy = os.path.join(WORK, str(number))
        os.makedirs(copy, exist_ok=True)
        for part in ("lib", "include", "test", "Makefile"):
            if os.path.isdir(os.path.join(ROOT, part)):
                subprocess.run(["cp", "-r", os.path.join(ROOT, part), copy], check=True)
            else:
                shutil.copy(os.path.join(ROOT, part), copy)
        build(copy, check=True)
        made.append(copy)
    return made


def build(copy, check=False):
    command = ["make", "-s", "VIRTUAL=races", "WERROR=", "build/virtual-races/virtual"]
    return subprocess.run(command, cwd=copy, check=check, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode


def killed(copy):
    """Why the mutant in COPY is none; "" if it survived."""
    if build(copy) != 0:
        return "it does not compile"
    for orders in ORDERS:
        try:
            done = subprocess.run(["build/virtual-races/virtual", *orders], cwd=copy, text=True,
                                  timeout=SECONDS, capture_output=True)
        except subprocess.TimeoutExpired:
            return "it does not end"
        if done.returncode != 0:
            failed = [line for line in done.stdout.split("\n") if line and
                      "--replay" not in line and not line.endswith(("ok", "not all"))]
            return failed[0] if failed else "it crashed"
    return ""


def judge(mutant, free):
    """Put MUTANT into one of the copies, and see."""
    path, index, _, _, new = mutant
    copy = free.get()
    name = os.path.join(copy, path)
    with open(name) as file:
        before = file.read()
    lines = before.split("\n")
    lines[index] = new
    try:
        with open(name, "w") as file:
            file.write("\n".join(lines))
        return mutant, killed(copy)
    finally:
        with open(name, "w") as file:
            file.write(before)
        free.put(copy)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("folders", nargs="*", default=["lib/thread", "lib/sched", "lib/api"])
    options = parser.parse_args()
    chosen = [mutant for mutant in mutants(options.folders) if options.only in mutant[0]]
    if options.sample:
        chosen = random.Random(1).sample(chosen, min(options.sample, len(chosen)))
    known = waivers()
    free = queue.Queue()
    for copy in copies(os.cpu_count() or 1):
        free.put(copy)
    if why := killed(copy):
        sys.exit(f"mutate.py: without any mutant {why}")
    counts = {"killed": 0, "waived": 0, "survived": 0}
    with concurrent.futures.ThreadPoolExecutor(free.qsize()) as pool:
        for mutant, why in pool.map(lambda mutant: judge(mutant, free), chosen):
            path, index, kind, line, _ = mutant
            text = line.strip()
            verdict = "killed" if why else "waived" if (path, kind, text) in known else "survived"
            counts[verdict] += 1
            if verdict == "survived" or os.environ.get("VERBOSE"):
                print(f"{verdict}: {path}:{index + 1} | {kind} | {text} | {why}", flush=True)
    print(f"{len(chosen)} mutants: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    return counts["survived"] > 0


sys.exit(main())
