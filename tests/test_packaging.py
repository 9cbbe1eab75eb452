"""The wheel holds one package with pipelines, trainers and manifests inside, and works wherever it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sketchdata import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SHIPPED = ("pipelines", "trainers", "manifests")


@pytest.fixture(scope="module", params=[("--wheel",), ()], ids=["from a checkout", "from an sdist"])
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the project, so that the checkout gets no build folders."""
    pytest.importorskip("build", reason="building the wheel needs the dev extra")
    project = tmp_path_factory.mktemp("project")
    for folder in ("sketchdata", *SHIPPED):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, project / folder, ignore=ignored, symlinks=True)
    for folder in ("tests", "docs", "benchmarks"):
        (project / folder).mkdir()
    for file in (
        "pyproject.toml",
        ".gitignore",
        "Makefile",
        "constraints.txt",
        *(path.name for path in ROOT.glob("*.md")),
        "CITATION.cff",
        "LICENSE",
    ):
        shutil.copy(ROOT / file, project)
    out = tmp_path_factory.mktemp("wheel")
    # Without --wheel, the wheel is built from the sdist, where no links are.
    execute("-m", "build", *request.param, "--no-isolation", "--outdir", out, project, cwd=project)
    (built,) = out.glob("*.whl")
    for sdist in out.glob("*.tar.gz"):
        with tarfile.open(sdist) as archive:
            top = {Path(name).parts[1] for name in archive.getnames() if len(Path(name).parts) == 2}
        assert {"CITATION.cff", "LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"} <= top
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    options = ("--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--quiet")
    execute("-m", "pip", "install", *options, "--target", target, wheel, cwd=target)
    return target


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Return a folder whose own `pipelines`, `trainers` and `manifests` must never be taken for ours."""
    for name in ("pipelines", "trainers", "manifests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a stranger was imported')\n")
    (tmp_path / "pipelines" / "quickdraw.py").write_text("raise SystemExit('a stranger was imported')\n")
    (tmp_path / "manifests" / "quickdraw-categories.txt").write_text("stranger\n")
    return tmp_path


def execute(*arguments: str | Path, cwd: Path, path: Path | None = None) -> str:
    """Run this Python, with `path` alone on the PYTHONPATH, and return what it says."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def text_in(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(f"sketchdata-{__version__}.dist-info/{name}").decode()


@pytest.mark.slow
def test_sketchdata_is_the_only_top_level_name(wheel: Path) -> None:
    assert {name.partition("/")[0] for name in names_in(wheel)} == {"sketchdata", f"sketchdata-{__version__}.dist-info"}


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["sketchdata", *SHIPPED])
def test_every_file_of_the_project_is_inside_once(folder: str, wheel: Path) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()}
    wanted = {path for path in files if "__pycache__" not in path}
    prefix = "" if folder == "sketchdata" else "sketchdata/"
    names = names_in(wheel)
    assert wanted
    assert {prefix + path for path in wanted} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_the_package_says_that_it_is_typed(wheel: Path) -> None:
    assert "sketchdata/py.typed" in names_in(wheel)


@pytest.mark.slow
def test_nothing_else_is_inside(wheel: Path) -> None:
    suffixes = {Path(name).suffix for name in names_in(wheel) if name.startswith("sketchdata/")}
    assert suffixes <= {".py", ".csv", ".md", ".txt", ".html", ".css", ".js", ".svg", ".typed", ".safetensors", ".onnx"}


@pytest.mark.slow
def test_the_metadata_name_the_version_the_command_and_the_licence(wheel: Path) -> None:
    assert f"Version: {__version__}\n" in text_in(wheel, "METADATA")
    assert "License-Expression: Apache-2.0\n" in text_in(wheel, "METADATA")
    assert "sketchdata = sketchdata.cli:main\n" in text_in(wheel, "entry_points.txt")


@pytest.mark.slow
def test_pipelines_and_manifests_are_found_inside_the_installed_package(installed: Path, hostile: Path) -> None:
    program = (
        "from sketchdata.storage.catalog import manifest_path\n"
        "from sketchdata.pipelines import quickdraw\n"
        "print(quickdraw.__file__, manifest_path('quickdraw-categories.txt'), sep='\\n')"
    )
    package = installed / "sketchdata"
    found = execute("-c", program, cwd=hostile, path=installed).split()
    assert found == [str(package / "pipelines/quickdraw.py"), str(package / "manifests/quickdraw-categories.txt")]


@pytest.mark.slow
def test_the_installed_command_generates_builds_and_verifies_in_a_hostile_folder(
    installed: Path, hostile: Path
) -> None:
    classes = ("--categories", "star,cat", "--workers", "2")
    sizes = ("--train", "20", "--val", "4", "--gallery", "4", "--query", "2")
    sketchdata = ("-m", "sketchdata")
    execute(*sketchdata, "synth", "--out", "source", "--drawings", "40", *classes, cwd=hostile, path=installed)
    build = ("build", "quickdraw-3.8m", "--source", "source", "--out", "set")
    execute(*sketchdata, *build, *sizes, *classes, cwd=hostile, path=installed)
    verified = execute(*sketchdata, "verify", "set", cwd=hostile, path=installed)
    assert "all right" in verified
    assert "60 drawings" in verified


def requirements() -> Iterator[Requirement]:
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *(text for extra in extras.values() for text in extra)]:
        requirement = Requirement(text)
        if requirement.name != PROJECT["name"]:
            yield requirement


def pins() -> dict[str, list[Requirement]]:
    """Read constraints.txt as {name: its pins}; one that differs between Pythons has several, with markers."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


@pytest.mark.parametrize("requirement", list(requirements()), ids=str)
def test_the_constraints_pin_every_dependency_to_a_version_that_is_allowed(requirement: Requirement) -> None:
    pinned = pins().get(canonicalize_name(requirement.name), [])
    assert pinned, f"constraints.txt has no line {requirement.name}==…"
    for pin in pinned:
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert requirement.specifier.contains(specifier.version)


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_the_constraints_give_each_python_one_version(python: str) -> None:
    for name, pinned in pins().items():
        chosen = [pin for pin in pinned if pin.marker is None or pin.marker.evaluate({"python_version": python})]
        assert len(chosen) == 1, name


def test_every_dependency_states_its_lowest_version() -> None:
    assert [str(requirement) for requirement in requirements() if ">=" not in str(requirement.specifier)] == []
