#!/usr/bin/python3
"""Writes docs/conformance.md: the rows of tests/conformance.rows, each with the tests that carry its id.

A test carries an id in its name (DSL_024_…, PCP_034_to_PCP_038_…), or in the comment right above it: TEST of a .cc, the
head of a .pkt, a method of tests/netns (its docstring too). The page is a function of the sources, so nobody edits it; what
a test asserts nobody but a reader can know. With --check nothing is written, and a page that differs is an error.
"""

import argparse
import ast
import collections
import pathlib
import re
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs/conformance.md"
ROWS = TESTS / "conformance.rows"
ROW_ID = re.compile(r"\b([A-Z][A-Z0-9]{2})-([0-9]{3})\b")
# DSL_024, DSL_024_to_028 or DSL_024_to_DSL_028.
NAMED_ID = re.compile(r"(?:^|_)([A-Z][A-Z0-9]{2})_([0-9]{3})(?:_to_(?:\1_)?([0-9]{3}))?(?![0-9])")
GOOGLE_TEST = re.compile(r"^TEST(?:_F|_P)?\((\w+), (\w+)\)", re.MULTILINE)
BENCH_MEASUREMENT = re.compile(r'^    \{"([a-z-]+)", \w+, (?:true|false), "([A-Z0-9 -]+)"\}', re.MULTILINE)
STATES = ("done", "in part", "left out")

Row = collections.namedtuple("Row", "id rfc level what state note area")
Test = collections.namedtuple("Test", "name file ids listed")  # listed: a regular expression for ctest's name of it


def ids_in_name(name):
    for area, first, last in NAMED_ID.findall(name):
        for number in range(int(first), int(last or first) + 1):
            yield f"{area}-{number:03}"


def ids_of(name, comment):
    return set(ids_in_name(name)) | {"-".join(parts) for parts in ROW_ID.findall(comment)}


def comment_before(lines, index, mark):
    """The comment lines that end right before lines[index]."""
    start = index
    while start > 0 and lines[start - 1].lstrip().startswith(mark):
        start -= 1
    return "\n".join(lines[start:index])


def google_tests(path):
    text = path.read_text()
    lines = text.splitlines()
    for match in GOOGLE_TEST.finditer(text):
        suite, name = match.groups()
        ids = ids_of(name, comment_before(lines, text.count("\n", 0, match.start()), "//"))
        yield Test(f"{suite}.{name}", path, ids, rf"[./]{suite}\.{name}(/|$)")


def packet_script(path):
    lines = path.read_text().splitlines()
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return Test(path.name, path, ids_of(path.stem.upper(), "\n".join(lines[:end])), rf"Script\.runs/{path.stem}$")


def config_case(path):
    return Test(path.name, path, ids_of(path.stem.upper(), ""), rf"ConfigCase\..*/{path.stem}$")


def netns_steps(path):
    text = path.read_text()
    lines = text.splitlines()
    classes = [node for node in ast.parse(text, str(path)).body if isinstance(node, ast.ClassDef)]
    for node in [member for of_class in classes for member in of_class.body]:
        if isinstance(node, ast.FunctionDef) and (node.name.startswith("test_") or node.decorator_list):
            first = min([node.lineno] + [decorator.lineno for decorator in node.decorator_list]) - 1
            comment = comment_before(lines, first, "#") + "\n" + (ast.get_docstring(node) or "")
            yield Test(f"{path.name}:{node.name}", path, ids_of(node.name, comment), rf"^netns\.{path.stem}\.")


def bench_measurements():
    """What bench/run measures says which rows it answers; no test asserts a speed, so ctest runs none of them."""
    path = TESTS.parent / "bench/generator/measurements.cc"
    for name, rows in BENCH_MEASUREMENT.findall(path.read_text()):
        yield Test(f"bench/run --measure {name}", path, {"-".join(parts) for parts in ROW_ID.findall(rows)}, None)


def tests_of_the_tree():
    for path in sorted(TESTS.rglob("*_test.cc")):
        if path.parent.name != "b4":  # the tests' own B4: it shows nothing of Portolan
            yield from google_tests(path)
    for path in sorted(TESTS.glob("packets/*.pkt")):
        yield packet_script(path)
    for path in sorted(TESTS.glob("config/*.in")):
        yield config_case(path)
    for path in sorted(TESTS.glob("netns/*.py")):
        yield from netns_steps(path)
    yield from bench_measurements()


def read_rows(fail):
    rows, area = {}, ""
    for at, line in enumerate(ROWS.read_text().splitlines(), 1):
        if line.startswith("## "):
            area = line
        if line.startswith("#") or not line:
            continue
        cells = line.split(" | ")
        note = re.fullmatch(r"(in part|left out): (.+)", cells[-1]) if len(cells) == 5 else None
        if not ROW_ID.fullmatch(cells[0]) or (note is None and len(cells) != 4):
            fail(f"{ROWS.name}:{at}: a row is ID | RFC § | LEVEL | WHAT [| in part: … or left out: …]")
        elif cells[0] in rows:
            fail(f"{ROWS.name}:{at}: {cells[0]} is there twice")
        else:
            state, text = note.groups() if note else ("done", "")
            rows[cells[0]] = Row(*cells[:4], state, text, area)
    return rows


def join(rows, tests, fail):
    """The tests of each row; what contradicts itself is told, with the way out."""
    found = collections.defaultdict(list)
    for test in tests:
        for row in sorted(test.ids):
            if row in rows:
                found[row].append(test)
            else:
                fail(f"{test.file.relative_to(TESTS.parent)}: {test.name} carries {row}, which is not in {ROWS.name}")
    for row in rows.values():
        if row.state == "left out" and found[row.id]:
            names = ", ".join(test.name for test in found[row.id])
            fail(f"{row.id} is \"left out: {row.note}\" and has tests: {names}; in {ROWS.name} take the note away, or let "
                 "it say \"in part: \" and what is missing")
        if row.state != "left out" and not found[row.id]:
            fail(f"{row.id} has no test; name one after it, or let {ROWS.name} say \"left out: \" and why")
    return found


def listed_names(build):
    listing = subprocess.run(["ctest", "--test-dir", build, "-N"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^\s*Test\s+#[0-9]+: (.*?)(?:\s+# .*)?$", listing, re.MULTILINE)


def compare_with_ctest(found, build, fail):
    names = listed_names(build)
    if unbuilt := [name for name in names if name.endswith("_NOT_BUILT")]:
        return fail(f"{', '.join(unbuilt)}: build everything first")
    for test in sorted({(test.name, test.listed) for tests in found.values() for test in tests if test.listed}):
        if not any(re.search(test[1], name) for name in names):
            fail(f"{test[0]} is in the sources but ctest does not run it")


def counts_table(rows):
    lines = ["| area | rows | done | in part | left out | MUST: rows | done | in part | left out |",
             "|---|---|---|---|---|---|---|---|---|"]
    areas = list(dict.fromkeys(row.area for row in rows.values()))
    for area in [*areas, None]:
        cells = [area[3:].replace(".", "", 1) if area else "all"]
        for binding in (False, True):
            chosen = [row.state for row in rows.values()
                      if area in (row.area, None) and (not binding or "MUST" in row.level)]
            cells += map(str, [len(chosen), *(chosen.count(state) for state in STATES)])
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def area_tables(area, rows, found):
    mine = [row for row in rows.values() if row.area == area]
    shown, left_out = ([r for r in mine if (r.state == "left out") == out] for out in (False, True))
    yield from ["", area]
    if shown:
        yield from ["", "| row | RFC | level | what | shown by |", "|---|---|---|---|---|"]
    for row in shown:
        what = f"{row.what}. **In part:** {row.note}" if row.note else row.what
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(test.name for test in found[row.id]))
        yield f"| {row.id} | {row.rfc} | {row.level} | {what} | {names} |"
    if left_out:
        yield from ["", "Left out:", "", "| row | RFC | level | what | why |", "|---|---|---|---|---|"]
    for row in left_out:
        yield f"| {row.id} | {row.rfc} | {row.level} | {row.what} | {row.note} |"


def page(rows, found):
    lines = ["""\
<!-- Written by tests/conformance.py from tests/conformance.rows and the tests' names; do not edit. -->
# Conformance

What Portolan does of what the RFCs ask of a DS-Lite AFTR, a NAT, a PCP server and a DDNS server that knows ports, and which
test shows it. A **row** is one behaviour that can be seen from outside. Ids are stable; gaps in the numbers mean nothing.

- `6887 §15` is section 15 of RFC 6887. The level is the source's own word; *text* is said without one, *OP* is advice to
  operators, *DEC* our decision where sources disagree or are silent, *OBS* seen in other people's programs.
- A row with tests is **done**, unless it says what is missing. A row without has its reason in the list of those left out.
- `Suite.name` is a GoogleTest (`ctest -R Suite.name`), `NAME.pkt` a packet script (`ctest -R runs/NAME`, from
  tests/packets), `NAME.in` a configuration (tests/config), `FILE.py:method` a step of an end-to-end test in tests/netns,
  which ctest runs whole (`ctest -R netns.FILE`), and `bench/run --measure NAME` a measurement (bench/README.md): it shows
  how it is measured, and nothing fails for being slow.

What a test proves is what its assertions say: the tests are the authority, not the words here. The page is written from
their names by `tests/conformance.py`, and the test `conformance` fails while it differs.
"""]
    lines += counts_table(rows)
    for area in dict.fromkeys(row.area for row in rows.values()):
        lines += area_tables(area, rows, found)
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Writes docs/conformance.md from the tests' names.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page differs")
    parser.add_argument("--build", type=pathlib.Path, help="a whole build's directory: ctest there must run every test")
    arguments = parser.parse_args()
    errors = []
    rows = read_rows(errors.append)
    found = join(rows, list(tests_of_the_tree()), errors.append)
    if arguments.build:
        compare_with_ctest(found, arguments.build, errors.append)
    text = page(rows, found)
    if not errors and arguments.check and PAGE.read_text() != text:
        errors.append(f"{PAGE.relative_to(TESTS.parent)} is not what the tests' names say; run tests/conformance.py")
    if not errors and not arguments.check:
        PAGE.write_text(text)
    print(*errors, sep="\n", end="\n" if errors else "", file=sys.stderr)
    states = collections.Counter(row.state for row in rows.values())
    print(f"{len(rows)} rows: {', '.join(f'{states[state]} {state}' for state in STATES)}; {len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
