#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Put what full checks said into the documentation:  document.py RESULTS DOCS NAME...

Of each check NAME the lines in RESULTS/NAME.tsv, and the seconds that it took in RESULTS/NAME.time,
take the place of what DOCS/reliability.tsv had of it.  A full run takes hours, so it may come in
parts.  From that file the table in DOCS/reliability.md is made, between the lines "<!-- table -->"
and "<!-- end of table -->"."""

import csv
import os
import re
import sys
import time

FIELDS = ["check", "id", "reached", "asked", "about", "verdict", "seconds", "date"]
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"


def read_lines(path):
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file, FIELDS, delimiter="\t", quoting=csv.QUOTE_NONE))


def lines_of(results, name):
    """What the check NAME said."""
    with open(f"{results}/{name}.time") as file:
        seconds = int(file.read())
    with open(f"{results}/{name}.tsv") as file:
        for line in file:
            said = dict(zip(FIELDS[1:6], line.rstrip("\n").split("\t")))
            yield {**said, "check": name, "seconds": str(seconds),
                   "date": time.strftime("%Y-%m-%d", time.gmtime())}


def order(line):
    """R2 comes before R10, R8c before R8d."""
    number = re.match(r"R(\d+)(\w*)", line["id"])
    return (int(number[1]), number[2]) if number else (0, line["id"])


def shown(text):
    """TEXT in a cell; long numbers with commas."""
    text = re.sub(r"(?<![\w.,])\d{5,}(?![\w.])", lambda found: f"{int(found[0]):,}", text)
    return text.replace("|", "\\|")


def table(lines):
    rows = ["| | what | reached | asked for | |", "|---|---|---|---|---|"]
    for line in lines:
        rows.append(f"| {line['id']} | {shown(line['about'])} | {shown(line['reached'])} "
                    f"| {shown(line['asked'])} | {line['verdict']} |")
    seconds = {line["check"]: int(line["seconds"]) for line in lines}
    took = ", ".join(f"{name} {max(1, round(time / 60))}" for name, time in sorted(seconds.items()))
    dates = sorted({line["date"] for line in lines})
    failed = sum(line["verdict"] != "ok" for line in lines)
    return "\n".join(rows) + (
        f"\n\n{len(lines)} lines, {failed} failed; {' to '.join(sorted({dates[0], dates[-1]}))}. "
        f"Minutes that each check took: {took}.\n")


def main():
    results, docs, *names = sys.argv[1:]
    stored = f"{docs}/reliability.tsv"
    lines = [line for line in read_lines(stored) if line["check"] not in names]
    for name in names:
        lines += lines_of(results, name)
    lines.sort(key=order)
    with open(stored, "w", newline="") as file:
        csv.DictWriter(file, FIELDS, delimiter="\t", quoting=csv.QUOTE_NONE,
                       lineterminator="\n", quotechar=None).writerows(lines)
    page = f"{docs}/reliability.md"
    with open(page) as file:
        text = file.read()
    before, rest = text.split(BEGIN)
    with open(page, "w") as file:
        file.write(before + BEGIN + "\n" + table(lines) + "\n" + END + rest.split(END)[1])


main()
