#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the tests have run of the library, from gcov's counts.

    coverage.py test/reliability/unreachable OBJECTS...

OBJECTS is the folder of a build with --coverage.  The first one says which lines and branches
there are; what was run in another one (a sanitizer's, which has branches of its own) was run, too.
Prints the lines of lib/ and include/ that were not run and are not in the list of what cannot be,
the lines that have branches which were not taken, with "-" for each of these, then

    lines 8500 of 8600 98.84, listed 60, branches 4800 of 5100 94.12

The list has lines "FILE FUNCTION | text of the line | why".  They are taken out of both figures, and
so is the untaken side of the condition right above such a line.  An entry that fits no line is an
error: the list would grow old.  Branches of assertions, and of the points where a race build gives
way, are not counted: both have a side that is never to happen, or that is for tests only.  Of a line
that several files have (of a header), or that a macro makes several functions of, a branch counts
that was taken in one.
"""
import functools
import json
import pathlib
import re
import subprocess
import sys

# EWOULDBLOCK is EAGAIN, where we are: one of two comparisons never differs.
NOT_COUNTED = re.compile(r"ASI_ASSERT|asi_race_point|EWOULDBLOCK")


class Line:
    def __init__(self):
        self.count = 0
        self.function = "-"
        self.branches = []

    def add(self, line):
        self.count += line["count"]
        self.function = line.get("function_name", self.function)
        branches = [branch["count"] for branch in line["branches"]]
        if len(branches) < len(self.branches):
            branches, self.branches = self.branches, branches
        for index, count in enumerate(self.branches):
            branches[index] += count
        self.branches = branches

    def add_other(self, line):
        self.count += line["count"]
        if len(line["branches"]) == len(self.branches):
            for index, branch in enumerate(line["branches"]):
                self.branches[index] += branch["count"]


def count(objects, found, first):
    """Add the lines of the library to FOUND, by file and number."""
    data = [str(path.resolve()) for path in sorted(objects.rglob("*.gcda"))]
    for at in range(0, len(data), 20):
        output = subprocess.run(
            ["gcov", "--json-format", "--stdout", "--branch-probabilities", *data[at:at + 20]],
            cwd=objects, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        for report in output.decode().splitlines():
            for file in json.loads(report)["files"]:
                if not file["file"].startswith(("lib/", "include/")):
                    continue
                for line in file["lines"]:
                    place = file["file"], line["line_number"]
                    if first:
                        found.setdefault(place, Line()).add(line)
                    elif place in found:
                        found[place].add_other(line)


@functools.lru_cache(maxsize=None)
def lines_of(name):
    return pathlib.Path(name).read_text(encoding="utf-8").split("\n")


def text_of(name, number):
    return lines_of(name)[number - 1].strip()


def read_list(path):
    listed = set()
    for line in open(path, encoding="utf-8"):
        if line.strip() and not line.startswith("#"):
            place, rest = line.split(" | ", 1)
            text, _ = rest.rsplit(" | ", 1)
            listed.add((*place.split(), text.strip()))
    return listed


def ways_to(found, listed):
    """The conditions right above lines of the list that were not run: nobody goes that way."""
    ways = set()
    above = None
    for (name, number), line in sorted(found.items()):
        if line.count == 0 and (name, line.function, text_of(name, number)) in listed:
            if above and above[0] == name and number - above[1] <= 3:
                ways.add(above)
        elif line.branches:
            above = name, number
    return ways


def main():
    listed = read_list(sys.argv[1])
    found = {}
    for objects in sys.argv[2:]:
        count(pathlib.Path(objects), found, objects == sys.argv[2])
    fitting = set()
    excused = ways_to(found, listed)
    lines = run = branches = taken = left_out = 0
    for (name, number), line in sorted(found.items()):
        text = text_of(name, number)
        place = name, line.function, text
        if place in listed:
            fitting.add(place)
            if line.count == 0:
                left_out += 1
                continue
        lines += 1
        run += line.count > 0
        if line.count == 0:
            print(f"not run: {name} {line.function} | {text}  (line {number})")
        elif not NOT_COUNTED.search(text):
            branches += len(line.branches)
            taken += sum(count > 0 for count in line.branches)
            if (name, number) in excused:
                branches -= line.branches.count(0)
            elif not all(line.branches):
                sides = "".join("+" if count > 0 else "-" for count in line.branches)
                print(f"not taken: {name} {line.function} | {text}  (line {number}: {sides})")
    for name, function, text in listed - fitting:
        print(f"in the list, and not in the code: {name} {function} | {text}")
    print(f"lines {run} of {lines} {100 * run / lines:.2f}, listed {left_out}, "
          f"branches {taken} of {branches} {100 * taken / branches:.2f}")
    return 1 if listed - fitting else 0


sys.exit(main())
