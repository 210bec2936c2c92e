"""Prints the mistakes in the modules of a plugin that can be seen without running them, as `plugin.py:3:5: what`.

Arguments: the roles in plugin.toml. In the current folder are the modules, with the SDK. Nothing of them is run.
"""

import ast
import difflib
import pathlib
import re
import sys

# The decorator of each role, and the method that its classes have.
METHODS = {
    "loss": "loss", "miner": "mine", "transfer": "pair_losses", "balance": "weigh", "schedule": "thresholds", "fusion": "fuse",
}  # fmt: skip
# Packages with native code that are often tried.
NATIVE = {"numpy", "torch", "scipy", "pandas", "sklearn", "jax"}


def imported():
    """The modules that `plugin.py` imports, directly or not, and itself: others, such as its tests, the build does not see either."""
    left = {str(path): path for path in pathlib.Path().rglob("*.py") if path.name != "lossmith.py"}
    found, following = {}, ["plugin.py"]
    while following:
        path = left.pop(following.pop(), None)
        if path is None:
            continue
        source = path.read_bytes()
        found[str(path)] = source
        lines = re.findall(rb"^\s*(?:import|from)\s.*", source, re.MULTILINE)
        words = {word.decode() for line in lines for word in re.findall(rb"\w+", line)}
        following += [name for name, path in left.items() if words.intersection([path.stem, *path.parts[:-1]])]
    return found


def is_there(module):
    return pathlib.Path(module + ".py").exists() or pathlib.Path(module).is_dir()


def defined(path):
    """The names that a module defines at its top."""
    for node in ast.parse(pathlib.Path(path).read_bytes()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def imports(tree):
    """Names that the SDK does not have, and packages that cannot be there."""
    for node in tree.body:
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module]
            if node.module == "lossmith":
                known = sorted(set(defined("lossmith.py")))
                for alias in node.names:
                    if alias.name not in known and alias.name != "*":
                        near = difflib.get_close_matches(alias.name, known, 1)
                        hint = f"; did you mean `{near[0]}`?" if near else ""
                        yield node, f"ImportError: lossmith has no `{alias.name}`{hint}"
        for module in modules:
            package = module.partition(".")[0]
            if package in NATIVE and not is_there(package):
                yield node, (
                    f"imports `{module}`, which has native code and cannot run in a component: "
                    "use the tensor operations of the host"
                )


def strategies(tree, roles):
    """Declarations that the SDK refuses, as far as they are written out."""
    decorators = {
        alias.asname or alias.name: alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "lossmith"
        for alias in node.names
        if alias.name in METHODS
    }
    declared = set()
    for cls in tree.body:
        for decorator in getattr(cls, "decorator_list", []) if isinstance(cls, ast.ClassDef) else []:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            role = decorators.get(getattr(called, "id", None))
            if role is None:
                continue
            arguments = decorator.args if isinstance(decorator, ast.Call) else []
            if not isinstance(decorator, ast.Call):
                yield decorator, f'@{role} needs a name: @{role}("my-{role}")'
            if not arguments or not isinstance(arguments[0], ast.Constant):
                continue
            name, method = arguments[0].value, METHODS[role]
            if role not in roles:
                yield decorator, f'declares the {role} `{name}`, but `roles` in plugin.toml does not name "{role}"'
            members = {name for member in cls.body for name in [getattr(member, "name", None)]}
            members |= {name.id for member in cls.body for name in ast.walk(member) if isinstance(name, ast.Name)}
            if not cls.bases and not cls.keywords and method not in members:
                yield cls, f"the class {cls.name} has no method `{method}`, which a {role} needs"
            if (role, name) in declared:
                yield decorator, f"the {role} `{name}` is declared twice"
            declared.add((role, name))


def main():
    for name, source in sorted(imported().items()):
        try:
            tree = ast.parse(source, name)
        except SyntaxError as error:
            print(f"{name}:{error.lineno}:{error.offset}: {type(error).__name__}: {error.msg}")
            continue
        found = list(imports(tree))
        if name == "plugin.py":
            found += strategies(tree, sys.argv[1:])
        for node, text in sorted(found, key=lambda pair: (pair[0].lineno, pair[0].col_offset)):
            print(f"{name}:{node.lineno}:{node.col_offset + 1}: {text}")


main()
