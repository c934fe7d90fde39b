# SPDX-License-Identifier: Apache-2.0
"""The examples run: the notebook's cells in order, on a short clip; the typed script before a type checker."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def cells_of(notebook: Path) -> list[str]:
    document = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda p: p.name)
def test_the_notebook_runs_and_is_stored_without_outputs(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random_weights: Path
) -> None:
    document = json.loads(notebook.read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") for cell in document["cells"])
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    shown = 0
    for cell in cells_of(notebook):
        text = cell.replace("LENGTH = 40", "LENGTH = 4").replace('"modaltrack-laptop"', repr(str(random_weights)))
        tree = ast.parse(text)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, notebook.name, "exec"), names)
        if isinstance(last, ast.Expr):  # what a notebook would show
            value = eval(compile(ast.Expression(last.value), notebook.name, "eval"), names)  # noqa: S307 - the repository's own notebook
            shown += "<" in getattr(value, "_repr_html_", str)()
            assert " object at 0x" not in repr(value)
    assert shown == 3
    assert {p.name for p in tmp_path.iterdir()} == {"result.json", "tracked.mp4"}


def test_a_type_checker_sees_no_any_in_a_users_script(tmp_path: Path) -> None:
    """Modules that the script does not name are not checked again here: only what it sees of them counts.

    Large packages that none of its types come from are not read; a type of theirs would be an ``Any``.
    """
    pytest.importorskip("mypy")
    words = [
        "--strict",
        "--disallow-any-expr",
        "--follow-imports=silent",
        "--cache-dir",
        str(ROOT / ".mypy_cache" / "user"),
    ]
    unread = "torch.*,cv2.*,av.*,matplotlib.*,safetensors.*,huggingface_hub.*,rich.*,tyro.*"
    (tmp_path / "mypy.ini").write_text(f"[mypy]\n[mypy-{unread}]\nfollow_imports = skip\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, "--config-file=mypy.ini", str(EXAMPLES / "typed_script.py")],
        capture_output=True,
        text=True,
        env={"PATH": "", "MYPYPATH": str(ROOT / "src")},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
