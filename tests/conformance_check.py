#!/usr/bin/python3
"""Holds docs/conformance.md to what it says: every test it names exists, every row is there once, none was lost.

It reads the document and ctest's list of tests, keeps no state and changes nothing. What a test asserts it cannot know.
"""

import argparse
import ast
import collections
import pathlib
import re
import subprocess
import sys

ROW_ID = re.compile(r"[A-Z][A-Z0-9]{2}-[0-9]{3}")
AREA = re.compile(r"## ([0-9]+)\. ")
COUNTED = re.compile(r"\| ([0-9]+|all)\b[^|]*" + r"\| ([0-9]+) " * 4 + r"\|")
STATES = ("done", "in part", "open")


def tests_of(source):
    """The names that ctest prints, from its output in a file or from a build directory."""
    if source.is_dir():
        ctest = ["ctest", "--test-dir", source, "-N"]
        listing = subprocess.run(ctest, capture_output=True, text=True, check=True).stdout
    else:
        listing = source.read_text()
    names = set(re.findall(r"^\s*Test\s+#[0-9]+: (.*?)(?:\s+# .*)?$", listing, re.MULTILINE))
    if not names:
        sys.exit(f"{source}: lists no tests; give a build directory or the output of ctest -N")
    return names


def methods_of(script):
    tree = ast.parse(script.read_text(), str(script))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


class Check:
    def __init__(self, document, tests):
        self.document, self.tests = document, tests
        self.errors, self.at, self.area = [], 0, ""
        self.first_seen, self.counted = {}, {}
        self.states = collections.defaultdict(collections.Counter)  # of each area
        self.named = set()

    def error(self, text):
        self.errors.append(f"{self.document}:{self.at}: {text}")

    def take(self, row, state):
        if not ROW_ID.fullmatch(row):
            return self.error(f'"{row}" is no row id; one is three capitals or digits, a dash and three digits')
        if row in self.first_seen:
            return self.error(f"{row} is there twice, first on line {self.first_seen[row]}")
        self.first_seen[row] = self.at
        for area in (self.area, "all"):
            self.states[area][state] += 1

    def take_test(self, name):
        self.named.add(name)
        if name.startswith("tests/netns/"):
            return self.take_step(name)
        found = any(t.startswith(name[:-1]) for t in self.tests) if name.endswith("/*") else name in self.tests
        if not found:
            self.error(f"no test is named {name}; see ctest -N")

    def take_step(self, name):
        path, _, method = name.partition(":")
        script = self.document.resolve().parent.parent / path
        if not script.is_file():
            self.error(f"{path} does not exist")
        elif method not in methods_of(script):
            self.error(f'{path} has no method "{method}"')
        elif not any(test.startswith(f"netns.{script.stem}.") for test in self.tests):
            self.error(f"{path} is run by no test; see tests/netns/CMakeLists.txt and ctest -N")

    def read_line(self, line):
        if match := AREA.match(line):
            self.area = match[1]
        elif match := COUNTED.match(line):
            self.counted[match[1]] = (self.at, [int(number) for number in match.groups()[1:]])
        elif not self.area:
            return
        elif line.startswith("| ") and not line.startswith("| row "):
            self.read_row(line)
        elif line.startswith("- ") and ": " in line:
            for row in line.rpartition(": ")[2].split(", "):
                self.take(row, "open")

    def read_row(self, line):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) != 4:
            return self.error("a row has four cells: row, RFC, what, proved by")
        row, _, what, proof = cells
        self.take(row, "in part" if what.startswith("in part: ") else "done")
        names = re.findall(r"`([^`]+)`", proof)
        if not names:
            self.error(f"{row} is proved by no test; without one it is not done")
        for name in names:
            self.take_test(name)

    def compare_counts(self):
        for area in sorted(self.states.keys() | self.counted.keys()):
            states = [self.states[area][state] for state in STATES]
            self.at, written = self.counted.get(area, (1, None))
            if written != [sum(states), *states]:
                self.error(f"area {area} has {sum(states)} rows: {', '.join(map(str, states))} {'/'.join(STATES)}; "
                           f"the table at the top says {written or 'nothing'}")

    def run(self):
        for self.at, line in enumerate(self.document.read_text().splitlines(), 1):
            self.read_line(line)
        self.compare_counts()


def main():
    parser = argparse.ArgumentParser(description="Checks that docs/conformance.md names tests that exist.")
    parser.add_argument("document", type=pathlib.Path, help="docs/conformance.md")
    parser.add_argument("tests", type=pathlib.Path, help="a build directory, or a file with the output of ctest -N")
    arguments = parser.parse_args()
    try:
        check = Check(arguments.document, tests_of(arguments.tests))
        check.run()
    except (OSError, subprocess.CalledProcessError) as problem:
        sys.exit(f"conformance_check.py: {problem}")
    print(*check.errors, sep="\n", end="\n" if check.errors else "", file=sys.stderr)
    states = ", ".join(f"{check.states['all'][state]} {state}" for state in STATES)
    print(f"{len(check.first_seen)} rows: {states}; {len(check.named)} tests named of {len(check.tests)}; "
          f"{len(check.errors)} errors")
    return 1 if check.errors else 0


if __name__ == "__main__":
    sys.exit(main())
