# SPDX-License-Identifier: Apache-2.0
"""The rules of the house, read from the source with ``ast`` and patterns; nothing is imported."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "modaltrack"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

PLAIN = {
    "file_kinds",
    "extras",
    "modality",
    "frame",
    "boxes",
    "box_text",
    "computed",
    "files",
    "lazy",
    "plugins",
    "printable",
}
TENSORS = PLAIN | {"vision"}
LIBRARY = TENSORS | {"sources", "models", "session", "tracking", "scenes", "scoring"}
# room -> the rooms it may import, beside itself; a dotted name allows one file of a room only
MAY_IMPORT = {
    "modality": set(),
    "frame": {"modality"},
    "boxes": {"frame"},
    "box_text": set(),
    "extras": set(),
    "file_kinds": set(),
    "files": set(),
    "computed": set(),
    "lazy": set(),
    "printable": set(),
    "plugins": set(),
    "vision": PLAIN,
    "sources": PLAIN,
    "scoring": PLAIN,
    "results": PLAIN | {"scoring"},
    "benchmarks": PLAIN | {"scoring", "sources"},
    "truth": PLAIN | {"sources", "scenes", "scoring", "benchmarks"},
    "sinks": PLAIN,
    "labels": PLAIN | {"sinks"},
    "scenes": TENSORS | {"sources.encodings"},
    "models": TENSORS | {"sources"},
    "session": PLAIN | {"sources"},
    "tracking": TENSORS | {"sources", "models", "session"},
    "export": LIBRARY,
    "runtime": TENSORS | {"models", "export"},
    "training": LIBRARY | {"benchmarks"},
    "evaluation": LIBRARY | {"runtime", "results", "sinks", "benchmarks", "truth"},
    "report": PLAIN | {"scoring", "sinks"},
    "study": LIBRARY | {"sinks", "training", "report"},
    "integrations": LIBRARY | {"runtime"},
    "app": LIBRARY | {"runtime", "results", "sinks", "labels"},
    "commands": LIBRARY
    | {
        "app",
        "export",
        "runtime",
        "results",
        "truth",
        "benchmarks",
        "sinks",
        "labels",
        "integrations",
        "training",
        "evaluation",
        "report",
        "study",
    },
    "cli": {"commands", "printable"},
    "__main__": {"cli"},
}
# what plain data offers for convenience is done elsewhere: imported inside the method that is called, never before
LATE = {"frame": {"sinks", "results"}}
NO_TORCH = PLAIN | {
    "sources",
    "session",
    "scoring",
    "results",
    "truth",
    "benchmarks",
    "sinks",
    "labels",
    "cli",
    "__main__",
    "evaluation",
    "report",
    "study",
}


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def nodes_of(file: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file's tree."""
    return tuple(ast.walk(parsed(file)))


def room_of(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(file: Path) -> Iterator[tuple[str, int]]:
    """Dotted names that a file imports, wherever in it the import stands, and the line."""
    for node in nodes_of(file):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def lines_in_functions(file: Path) -> set[int]:
    functions = [n for n in nodes_of(file) if isinstance(n, ast.FunctionDef)]
    return {line for f in functions for line in range(f.lineno, (f.end_lineno or f.lineno) + 1)}


def violations(file: Path) -> list[str]:
    room = room_of(file)
    allowed = MAY_IMPORT[room] | {room}
    late = lines_in_functions(file) if room in LATE else set()
    found = []
    for name, line in imports_of(file):
        parts = name.split(".")
        if parts[0] != "modaltrack" or len(parts) < 2 or parts[1] == "__version__":
            continue
        if line in late and parts[1] in LATE[room]:
            continue
        if parts[1] not in allowed and ".".join(parts[1:3]) not in allowed:
            found.append(f"{file.relative_to(ROOT)}:{line}: {room} imports {name}")
    return found


def test_every_room_is_in_the_plan() -> None:
    assert {room_of(f) for f in SOURCES} - {"__init__"} <= set(MAY_IMPORT)


def test_imports_run_downwards() -> None:
    assert [v for f in SOURCES if room_of(f) != "__init__" for v in violations(f)] == []


def test_the_check_of_directions_sees_an_upward_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the test: an arrow hidden in a function is found too."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "vision").mkdir()
    bad = tmp_path / "vision" / "crop.py"
    bad.write_text("def f():\n    from modaltrack.models import create\n")
    assert len(violations(bad)) == 1


def test_torch_stays_out_of_the_rooms_that_promise_it() -> None:
    found = []
    for file in SOURCES:
        if room_of(file) in NO_TORCH:
            at_import = [n for n in parsed(file).body if isinstance(n, (ast.Import, ast.ImportFrom))]
            names = [a.name for n in at_import if isinstance(n, ast.Import) for a in n.names]
            names += [n.module or "" for n in at_import if isinstance(n, ast.ImportFrom)]
            found += [str(file) for name in names if name.split(".")[0] == "torch"]
    assert found == []


def test_first_line_is_the_licence() -> None:
    line = "# SPDX-License-Identifier: Apache-2.0\n"
    assert [f for f in SOURCES + TESTS if not f.read_text(encoding="utf-8").startswith(line)] == []


PATTERNS = {
    "an absolute path of a machine": r"""["'](/(home|work|tmp|root|Users|mnt|data|opt|scratch)[/"']|[A-Z]:\\\\)""",
    "a hard-coded GPU": r"\.cuda\(",
    "pickle": r"\bimport (c?pickle|dill|joblib)\b|allow_pickle\s*=\s*True|weights_only\s*=\s*False",
    "an import by string from the user's input": r"\b(eval|exec)\(",
    "a star import": r"^from .* import \*",
}


@pytest.mark.parametrize("what", PATTERNS)
def test_no_source_file_holds(what: str) -> None:
    pattern = re.compile(PATTERNS[what], re.MULTILINE)
    found = []
    for file in SOURCES:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            # model.eval() is torch's, eval("...") is Python's
            if pattern.search(line.replace(".eval(", "(")):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


def test_errors_and_weights_are_never_swallowed() -> None:
    found = []
    for file in SOURCES:
        where = file.relative_to(ROOT)
        bare = [n for n in nodes_of(file) if isinstance(n, ast.ExceptHandler) and n.type is None]
        found += [f"{where}:{node.lineno}: bare except" for node in bare]
        for called, call in calls_of(file):
            keywords = {k.arg: k.value for k in call.keywords}
            strict = keywords.get("strict")
            loads = called.endswith(".load_state_dict")
            if loads and isinstance(strict, ast.Constant) and strict.value is False:
                found.append(f"{where}:{call.lineno}: strict=False")
            if called == "torch.load" and "weights_only" not in keywords:
                found.append(f"{where}:{call.lineno}: torch.load without weights_only")
    assert found == []


def test_a_file_fits_in_the_head() -> None:
    assert [f for f in SOURCES if len(f.read_text(encoding="utf-8").splitlines()) > 400] == []


def long_functions(tree: ast.AST, limit: int = 60) -> list[str]:
    """Functions with more lines than that, their docstrings apart."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body[0]
            described = first.lineno - node.body[0].lineno
            lines = (node.end_lineno or 0) - node.lineno + 1 - described
            found += [f"{node.name}: {lines}"] if lines > limit else []
    return found


def test_a_function_fits_on_a_page() -> None:
    found = {str(f.relative_to(ROOT)): long for f in SOURCES if (long := long_functions(parsed(f)))}
    assert found == {}


def test_the_check_of_length_sees_a_long_function() -> None:
    body = "\n".join(f"    x = {i}" for i in range(60))
    assert long_functions(ast.parse(f'def f():\n    """One.\n\n    Two.\n    """\n{body}')) == ["f: 61"]
    assert long_functions(ast.parse(f"def f():\n{body}"), 61) == []


def test_no_drawer_for_everything() -> None:
    names = {f.stem for f in SOURCES} | {room_of(f) for f in SOURCES}
    assert not names & {"utils", "util", "misc", "helper", "helpers", "manager", "common"}


@cache
def calls_of(file: Path) -> tuple[tuple[str, ast.Call], ...]:
    """What a file calls: the name as it is written, and the call."""
    return tuple((ast.unparse(node.func), node) for node in nodes_of(file) if isinstance(node, ast.Call))


def files_that_call(*names: str) -> set[str]:
    """Files of the package with a call of one of these, by the last parts of its name (``os.replace``, ``flock``)."""
    return {
        str(f.relative_to(PACKAGE))
        for f in SOURCES
        for called, _ in calls_of(f)
        if any(called == name or called.endswith("." + name) for name in names)
    }


def files_that_define(pattern: str) -> set[str]:
    """Files of the package with a function whose name fits."""
    found = set()
    for file in SOURCES:
        for node in nodes_of(file):
            if isinstance(node, ast.FunctionDef) and re.fullmatch(pattern, node.name):
                found.add(str(file.relative_to(PACKAGE)))
    return found


def moves(tree: ast.AST) -> list[str]:
    """Calls that move a file: ``Path.rename``, ``Path.replace`` (that of strings takes two words), ``shutil.move``."""
    found = []
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            replaces = call.func.attr == "replace" and len(call.args) == 1 and not call.keywords
            if replaces or call.func.attr == "rename" or ast.unparse(call.func) == "shutil.move":
                found.append(ast.unparse(call))
    return found


def written_rows(tree: ast.AST) -> list[str]:
    """Rows of numbers made by hand: formatted values joined by a comma or a tab alone."""
    joins = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "join" and n.args
        if isinstance(n.func.value, ast.Constant) and n.func.value.value in (",", "\t")
    ]
    return [ast.unparse(join) for join in joins if re.search(r"\{\w+:\.?\w+\}|format\(", ast.unparse(join.args[0]))]


def test_the_checks_of_moves_and_rows_see_them() -> None:
    assert len(moves(ast.parse("Path(a).rename(b); made.replace(path); shutil.move(a, b)"))) == 3
    assert moves(ast.parse("text.replace(',', ' '); replace(recipe, lr=1); day.replace(hour=1)")) == []
    assert len(written_rows(ast.parse("','.join(f'{v:.2f}' for v in box)"))) == 1
    assert written_rows(ast.parse("', '.join(f'{v:.2f}' for v in box); ','.join(names)")) == []


def test_one_place_replaces_files_and_locks_them() -> None:
    assert files_that_call("os.replace", "os.rename", "fcntl.flock", "fcntl.lockf", "msvcrt.locking") == {"files.py"}
    moving = {str(f.relative_to(PACKAGE)) for f in SOURCES if moves(parsed(f))}
    assert moving == {"export/graph.py"}  # names of two files that were made in a hidden folder
    named = {str(f.relative_to(PACKAGE)) for f in SOURCES if re.search(r"\.partial\b", f.read_text(encoding="utf-8"))}
    assert named == {"files.py"}


def test_one_place_reads_numbers_from_text_and_one_writes_them() -> None:
    """Splitting a line and calling float on its words is what every further reader of boxes begins with."""
    readers = set()
    for file in SOURCES:
        for node in nodes_of(file):
            if isinstance(node, (ast.ListComp, ast.GeneratorExp)):
                floats = ast.unparse(node.elt).startswith(("float(", "_number("))
                if floats and ".split(" in ast.unparse(node.generators[0].iter):
                    readers.add(str(file.relative_to(PACKAGE)))
    # the others read no file of boxes: an option, messages of the TraX protocol
    assert readers <= {"box_text.py", "commands/box_input.py", "evaluation/trax.py"}
    other = files_that_call("np.loadtxt", "numpy.loadtxt", "np.genfromtxt", "np.fromstring")
    assert other <= {"sources/event_tables.py"}  # events, not boxes
    assert files_that_call("np.savetxt", "numpy.savetxt") == set()
    assert files_that_define(r"format_rows") == {"box_text.py"}
    assert files_that_define(r"parse_(boxes|table)") == {"box_text.py"}
    writers = files_that_call("format_rows")
    assert writers == {"evaluation/store.py", "results/writing.py", "sinks/box_file.py"}
    by_hand = {str(f.relative_to(PACKAGE)) for f in SOURCES if written_rows(parsed(f))}
    assert by_hand == {"evaluation/trax.py"}  # messages of the TraX protocol


def test_one_place_reads_json_from_outside() -> None:
    """``json.loads`` raises RecursionError for deep brackets, which no caller expects of a damaged file."""
    calls = {
        (str(f.relative_to(PACKAGE)), ast.unparse(node))
        for f in SOURCES
        for called, node in calls_of(f)
        if called in ("json.loads", "json.load")
    }
    foreign = {file for file, call in calls if not call.startswith("json.loads(json.dumps(")}
    # of the stricter dialect of weight files, and texts that a file of this package's own cache holds
    assert foreign <= {"files.py", "models/safetensors_reader.py", "training/batch_cache.py"}
