"""What a run has found: every value as CSV, ratios to testpmd in Markdown, and a picture of the throughput."""

import collections
import contextlib
import csv
import statistics

COLUMNS = ("round", "program", "measurement", "mappings", "frame_bytes", "directions", "value", "unit")
PPS, MAPPINGS = "packets a second", "mappings a second"


WAYS = ("upstream", "downstream")
# What a line of some measurements is of: the window, the company.
LABELS = {"reads": "beside", "expiry": "window", "abuse": "abuse"}


def lost_of(line):
    return sum(line.get(way, {}).get("lost", 0) for way in WAYS)


def values_of(line):
    """(measurement, value, unit) of one line of the generator's."""
    name = line["measurement"]
    label = f"{name}, {line[LABELS[name]]}: " if name in LABELS else ""
    if name in ("saturated", "frame-loss"):
        yield name if name == "saturated" else f"frame-loss at {line['share']:.0%}", line["pps"], PPS
    if name == "zero-loss":
        yield name, line["pps"], PPS
    if name == "frame-loss":
        sent = sum(line.get(way, {}).get("sent", 0) for way in WAYS)
        yield f"loss at {line['share']:.0%}", lost_of(line) / sent if sent else 0, "share lost"
    if name in ("open", "tear-down"):
        yield name, line["mappings_per_s"], MAPPINGS
    if name == "new-rate":
        yield f"new-rate, {line['loss']:.1%} lost" if line["loss"] else "new-rate, none lost", line["mappings_per_s"], MAPPINGS
    if name == "back-to-back":
        yield name, line["frames"], "frames"
    if name == "recovery":
        yield name, line["recovery_s"] * 1000, "ms"
    if label:
        yield f"{label}lost", lost_of(line), "frames"
    if name == "reads" and line["listings"] + line["rows_per_s"] > 0:
        yield f"{label}rows", line["rows_per_s"], "rows a second"
    if name == "reads":
        yield f"{label}CPU", line["cpu_share"], "of one CPU"
    for way in WAYS:
        for key, value in line.get(way, {}).get("latency_us", {}).items():
            if key == "over_100":
                yield f"{label}latency {way} above 100 us", value, "frames"
            elif key != "frames":
                yield f"{label}latency {way} {key}", value, "us"
        for key, value in line.get(way, {}).get("ipdv_us", {}).items():
            if not label:
                yield f"ipdv {way} {key}", value, "us"
    if name == "pcp":
        asked = line["pcp"]
        rate = f"pcp at {asked['asks_per_s']:,.0f}/s, {line['load']:.0%} load" + (", flood" if line["flood_per_s"] else "")
        if line["flood_per_s"]:
            yield f"{rate}: flood sent", line["flooded"] / line["seconds"], "requests a second"
        yield f"{rate}: unanswered", asked["asked"] - asked["answered"], "requests"
        yield f"{rate}: refused", asked["refused"], "requests"
        yield f"{rate}: frames lost", lost_of(line), "frames"
        for key, value in asked["latency_us"].items():
            if key != "frames" and asked["answered"]:
                yield f"{rate}: answered {key}", value, "us"
    if name == "sync":
        for key, value in line["latency_us"].items():
            yield f"fdatasync {line['when']} {key}", value, "us"
    if name == "mix":
        yield f"established lost with {line['fresh_share']:.1%} new", lost_of(line), "frames"
        fresh = line.get("fresh", {"sent": 0, "received": 0})
        yield f"new lost with {line['fresh_share']:.1%} new", fresh["sent"] - fresh["received"], "frames"


def percentile(values, percent):
    """Between the two values it lies between, as RFC 8219 §12 wants of repetitions."""
    ordered = sorted(values)
    at = (len(ordered) - 1) * percent / 100
    low = int(at)
    return ordered[low] + (ordered[min(low + 1, len(ordered) - 1)] - ordered[low]) * (at - low)


def in_order(groups):
    """By frame size as a number, the mix last."""
    def place(item):
        return tuple((1, 0, cell) if cell == "imix" else (0, cell, "") if isinstance(cell, (int, float)) else (0, 0, cell)
                     for cell in item[0])
    return sorted(groups.items(), key=place)


class Results:
    def __init__(self):
        self.rows = []

    def add(self, round_number, line):
        for measurement, value, unit in values_of(line):
            self.rows.append((round_number, line["program"], measurement, line["mappings"], line["frame_bytes"],
                              line["directions"], value, unit))

    def write_csv(self, path):
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(self.rows)

    def grouped(self):
        """(measurement, unit, frame_bytes, directions, mappings, program) -> the values of the rounds."""
        groups = collections.defaultdict(list)
        for _, program, measurement, mappings, size, way, value, unit in self.rows:
            groups[measurement, unit, size, way, mappings, program].append(value)
        return groups

    def ratios(self):
        """As grouped(), to testpmd's value of the same round, for packets a second only."""
        base = {(row[0], *row[2:6]): row[6] for row in self.rows if row[1] == "testpmd" and row[7] == PPS}
        groups = collections.defaultdict(list)
        for number, program, measurement, mappings, size, way, value, unit in self.rows:
            reference = base.get((number, measurement, mappings, size, way))
            if unit == PPS and reference:
                groups[measurement, size, way, mappings, program].append(value / reference)
        return groups

    def ratio_of_bests(self, measurement, size, way, mappings, program):
        """The best round's value to testpmd's best. Neighbours of a virtual machine only take away, and not from both
        programs of a round alike, so with some rounds this is nearer to what the programs can do than a median."""
        groups = self.grouped()
        best, base = (max(groups[measurement, PPS, size, way, mappings, each]) for each in (program, "testpmd"))
        return best / base

    def markdown(self, facts, commands):
        yield from ["# Results", "", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items()), ""]
        yield from ["Medians of the rounds; in brackets the 1st and the 99th percentile of them, in proportion between two",
                    "rounds, and the lowest and the highest. Best: the best round's value to the best",
                    "of testpmd's, which says more where other tenants of the machine take from some rounds.", ""]
        yield from ["## Packets a second, as a ratio to testpmd of the same round", "",
                    "| measurement | frame bytes | directions | mappings | program | ratio | best |",
                    "|---|---|---|---|---|---|---|"]
        for (measurement, size, way, mappings, program), values in in_order(self.ratios()):
            if program != "testpmd":
                yield f"| {measurement} | {size} | {way} | {mappings:,} | {program} | {spread(values, '{:.3f}')} | " \
                      f"{self.ratio_of_bests(measurement, size, way, mappings, program):.3f} |"
        yield from ["", "## All values", "", "| measurement | frame bytes | directions | mappings | program | value | unit |",
                    "|---|---|---|---|---|---|---|"]
        for (measurement, unit, size, way, mappings, program), values in in_order(self.grouped()):
            yield f"| {measurement} | {size} | {way} | {mappings:,} | {program} | {spread(values, '{:,.6g}')} | {unit} |"
        yield from self.degradation()
        yield from ["", "## Commands", ""]
        for program, lines in commands.items():
            yield from [f"{program}:", "", *(f"    {line}" for line in lines), ""]

    def degradation(self):
        """How throughput falls as subscribers and their mappings become more (RFC 8219 §10.1.2: Xpd)."""
        curves = collections.defaultdict(dict)
        for (measurement, _, size, way, mappings, program), values in self.grouped().items():
            if measurement == "saturated" and way == "both":
                curves[program, size][mappings] = statistics.median(values)
        rows = []
        for (program, size), curve in in_order(curves):
            first = curve.pop(min(curve))
            rows += [(program, size, mappings, (first - curve[mappings]) / first * 100) for mappings in sorted(curve)]
        if rows:
            yield from ["", "## Throughput lost against the fewest mappings and subscribers, percent (RFC 8219 §10.1.2)", "",
                        "| program | frame bytes | mappings | lost |", "|---|---|---|---|"]
            yield from ("| {} | {} | {:,} | {:.1f} |".format(*row) for row in rows)

    def draw(self, path):
        """Saturated throughput against mappings, the best round of each program with a bar down to its median; False if
        there is no matplotlib."""
        with contextlib.suppress(ImportError):
            import matplotlib
            matplotlib.use("svg")
            from matplotlib import pyplot
            lines = collections.defaultdict(list)
            for (measurement, _, size, way, mappings, program), values in in_order(self.grouped()):
                if measurement == "saturated" and way == "both":
                    lines[size, program].append((mappings, max(values) / 1e6, statistics.median(values) / 1e6))
            sizes = sorted({size for size, _ in lines}, key=lambda size: (size == "imix", size if size != "imix" else 0))
            if not sizes:
                return True
            figure, axes = pyplot.subplots(1, len(sizes), figsize=(6 * len(sizes), 4), squeeze=False)
            for axis, size in zip(axes[0], sizes):
                for (of_size, program), points in lines.items():
                    if of_size == size:
                        at, best, median = zip(*points)
                        down = [high - low for high, low in zip(best, median)]
                        axis.errorbar(at, best, yerr=(down, [0] * len(down)), marker="o", capsize=3, label=program)
                axis.set(xscale="log", xlabel="mappings", ylabel="million packets a second, both directions",
                         title=f"{size}-byte frames: best round, bar to the median")
                axis.set_ylim(bottom=0)
                axis.legend()
                axis.grid(True, alpha=0.3)
            figure.tight_layout()
            figure.savefig(path)
            return True
        return False


def spread(values, form):
    median = form.format(statistics.median(values))
    if len(values) == 1:
        return median
    low, high = (form.format(percentile(values, percent)) for percent in (1, 99))
    return f"{median} ({low}–{high}; {form.format(min(values))}–{form.format(max(values))})"
