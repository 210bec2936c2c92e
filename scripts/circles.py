#!/usr/bin/env python3
"""Checks which folder of host/src uses which, and that neither folders nor files of it, nor those of the crates beside
it, use each other in a circle.

Read are `use` and the other paths of the code, without tests. A name that a file only hands on, as most `mod.rs` do,
stands for the file that has it.
"""
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

# What each folder, or file, of host/src may use of the others; those of the last line everybody may use.
ALLOWED = {
    "bench": "check plot run",
    "check": "ranks",
    "cli": "bench check data doctor eval experiment objective plot ranks retrieve run scaffold session standard sweep"
    " toolchain train",
    "data": "",
    "doctor": "standard toolchain",
    "eval": "",
    "experiment": "data eval model ranks run",
    "model": "",
    "objective": "experiment run standard toolchain",
    "plot": "",
    "ranks": "",
    "retrieve": "data eval train",
    "run": "plot",
    "scaffold": "",
    "session": "experiment objective run standard toolchain",
    "standard": "experiment toolchain",
    "sweep": "data experiment plot run standard toolchain train",
    "teacher": "data experiment model run",
    "toolchain": "",
    "train": "data eval experiment model objective ranks run session standard teacher",
}
EVERYBODY = "plugin_fault started unique".split()
# The crates beside host/src, in which each file may use each.
CRATES = "host/board/src host/files/src host/images/src host/plugin/src host/python/src host/run/src".split()
# Files that still use each other in a circle.
KNOWN = []

NO_CODE = re.compile(r"""//.*|r(\#*)"[\s\S]*?"\1|"(?:\\[\s\S]|[^"\\])*"|'(?:\\.|[^'\\])'|pub\(in [^)]*\)""")
TESTS = re.compile(r"^#\[cfg\(test\)\]\n(?:.*\bmod \w+;|[\s\S]*)", re.M)
USE = re.compile(r"^\s*(pub(?:\(\w+\))? )?use ([^;]+);", re.M)
PATH = re.compile(r"(?<![\w:])\w+(?:::\w+)+")


def without(pattern, text):
    """The text without what matches; lines keep their numbers."""
    return pattern.sub(lambda match: "\n" * match[0].count("\n"), text)


def line_of(text, place):
    return text.count("\n", 0, place) + 1


def leaves(tree):
    """The paths of a `use`, each with the name that it gets."""
    head, brace, inside = re.sub(r"\s+", " ", tree).strip().partition("{")
    if not brace:
        path, _, name = head.partition(" as ")
        return [(path.strip().split("::"), name or path.strip().split("::")[-1])]
    depth, parts = 0, [""]
    for letter in inside[:-1]:
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    before = head.strip(": ").split("::") if head else []
    return [(before + path, name) for part in parts if part.strip() for path, name in leaves(part)]


class File:
    def __init__(self, root, path):
        self.name = str(path.relative_to(root))
        parts = path.relative_to(root).with_suffix("").parts
        self.module = tuple(part for part in parts if part not in ("mod", "lib"))
        text = without(NO_CODE, without(TESTS, path.read_text()))
        self.names, self.paths = {}, []
        for use in USE.finditer(text):
            for used, name in leaves(use[2]):
                if name == "self":
                    used, name = used[:-1], used[-2]
                self.names[name] = used
                if not use[1]:
                    self.paths.append((line_of(text, use.start(2)), used))
        text = without(USE, text)
        self.paths += [(line_of(text, found.start()), found[0].split("::")) for found in PATH.finditer(text)]


def read(root):
    """The files below a folder by their modules."""
    paths = [path for path in sorted(root.rglob("*.rs")) if path.name not in ("main.rs", "tests.rs", "fixtures.rs")]
    return {file.module: file for file in (File(root, path) for path in paths)}


def target(tree, file, path):
    """The file that has what a path in `file` names; `None` for other crates."""
    module, path = file.module, list(path)
    if path[0] not in ("crate", "super", "self") and module + (path[0],) not in tree:
        return None
    while path and path[0] in ("crate", "super", "self"):
        module = {"crate": (), "super": module[:-1], "self": module}[path.pop(0)]
    while path and module + (path[0],) in tree:
        module += (path.pop(0),)
    owner = tree.get(module)
    handed_on = owner.names.get(path[0]) if owner and owner is not file and path else None
    return handed_on and target(tree, owner, handed_on + path[1:]) or owner


def circles(edges):
    """The groups of nodes in which each leads to each other."""
    def reached(start):
        seen, due = set(), [start]
        while due:
            new = edges.get(due.pop(), set()) - seen
            seen |= new
            due += new
        return seen

    there = {node: reached(node) for node in edges}
    groups = {frozenset(other for other in there[node] if node in there.get(other, ())) for node in edges}
    return sorted(sorted(group) for group in groups if group)


def check(name, allowed, known):
    """What is wrong below a folder: titles, each with the lines that cause it. Without `allowed` each may use each."""
    tree = read(REPOSITORY / name)
    files, folders, lines = {}, {}, []
    for file in tree.values():
        for line, path in file.paths:
            used = target(tree, file, path)
            if used and used is not file and used.module and file.module:
                lines.append((file, used, f"  {name}/{file.name}:{line} uses {used.name}"))
                files.setdefault(file.name, set()).add(used.name)
                if file.module[0] != used.module[0]:
                    folders.setdefault(file.module[0], set()).add(used.module[0])
    problems = []
    for folder, used in sorted(folders.items() if allowed else ()):
        for other in sorted(used - set(allowed.get(folder, "").split()) - set(EVERYBODY)):
            found = {text for file, used, text in lines if (file.module[0], used.module[0]) == (folder, other)}
            problems.append((f"{folder} may not use {other}; scripts/circles.py has what it may use:", found))
    for circle in circles(folders):
        problems.append((f"folders of {name} in a circle: {', '.join(circle)}", set()))
    for circle in circles(files):
        if not any(set(circle) <= one for one in known):
            found = {text for file, used, text in lines if file.name in circle and used.name in circle}
            problems.append((f"files of {name} in a circle: {', '.join(circle)}", found))
    return problems


known = []
for circle in KNOWN:
    folder, names = circle.split(": ")
    known.append({f"{folder}/{name}.rs" for name in names.split()})
problems = check("host/src", ALLOWED, known)
for crate in CRATES:
    problems += check(crate, None, [])
for title, found in problems:
    print(title, *sorted(found), sep="\n")
raise SystemExit(1 if problems else 0)
