"""The shape of the code, held over its syntax trees: who may import whom, and how large a file may grow."""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# rglob follows no link, and `pipelines` and `trainers` in the package are links to the folders at the top.
FOLDERS = ("sketchdata", "sketchdata/pipelines", "sketchdata/trainers")

#: Lowest first; a module imports from its own level and from lower ones, and never in a circle. A name stands for a
#: module of sketchdata/, or for a package with all that is in it.
LEVELS: dict[str, frozenset[str]] = {
    "facts and records": frozenset({"errors", "version"}),
    "pure functions": frozenset(
        {
            "boundaries",
            "catalog",
            "class_spellings",
            "class_splits",
            "class_words",
            "codes",
            "curves",
            "drawing",
            "drawing_statistics",
            "duplicates",
            "entropy",
            "formats",
            "gzipped",
            "hamming",
            "hash_centers",
            "hashing_report",
            "hashing_rows",
            "hashing_tables",
            "hog_features",
            "intervals",
            "messiness",
            "metrics",
            "names",
            "near_duplicates",
            "photos",
            "published_hashing",
            "raster",
            "raster_cairo",
            "recognition_measures",
            "retrieval",
            "saliency",
            "sampling",
            "selection",
            "shallow_hashing",
            "simplify",
            "spread",
            "synth",
            "tallies",
            "tie_groups",
            "tracing",
        }
    ),
    "surroundings": frozenset({"config", "training_options", "progress", "threads"}),
    "files": frozenset(
        {
            "annotations",
            "audit_store",
            "card",
            "charts",
            "class_vectors",
            "collection",
            "contact_sheet",
            "crops",
            "dataset",
            "decisions",
            "edgemaps",
            "edges",
            "manifest",
            "normal_drawings",
            "output_folder",
            "photo_classes",
            "shards",
            "split_options",
            "vector_sources",
            "verification",
        }
    ),
    "fetching": frozenset({"partfile", "fetch", "sources", "checked", "drawing_samples", "crawl", "photo_search"}),
    "work over files": frozenset(
        {"engine", "assembly", "audit_folder", "code_folder", "curation", "exports", "refill"}
    ),
    "tensors": frozenset(
        {
            "augmentation",
            "bitmaps",
            "checkpoints",
            "code_validation",
            "device_hamming",
            "device_raster",
            "edgemap_classifier",
            "edgemap_pictures",
            "encoder",
            "encoding",
            "evaluation",
            "hashing_evaluation",
            "hashing_losses",
            "index",
            "loader",
            "losses",
            "metrics_log",
            "models",
            "onnx_export",
            "packed",
            "query",
            "ranks",
            "recogniser",
            "run_folder",
            "search_cost",
            "stroke_channels",
            "training",
            "zero_shot",
        }
    ),
    "pages": frozenset({"web"}),
    "what people import": frozenset({"api"}),
    "recipes": frozenset({"pipelines", "trainers"}),
    "commands": frozenset({"cli", "__main__"}),
}
ORDER = list(LEVELS)
LIBRARY = ORDER[: ORDER.index("recipes")]
#: Networks among the detectors, which nobody imports who does not ask for them.
NETWORKS = {f"sketchdata.edges.{name}" for name in ("learned", "networks", "pidinet", "tin")}

#: Name torch in types of what they return, and import it when that is asked for; tests/test_api.py sees to it.
TYPES = {"sketchdata.api"}

#: What reaches out of the process; the pure functions have none of it.
OUTSIDE = {"asyncio", "fsspec", "http", "httpx", "multiprocessing", "requests", "socket", "subprocess", "urllib"}
VAGUE_NAMES = {"base", "common", "core", "helper", "helpers", "manager", "misc", "util", "utils"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))}
every_module = pytest.mark.parametrize("module", MODULES)


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield what a module imports, anywhere in it: `a.b` for `import a.b`, `a.b.c` for `from a.b import c`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_at_start(tree: ast.Module) -> Iterator[str]:
    """Yield what is imported when the module itself is: nothing from within its functions."""
    for statement in tree.body:
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield from imports(statement)


def read(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def own(imported: str) -> str | None:
    """Return which of our modules an import names, by the name of its file; None for somebody else's."""
    name = imported
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def level_of(module: str) -> str:
    """Return a module's level.

    Raises:
        LookupError: LEVELS does not know it.
    """
    if module == "sketchdata":
        return "what people import"
    place = module.removeprefix("sketchdata.").partition(".")[0]
    for level, names in LEVELS.items():
        if place in names:
            return level
    raise LookupError(f"{module} has no place in LEVELS: say which level it belongs to")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch.nn as nn", ["torch.nn"]),
        ("from sketchdata import cli", ["sketchdata.cli"]),
        ("def f():\n    from sketchdata.cli import main", ["sketchdata.cli.main"]),
        ("if True:\n    import a, b", ["a", "b"]),
    ],
)
def test_imports_are_seen_wherever_they_are_written(source: str, expected: list[str]) -> None:
    assert list(imports(ast.parse(source))) == expected


@pytest.mark.parametrize(
    ("imported", "expected"),
    [
        ("sketchdata.errors.ConfigError", "sketchdata.errors"),
        ("sketchdata.pipelines.synth.run", "sketchdata.pipelines.synth"),
        ("sketchdata.pipelines", "sketchdata.pipelines"),
        ("sketchdatabase.errors", None),
        ("numpy", None),
    ],
)
def test_imports_are_traced_to_the_file_they_come_from(imported: str, expected: str | None) -> None:
    assert own(imported) == expected


def test_the_table_of_levels_names_only_what_exists() -> None:
    places = {module.removeprefix("sketchdata.").partition(".")[0] for module in MODULES}
    assert {name for names in LEVELS.values() for name in names} <= places


@every_module
def test_a_module_imports_from_its_own_level_and_below(module: str) -> None:
    height = ORDER.index(level_of(module))
    known = [name for name in map(own, imports(read(module))) if name is not None]
    assert [name for name in known if ORDER.index(level_of(name)) > height] == []


@pytest.mark.parametrize(("folder", "other"), [("pipelines", "trainers"), ("trainers", "pipelines")])
def test_pipelines_and_trainers_do_not_import_each_other(folder: str, other: str) -> None:
    for module in (module for module in MODULES if module.startswith(f"sketchdata.{folder}")):
        known = [name for name in map(own, imports(read(module))) if name is not None]
        assert [name for name in known if name.startswith(f"sketchdata.{other}")] == [], module


@every_module
def test_recipes_are_imported_by_their_one_name(module: str) -> None:
    # As plain `pipelines`, a module would exist twice, and another project's folder could be taken for ours.
    bare = [name for name in imports(read(module)) if name.partition(".")[0] in ("pipelines", "trainers", "manifests")]
    assert bare == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: {own(name) for name in imports_at_start(read(module))} - {None, module} for module in MODULES}
    assert list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


@every_module
def test_torch_is_imported_by_tensor_modules_networks_and_trainers_alone(module: str) -> None:
    exempt = module.startswith("sketchdata.trainers") or module in NETWORKS | TYPES
    if level_of(module) != "tensors" and not exempt:
        assert [name for name in imports(read(module)) if name.partition(".")[0] in ("torch", "faiss")] == []


@every_module
def test_pure_functions_reach_for_nothing_outside_the_process(module: str) -> None:
    if level_of(module) in ("facts and records", "pure functions"):
        assert {name.partition(".")[0] for name in imports(read(module))} & OUTSIDE == set()


@every_module
def test_files_are_named_after_what_they_hold(module: str) -> None:
    path = MODULES[module]
    assert not {path.stem, *path.relative_to(ROOT).parts[:-1]} & VAGUE_NAMES


IMPORT_EVERYTHING = """
import importlib, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "os.mkdir", "os.rename", "subprocess.Popen"):
        print(event, arguments, flush=True)
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes and arguments[0] != "/dev/null":
        print(event, arguments, flush=True)

sys.addaudithook(watch)
for module in sys.argv[1:]:
    importlib.import_module(module)
print("imported", len(sys.argv) - 1)
"""


@pytest.mark.slow
def test_importing_the_library_touches_no_network_and_writes_nothing() -> None:
    library = [module for module in MODULES if module.startswith("sketchdata") and level_of(module) in LIBRARY]
    # Python's own caches of compiled files are not ours to blame.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING, *library],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == f"imported {len(library)}\n", done.stderr
