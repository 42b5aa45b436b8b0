"""Tables from the records of a run: medians, spread, ratios. Written as JSON and Markdown.

usage: python3 report.py RESULTS DOCUMENT: puts the tables of the last runs between the marks of a document
"""

import json
import os
import statistics
import sys

OURS, RIVAL = "ours", "rmcp stateless"


def median(values):
    return statistics.median(values) if values else None


def spread(values, digits=0):
    """The median, the minimum and the maximum."""
    if not values:
        return "—"
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))
    return middle if low == high else f"{middle} ({low}–{high})"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


class Records:
    def __init__(self, records):
        self.records = records

    def values(self, field, **wanted):
        return [
            record[field] for record in self.records
            if field in record and all(record.get(name) == value for name, value in wanted.items())
        ]

    def median(self, field, **wanted):
        return median(self.values(field, **wanted))

    def names(self, field, **wanted):
        """The different values of a field, in the order of their appearance."""
        return list(dict.fromkeys(self.values(field, **wanted)))

    def ratio(self, field, of, to, **wanted):
        """Median over the rounds of the ratio of two figures in the same round."""
        pairs = zip(self.values(field, server=of, **wanted), self.values(field, server=to, **wanted))
        return median([one / other for one, other in pairs if other])


def ratio(value):
    return "—" if value is None else f"{value:.2f}"


def calls(records):
    rows = []
    for era in records.names("era", section="calls"):
        for connections in sorted(records.names("connections", section="calls", era=era)):
            for server in records.names("server", section="calls", era=era, connections=connections):
                here = {"section": "calls", "era": era, "connections": connections}
                at = here | {"server": server}
                rows.append([
                    era, str(connections), server,
                    spread(records.values("per_second", **at)),
                    spread(records.values("p50_ms", **at), 2), spread(records.values("p99_ms", **at), 2),
                    spread(records.values("cpu_per_10k", **at), 3),
                    ratio(records.ratio("per_second", server, RIVAL, **here)),
                    ratio(records.ratio("cpu_per_10k", server, RIVAL, **here)),
                ])
    head = ["era", "connections", "server", "calls/s", "p50 ms", "p99 ms", "CPU s per 10,000", "speed : rmcp", "CPU : rmcp"]
    return "### tools/call\n\n" + table(head, rows) if rows else ""


def refusals(records):
    rows = []
    for section in ("401s", "metadata"):
        for server in records.names("server", section=section):
            at = {"section": section, "server": server}
            rows.append([
                section, server, spread(records.values("per_second", **at)), spread(records.values("p99_ms", **at), 2),
                spread(records.values("cpu_per_10k", **at), 3),
                ratio(records.ratio("per_second", server, RIVAL, section=section)),
            ])
    head = ["what", "server", "answers/s", "p99 ms", "CPU s per 10,000", "speed : rmcp"]
    return "### 401s and metadata, 16 connections\n\n" + table(head, rows) if rows else ""


def footprint(records):
    rows = []
    for server in records.names("server"):
        at = {"server": server}
        cold = [millis for each in records.values("millis", section="cold", **at) for millis in each]
        held = {era: records.values("kib_each", section="streams", era=era, **at) for era in ("modern", "legacy")}
        left = {era: records.values("kib_left", section="streams", era=era, **at) for era in ("modern", "legacy")}
        used = records.values("calls", section="used", **at)
        row = [
            spread(cold, 1), spread(records.values("rss_mib", section="idle", **at), 1),
            spread(records.values("rss_mib", section="used", **at), 1) + (f" ({used[0]:,} calls)" if used else ""),
            spread(held["modern"], 1), spread(left["modern"], 1), spread(held["legacy"], 1), spread(left["legacy"], 1),
        ]
        if any(cell != "—" for cell in row):
            rows.append([server, *row])
    head = [
        "server", "first answer, ms", "RSS idle, MiB", "RSS after calls, MiB", "KiB a stream, modern", "left when closed",
        "KiB a stream, legacy", "left when closed",
    ]
    return "### Cold start and memory\n\n" + table(head, rows) if rows else ""


def size(records):
    rows = [
        [what, spread(records.values(field, section="size"), digits)]
        for what, field, digits in (
            ("binary, MiB", "dynamic_mib", 2), ("static binary, MiB", "static_mib", 2), ("crates linked", "crates", 0),
        )
        if records.values(field, section="size")
    ]
    return "### Size\n\n" + table(["what", "figure"], rows) if rows else ""


def growth(records):
    rows = []
    for what in records.names("what", section="grown"):
        for count in records.names("size", section="grown", what=what):
            at = {"what": what, "size": count}
            rows.append([
                what, f"{count:,}", spread(records.values("cpu_per_10k", section="grown", **at), 3),
                spread(records.values("per_second", section="grown", **at)),
                spread(records.values("p99_ms", section="grown", **at), 2),
                spread(records.values("rss_mib", section="rest", **at), 1),
                spread(records.values("idle_cpu_ms", section="rest", **at), 1),
                spread(records.values("open_cpu_us", section="rest", **at)),
            ])
    head = [
        "what", "how many", "CPU s per 10,000 calls", "calls/s", "p99 ms", "RSS at rest, MiB", "CPU at rest, ms a second",
        "CPU to open one, µs",
    ]
    return "### Growth\n\n" + table(head, rows) if rows else ""


# ---- targets ----

AT_LEAST, AT_MOST = ">=", "<="


def targets(records):
    """A target: description, direction, limit, and the measured value."""
    calls = {"section": "calls"}
    for era in ("modern", "legacy"):
        for connections in (16, 64):
            at = calls | {"era": era, "connections": connections}
            where = f"{era}, {connections} connections"
            yield f"calls/s : rmcp, {where}", AT_LEAST, 1.5, records.ratio("per_second", OURS, RIVAL, **at)
            yield f"CPU : rmcp, {where}", AT_MOST, 0.6, records.ratio("cpu_per_10k", OURS, RIVAL, **at)
            yield f"p99 : rmcp, {where}", AT_MOST, 1, records.ratio("p99_ms", OURS, RIVAL, **at)
            other = "TypeScript SDK 2" if era == "modern" else "TypeScript SDK 1"
            mine, theirs = records.median("per_second", server=OURS, **at), records.median("per_second", server=other, **at)
            yield f"calls/s : {other}, {where}", AT_LEAST, 15, mine / theirs if mine and theirs else None
            if era == "modern":
                floor = records.ratio("per_second", OURS, "edge alone", **at)
                yield f"calls/s : the edge answering a constant, {where}", AT_LEAST, 0.7, floor
        at = calls | {"era": era, "connections": 256}
        yield f"calls/s : rmcp, {era}, 256 connections", AT_LEAST, 1, records.ratio("per_second", OURS, RIVAL, **at)
    yield "401s/s : rmcp", AT_LEAST, 0.8, records.ratio("per_second", OURS, RIVAL, section="401s")
    yield "metadata/s : rmcp", AT_LEAST, 0.8, records.ratio("per_second", OURS, RIVAL, section="metadata")
    ours = {"server": OURS}
    yield "RSS idle, MiB", AT_MOST, 6, records.median("rss_mib", section="idle", **ours)
    yield "RSS idle of the static binary, MiB", AT_MOST, 6, records.median("rss_mib", section="idle", server="ours, static")
    yield "RSS after 100,000 calls, MiB", AT_MOST, 12, records.median("rss_mib", section="used", **ours)
    for era in ("modern", "legacy"):
        at = {"section": "streams", "era": era} | ours
        yield f"KiB a held stream, {era}", AT_MOST, 30, records.median("kib_each", **at)
        each, left = records.median("kib_each", **at), records.median("kib_left", **at)
        yield f"part of it kept after close, {era}", AT_MOST, 0.1, left / each if each and left is not None else None
    cold = [millis for each in records.values("millis", section="cold", **ours) for millis in each]
    yield "cold start, ms", AT_MOST, 5, median(cold)
    yield "static binary, MiB", AT_MOST, 4.5, records.median("static_mib", section="size")
    yield "crates linked", AT_MOST, 50, records.median("crates", section="size")
    for what in records.names("what", section="growth"):
        yield f"growth of the CPU per call: {what}", AT_MOST, 1.3, records.median("growth", section="growth", what=what)


def reach(records):
    rows = []
    for words, way, target, measured in targets(records):
        if measured is not None:
            reached = measured >= target if way == AT_LEAST else measured <= target
            rows.append([words, f"{'at least' if way == AT_LEAST else 'at most'} {target:g}", f"{measured:.2f}",
                         "reached" if reached else "**not reached**"])
    return "### Targets\n\n" + table(["what", "target", "measured", ""], rows) if rows else ""


def runs(records):
    lines = [
        f"{each['what']}, {each['date']}, at {each['commit']}: {each['cores']} cores, Linux {each['kernel']}, "
        f"{each['rounds']} rounds of {each['seconds']:g} s; {each['noise']:.2f} of {each['cores']} cores were busy with something else."
        for each in records.records if each["section"] == "run"
    ]
    return "\n".join(f"{line}  " for line in lines) + "\n" if lines else ""


def markdown(records):
    parts = [
        runs(records), calls(records), refusals(records), footprint(records), size(records), growth(records), reach(records),
    ]
    return "\n".join(part for part in parts if part)


def write(records, folder, name):
    """The records as JSON, the tables as Markdown and on standard output."""
    text = markdown(Records(records))
    with open(os.path.join(folder, f"{name}.json"), "w") as file:
        json.dump(records, file, indent=1)
    with open(os.path.join(folder, f"{name}.md"), "w") as file:
        file.write(text)
    print(text)


END = "<!-- end of what was measured -->\n"


def fill(text, word, content):
    """The text with this between the markers of `make WORD`."""
    start = f"<!-- what was measured, by `make {word}` -->\n"
    before, rest = text.split(start)
    return before + start + "\n" + content + "\n" + END + rest.split(END, 1)[1]


def document(folder, path):
    """Updates the document with the latest measurement."""
    with open(path) as file:
        text = file.read()
    records = []
    for name in ("results", "growth"):
        if os.path.exists(os.path.join(folder, f"{name}.json")):
            with open(os.path.join(folder, f"{name}.json")) as file:
                records += json.load(file)
    if records:
        text = fill(text, "bench", markdown(Records(records)))
    if os.path.exists(os.path.join(folder, "bridge.md")):
        with open(os.path.join(folder, "bridge.md")) as file:
            text = fill(text, "bridge-cost", file.read())
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    document(*sys.argv[1:3])
