#!/usr/bin/env python3
"""plot.py: draws docs/performance/*.svg from docs/performance/packet_rate.csv, as benches/packet_rate/measure.sh made it,
and prints what goes into docs/performance.md: the plots, and the figures as a table.

Needs nothing but Python. A line goes past a row that was not measured; a plot without any is not drawn.
"""
import csv
import html
import math
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "docs" / "performance"
WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 110, 40, 50
# told apart also by who does not see red and green
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#aa4499"]
FLOOR_DASH = "5 4"


def rows(path):
    with open(path, newline="") as file:
        return [
            {**row, "ns": float(row["ns"]), **{k: int(row[k]) for k in ("flows", "destinations", "burst")}}
            for row in csv.DictReader(file)
        ]


def line(rows, x, **wanted):
    """The (x, ns) of the rows that are as wanted; of a row measured twice the last one."""
    points = {row[x]: row["ns"] for row in rows if all(row[key] == value for key, value in wanted.items())}
    return sorted(points.items())


def lines_of(rows, x, key, values, name="{}", **wanted):
    """Two lines for each value: Pollux, and dashed the floor in the same run."""
    for colour, value in zip(COLOURS, values):
        for program, dash in (("pollux", None), ("limit", FLOOR_DASH)):
            points = line(rows, x, program=program, **{key: value}, **wanted)
            if points:
                yield {"name": name.format(value), "colour": colour, "dash": dash, "points": points}


def in_words(number):
    return f"{number // 1_000_000} M" if number >= 1_000_000 else f"{number:,}".replace(",", "\u202f")


def step(top):
    """Between two lines of the grid: 1, 2 or 5 times a power of ten, about six of them."""
    rough = top / 6
    power = 10 ** math.floor(math.log10(rough))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= rough)


class Plot:
    def __init__(self, title, x_title, lines):
        self.lines = lines
        self.xs = sorted({x for line in lines for x, _ in line["points"]})
        every = step(max(ns for line in lines for _, ns in line["points"]))
        top = math.ceil(max(ns for line in lines for _, ns in line["points"]) / every)
        self.grid = [every * n for n in range(top + 1)]
        self.out = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        ]
        self.text(WIDTH / 2, 20, title, size=14)
        self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_title)
        self.axes()
        for line in lines:
            self.line(line)
        self.names()
        self.out.append("</svg>")

    def x(self, value):
        low, high = (math.log(n) for n in (self.xs[0], self.xs[-1]))
        return LEFT + (WIDTH - LEFT - RIGHT) * ((math.log(value) - low) / (high - low) if high > low else 0.5)

    def y(self, ns):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ns / self.grid[-1]

    def text(self, x, y, text, anchor="middle", size=12, colour="#222222"):
        self.out.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{html.escape(text)}</text>'
        )

    def axes(self):
        for ns in self.grid:
            y = self.y(ns)
            self.out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
            self.text(LEFT - 8, y + 4, f"{ns:g}", anchor="end")
        self.text(LEFT - 8, TOP - 12, "ns", anchor="end")
        for x in self.xs:
            self.text(self.x(x), HEIGHT - BOTTOM + 18, in_words(x))

    def line(self, line):
        points = [(self.x(x), self.y(ns)) for x, ns in line["points"]]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        dash = f' stroke-dasharray="{line["dash"]}"' if line["dash"] else ""
        self.out.append(f'<path d="{path}" fill="none" stroke="{line["colour"]}" stroke-width="2"{dash}/>')
        if not line["dash"]:
            for (x, y), (_, ns) in zip(points, line["points"]):
                self.out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line["colour"]}"><title>{ns:g} ns</title></circle>')

    def names(self):
        """Beside the ends of the lines, moved apart where they would lie over each other."""
        below = -math.inf
        for line in sorted(self.lines, key=lambda line: -line["points"][-1][1]):
            y = max(self.y(line["points"][-1][1]) + 4, below + 13)
            below = y
            name = f'{line["name"]}, floor' if line["dash"] else line["name"]
            self.text(WIDTH - RIGHT + 8, y, name, anchor="start", colour=line["colour"])


def table_of(rows):
    """Markdown, in the order of the file: how things are by number of connections, destinations, packets a burst."""
    yield "| mode | connections | destinations | scheduler | burst | floor, ns | Pollux, ns | ratio |"
    yield "|---|---|---|---|---|---|---|---|"
    floor = {}
    for row in rows:
        what = tuple(row[key] for key in ("mode", "flows", "destinations", "scheduler", "burst"))
        if row["program"] == "limit":
            floor[what] = row["ns"]
        else:
            mode, flows, destinations, scheduler, burst = what
            connections = in_words(flows) if flows else "come and go"
            cells = (mode, connections, in_words(destinations), scheduler, burst, floor.get(what, "-"), row["ns"], row["ratio"])
            yield "| " + " | ".join(map(str, cells)) + " |"


def main():
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    table = FOLDER / "packet_rate.csv"
    if not table.exists():
        sys.exit(f"{table} is not there: benches/packet_rate/measure.sh PATH_TO_POLLUX makes it")
    all_rows = rows(table)
    usual = {"burst": 64, "destinations": 4, "scheduler": "wlc"}
    plots = {
        "flows": ("Nanoseconds a packet of an established connection", "connections, hit in random order",
                  lines_of(all_rows, "flows", "mode", ["dr", "tun", "nat"], **usual)),
        "destinations": ("Nanoseconds a new connection, another one ending for each", "destinations of the service",
                         lines_of(all_rows, "destinations", "scheduler", ["wlc", "wrr", "rr", "sh"], mode="new")),
        "bursts": ("Nanoseconds a packet, by packets received at a time (dr)", "packets a burst",
                   lines_of(all_rows, "burst", "flows", [4096, 1_000_000], "{} flows",
                            mode="dr", destinations=4, scheduler="wlc")),
    }
    for name, (title, x_title, lines) in plots.items():
        lines = list(lines)
        if not lines:
            print(f"{name}: nothing measured", file=sys.stderr)
            continue
        path = FOLDER / f"{name}.svg"
        path.write_text("\n".join(Plot(title, x_title, lines).out) + "\n")
        print(f"![{title}](performance/{path.name})\n")
    print("\n".join(table_of(all_rows)))


if __name__ == "__main__":
    main()
