# SPDX-License-Identifier: MIT
"""Put the figures and plots of a run into the documentation:  document.py BUILD_DIR DOCS_DIR

The plots go to DOCS_DIR/plots, and bench.tsv, for bench/compare; in DOCS_DIR/performance.md what
stands between the lines "<!-- figures -->" and "<!-- end of figures -->" is replaced by the tables,
and what stands between those of "scale" by the points of the scale's curves.  From BUILD_DIR/real
(make bench-real) the table alone, to those of "real"."""

import csv
import glob
import os
import shutil
import sys


def replaced(text, name, content):
    """TEXT with CONTENT between the marks of NAME."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return before + begin + content + end + after


def latency(path):
    """W1-latency at some percentiles, as a table of Markdown; the best median first."""
    with open(path, newline="") as file:
        lines = [line for line in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                 if line["key"] == "W1-latency"]
    lines.sort(key=lambda line: float(line["q50"]))
    columns = ("q50", "q90", "q99", "q100")
    rows = ["| W1, each call timed, ns | " + " | ".join(columns).replace("q", "") + " |",
            "|---|" + "---:|" * len(columns)]
    for line in lines:
        figures = " | ".join(f"{float(line[column]):,.0f}" for column in columns)
        rows.append(f"| {line['side'].replace('_', ' ')} | {figures} |")
    return "\n".join(rows) + "\n"


def main():
    build, docs = sys.argv[1:]
    page = f"{docs}/performance.md"
    with open(page) as file:
        text = file.read()
    with open(f"{build}/table.txt") as file:
        table = file.read()
    if build.endswith("/real"):
        text = replaced(text, "real", f"\n```text\n{table.rstrip()}\n```\n\n")
        with open(page, "w") as file:
            file.write(text)
        return
    text = replaced(text, "figures",
                    f"\n```text\n{table.rstrip()}\n```\n\n{latency(f'{build}/records.tsv')}\n")
    if os.path.exists(f"{build}/scale.txt"):
        with open(f"{build}/scale.txt") as file:
            text = replaced(text, "scale", f"\n```text\n{file.read().rstrip()}\n```\n\n")
    with open(page, "w") as file:
        file.write(text)
    os.makedirs(f"{docs}/plots", exist_ok=True)
    for plot in glob.glob(f"{build}/plots/*.svg"):
        shutil.copy(plot, f"{docs}/plots")
    shutil.copy(f"{build}/bench.tsv", f"{docs}/plots")


main()
