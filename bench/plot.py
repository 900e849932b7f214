# SPDX-License-Identifier: MIT
"""Plots of a run, as SVG, with nothing but Python:  plot.py BUILD_DIR OUT_DIR

bars.svg      every side of every workload           callers.svg   throughput over 1 to 64 callers
latency.svg   the distribution of W1's latency       sleepers.svg  bytes and ms over sleepers
scale.svg     the cost of a task over tasks

A plot whose rows were not measured is not written.  All scales of figures are logarithmic."""

import csv
import math
import os
import sys
from html import escape

COLORS = {"ours": "#c0392b", "by_hand": "#2c3e50", "floor": "#95a5a6"}
PALETTE = ["#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf",
           "#7570b3", "#66a61e", "#e6ab02", "#a6761d", "#1b9e77", "#d95f02"]
NAMES = {"ours": "AnySync", "by_hand": "by hand"}
SKIPPED = ("other",)


def read(path):
    """The lines of a table as dictionaries; none if there is no such file."""
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def number(text):
    return float(text) if text not in ("", "-", None) else None


def show(figure):
    for limit, scale, unit in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if figure >= limit:
            return f"{figure / scale:.3g}{unit}"
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


class Drawing:
    """An SVG with white ground; the origin is the left upper corner."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.parts = [f'<rect width="{width}" height="{height}" fill="#fff"/>']

    def line(self, x1, y1, x2, y2, color="#ddd", width=1):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'stroke="{color}" stroke-width="{width}"/>')

    def text(self, x, y, text, anchor="start", size=11, color="#333", weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" '
                          f'text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>')

    def bar(self, x, y, width, height, color):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
                          f'height="{height:.1f}" fill="{color}"/>')

    def path(self, points, color, width):
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{joined}" fill="none" stroke="{color}" '
                          f'stroke-width="{width}"/>')

    def write(self, path):
        with open(path, "w") as file:
            file.write("<!-- SPDX-License-Identifier: MIT -->\n"
                       f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" '
                       f'height="{self.height}" viewBox="0 0 {self.width} {self.height}" '
                       'font-family="sans-serif">\n' + "\n".join(self.parts) + "\n</svg>\n")


class Log:
    """From figures to places, by their logarithm."""

    def __init__(self, figures, first, last, margin=1.0):
        figures = [figure for figure in figures if figure and figure > 0]
        self.low = math.log10(min(figures) / margin)
        self.high = math.log10(max(figures) * margin)
        if self.high - self.low < 0.3:
            self.low, self.high = self.low - 0.2, self.high + 0.2
        self.first, self.last = first, last

    def __call__(self, figure):
        part = (math.log10(max(figure, 1e-9)) - self.low) / (self.high - self.low)
        return self.first + min(max(part, 0), 1) * (self.last - self.first)

    def ticks(self):
        return [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]


def colors_of(sides):
    peers = sorted(set(sides) - set(COLORS))
    return {**COLORS, **{peer: PALETTE[i % len(PALETTE)] for i, peer in enumerate(peers)}}


def bars(rows, sides, path):
    """A panel for each workload, in three columns; the best side on top."""
    width, columns, left, bar = 380, 3, 100, 13
    panels = []
    for row in rows:
        found = [(number(side["median"]), side) for side in sides
                 if side["key"] == row["key"] and side["side"] not in SKIPPED]
        found = [(figure, side) for figure, side in found if figure and figure > 0]
        if row["key"].startswith("W") and row["key"] != "W1-latency" and found \
                and row["work"].startswith("W"):
            found.sort(key=lambda pair: pair[0], reverse="/s" in row["unit"])
            panels.append((row, found))
    if not panels:
        return
    strips = [panels[i:i + columns] for i in range(0, len(panels), columns)]
    heights = [max(len(found) for _, found in strip) * bar + 45 for strip in strips]
    drawing = Drawing(width * columns, sum(heights) + 30)
    drawing.text(10, 18, "Medians, the best on top; the lengths are logarithmic", size=13)
    top = 30
    for strip, height in zip(strips, heights):
        for column, (row, found) in enumerate(strip):
            panel(drawing, column * width, top, width, left, bar, row, found)
        top += height
    drawing.write(path)


def panel(drawing, x, top, width, left, bar, row, found):
    better = "more is better" if "/s" in row["unit"] else "less is better"
    title = f"{row['work']}: {row['unit']}, {better}"
    drawing.text(x + 10, top + 14, title, size=11, weight="bold")
    scale = Log([figure for figure, _ in found], x + left + 8, x + width - 70)
    colors = colors_of([])
    for i, (figure, side) in enumerate(found):
        y = top + 22 + i * bar
        own = side["side"] in COLORS
        drawing.text(x + left - 4, y + 9, NAMES.get(side["side"], side["side"]), "end", 10,
                     weight="bold" if side["side"] == "ours" else "normal")
        drawing.bar(x + left, y, scale(figure) - x - left, bar - 3,
                    colors[side["side"]] if own else "#7fa8c9")
        drawing.text(scale(figure) + 4, y + 9, show(figure), size=10)


def frame(drawing, box, across, up, ticks, title, labels):
    """The axes of a plot in BOX (left, top, right, bottom)."""
    left, top, right, bottom = box
    drawing.text((left + right) / 2, top - 12, title, "middle", 13)
    for figure in up.ticks():
        drawing.line(left, up(figure), right, up(figure))
        drawing.text(left - 6, up(figure) + 4, show(figure), "end")
    for figure in ticks:
        drawing.line(across(figure), top, across(figure), bottom)
        drawing.text(across(figure), bottom + 16, show(figure), "middle")
    drawing.text((left + right) / 2, bottom + 34, labels[0], "middle")
    drawing.text(left - 6, top - 12, labels[1], "end")
    drawing.line(left, bottom, right, bottom, "#333")
    drawing.line(left, top, left, bottom, "#333")


def curves(drawing, box, lines, across, up, colors):
    """LINES: side to points; the names stand at the right, moved apart."""
    ends = []
    for side, points in lines.items():
        drawing.path([(across(x), up(y)) for x, y in points], colors[side],
                     3 if side == "ours" else 1.5)
        ends.append((up(points[-1][1]), side))
    below = box[1]
    for y, side in sorted(ends):
        below = max(below, y)
        drawing.text(box[2] + 8, below + 4, NAMES.get(side, side), color=colors[side],
                     weight="bold" if side == "ours" else "normal")
        below += 13


def plot(drawing, box, lines, title, labels, across=None, ticks=None):
    xs = sorted({x for points in lines.values() for x, _ in points})
    up = Log([y for points in lines.values() for _, y in points], box[3], box[1], 1.15)
    across = across or Log(xs, box[0], box[2])
    frame(drawing, box, across, up, ticks or xs, title, labels)
    curves(drawing, box, lines, across, up, colors_of(lines))


def latency(records, path):
    lines = {}
    for record in records:
        if record["key"] == "W1-latency" and record["side"] not in SKIPPED:
            lines[record["side"]] = [(i, max(number(record[f"q{i}"]), 1)) for i in range(0, 100)]
    if not lines:
        return
    drawing, box = Drawing(900, 480), (70, 50, 760, 420)
    plot(drawing, box, lines, "W1: latency of one call; both threads where the scheduler puts them",
         ("percent of the calls answered within", "ns"),
         lambda percent: box[0] + percent / 99 * (box[2] - box[0]), [0, 25, 50, 75, 90, 99])
    drawing.write(path)


def points_of(table, prefix, field):
    """Side to (number at the end of the key, figure), for all keys that begin with PREFIX."""
    lines = {}
    for line in table:
        head, _, tail = line["key"].rpartition("-")
        figure = number(line[field])
        if head == prefix and line["side"] not in SKIPPED and figure and figure > 0:
            lines.setdefault(line["side"], []).append((int(tail), figure))
    return {side: sorted(points) for side, points in lines.items()}


def callers(sides, path):
    lines = points_of(sides, "callers", "median")
    if not lines:
        return
    drawing = Drawing(900, 480)
    plot(drawing, (80, 50, 760, 420), lines, "W2: calls a second", ("callers", "1,000/s"))
    drawing.write(path)


def sleepers(sides, records, path):
    times, each = points_of(sides, "sleepers", "median"), points_of(records, "sleepers", "q50")
    if not times or not each:
        return
    drawing = Drawing(1200, 480)
    plot(drawing, (70, 50, 480, 420), each, "W6: resident bytes of a sleeper",
         ("sleepers", "bytes"))
    plot(drawing, (680, 50, 1080, 420), times, "W6: time beyond the second they sleep",
         ("sleepers", "ms"))
    drawing.write(path)


def scale(sides, path):
    names = {"scale-tasks": "tasks in a coroutine", "scale-submit": "tasks from a thread"}
    lines = [points_of(sides, prefix, "median") for prefix in names]
    if not all(lines):
        return
    drawing, left = Drawing(1200, 480), 70
    for points, name in zip(lines, names.values()):
        plot(drawing, (left, 50, left + 410, 420), points, f"{name}: ns of each",
             ("tasks at once", "ns"))
        left += 600
    drawing.write(path)


def main():
    build, out = sys.argv[1:]
    rows, sides, records = (read(f"{build}/{name}.tsv") for name in ("bench", "sides", "records"))
    os.makedirs(out, exist_ok=True)
    bars(rows, sides, f"{out}/bars.svg")
    latency(records, f"{out}/latency.svg")
    callers(sides, f"{out}/callers.svg")
    sleepers(sides, records, f"{out}/sleepers.svg")
    scale(sides, f"{out}/scale.svg")


main()
