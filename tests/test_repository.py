# SPDX-License-Identifier: Apache-2.0
"""The repository's own files: they agree with one another, and what they call exists."""

import importlib.util
import os
import re
import stat
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import modaltrack

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_distributions", ROOT / "tools" / "check_distributions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_version_everywhere() -> None:
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == modaltrack.__version__ == str(cited["version"])
    assert cited["license"] == PROJECT["license"]


@pytest.mark.parametrize("file", [*WORKFLOWS, *FORMS], ids=lambda f: f.name)
def test_forms_and_workflows_are_yaml_and_call_what_exists(file: Path) -> None:
    yaml = pytest.importorskip("yaml")
    text = file.read_text(encoding="utf-8")
    assert isinstance(yaml.safe_load(text), dict)
    called = re.findall(r"(?:run: .*?|\b)(\.ci/\w+)", text)
    assert called or file not in WORKFLOWS
    for script in called:
        assert (ROOT / script).is_file(), script


@pytest.mark.skipif(sys.platform == "win32", reason="files have no modes there")
def test_scripts_can_be_run() -> None:
    for script in sorted((ROOT / ".ci").iterdir()):
        assert script.stat().st_mode & stat.S_IXUSR, f"chmod +x {script}"
        assert os.linesep == "\n"
        assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env "), script


def test_the_pages_of_the_site_are_all_in_its_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert re.search(rf": {re.escape(name)}$", menu, re.MULTILINE), f"{name} is not in mkdocs.yml"
    for name in re.findall(r": ([\w/]+\.md)$", menu, re.MULTILINE):
        assert (ROOT / "docs" / name).is_file(), name


def wheel(path: Path, **changes: str) -> Path:
    """A small wheel as the checker wants it, but for what is changed; an empty text leaves a file out."""
    fields = "Name: modaltrack\nVersion: 0.1.0\nSummary: s\nLicense-Expression: Apache-2.0\nRequires-Python: >=3.11\n"
    files = {
        "modaltrack/py.typed": "#",
        "modaltrack/cli.py": "#",
        "modaltrack/models/catalogue.json": "{}",
        "modaltrack/models/weights/modaltrack-laptop.safetensors": "#",
        "modaltrack/models/weights/ostrack-laptop.safetensors": "#",
        "modaltrack-0.1.0.dist-info/licenses/LICENSE": "#",
        "modaltrack-0.1.0.dist-info/METADATA": f"{fields}Description-Content-Type: text/markdown\n\n" + "words " * 200,
    }
    with zipfile.ZipFile(path, "w") as made:
        for name, text in (files | changes).items():
            if text:
                info = zipfile.ZipInfo(name)
                info.external_attr = (0o600 if "private" in text else 0o644) << 16
                made.writestr(info, text)
    return path


def test_a_good_wheel_passes_and_bad_ones_do_not(checker: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "modaltrack-0.1.0-py3-none-any.whl"
    assert checker.check_wheel(wheel(file)) == ("0.1.0", [])
    metadata = "modaltrack-0.1.0.dist-info/METADATA"
    for changes, said in (
        ({"modaltrack/weights.bin": "private"}, "600"),
        ({"tests/test_x.py": "#"}, "does not belong"),
        ({"modaltrack/py.typed": ""}, "is not in the wheel"),
        ({metadata: "Name: modaltrack\nVersion: 0.1.0\n\nshort"}, "no Summary"),
    ):
        (_, found) = checker.check_wheel(wheel(file, **changes))
        assert any(said in sentence for sentence in found), (said, found)
    assert "at most 100 are wanted" in checker.check_wheel(wheel(file), limit=100)[1][0]


def test_versions_are_compared(checker: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "CITATION.cff").write_text("version: 0.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text("## [0.2.0] - 2026-12-01\n")
    assert checker.check_version("0.2.0", tmp_path, "0.2.0") == []
    assert len(checker.check_version("0.1.0", tmp_path, "0.2.0")) == 3
