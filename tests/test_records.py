"""Records that were edited or damaged: whatever a field holds instead of its value, a command says so in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sketchdata.pipelines import encode, index
from sketchdata.retrieval.code_folder import CodeOrigin, code_folder, write_codes
from sketchdata.storage.manifest import MANIFEST_NAME, ParentEntry
from sketchdata.storage.tensors import read_tensors, write_tensors
from sketchdata.training.run_folder import MODEL, RECORD
from tests import edge_map_builds
from tests.binary_codes import clustered_codes
from tests.builds import small_dataset
from tests.commands import sketchdata
from tests.edge_map_sets import make_edge_maps
from tests.spaces import make_classifier_run, make_space, make_space_run
from tests.trainings import generated_dataset
from tests.two_domains import make_two_domains
from tests.zero_shot_runs import write_zero_shot_run

MARKUP = "[/] [bold]\u202e:smile:\n<b>"
#: What a field holds instead of its value; `...` for a field that is deleted.
WRONG: tuple[Any, ...] = (..., None, -7, [1], MARKUP)

#: A record, and the commands that read it.
Case = tuple[Path, list[list[object]]]


def drawings(folder: Path) -> Case:
    small_dataset(folder)
    data = folder / "dataset"
    return data / MANIFEST_NAME, [["info", data, "--classes"], ["verify", data]]


def edge_maps(folder: Path) -> Case:
    edges = make_edge_maps(folder / "maps").edges
    return edges / MANIFEST_NAME, [["verify", edges], ["edgemaps", "curate", edges, "--workers", "0"]]


def edge_map_set(folder: Path) -> Case:
    out = folder / "set"
    edge_map_builds.build(make_edge_maps(folder / "maps").edges, out)
    return out / MANIFEST_NAME, [["info", out], ["show", out, "--split", "val", "-n", "1", "-o", folder / "sheet.png"]]


def codes(folder: Path) -> Case:
    some, out = clustered_codes(60, bits=20), folder / "codes"
    origin = CodeOrigin(data=ParentEntry(name="small", sha256="0" * 64), bits=20, classes=some.classes, model="1" * 64)
    write_codes(code_folder(out, origin, ["gallery"]), {"gallery": lambda: some}, overwrite=False)
    return out / MANIFEST_NAME, [["verify", out], ["index", "build", out, "--out", folder / "made", "--overwrite"]]


def code_index(folder: Path) -> Case:
    codes(folder)
    out = folder / "index"
    index.run(folder / "codes", index.Config(out=out))
    return out / MANIFEST_NAME, [["verify", out], ["search", out, "1"]]


def begun_export(folder: Path) -> Case:
    codes(folder)
    out = folder / "begun"
    code_folder(out, CodeOrigin(data=ParentEntry(name="a", sha256=""), bits=8, classes=("cat",), model=None), []).claim(
        overwrite=False
    )
    return out / ".export" / "begun.json", [["index", "build", folder / "codes", "--out", out]]


def audits(folder: Path, kind: str, name: str) -> Case:
    small_dataset(folder)
    data = folder / "dataset"
    sketchdata("audit", kind, data, "--workers", "0")
    report = ["audit", "report", data]
    return data / "audit" / name, [["audit", kind, data, "--workers", "0"], *([report] if kind == "entropy" else [])]


def entropy_audit(folder: Path) -> Case:
    return audits(folder, "entropy", "audit.json")


def duplicates_audit(folder: Path) -> Case:
    return audits(folder, "duplicates", "duplicates.json")


def summary_audit(folder: Path) -> Case:
    return audits(folder, "summary", "summary.json")


def messiness_audit(folder: Path) -> Case:
    edges = make_edge_maps(folder / "maps").edges
    edge_map_builds.curate(edges)
    return edges / "audit" / "messiness.json", [["edgemaps", "curate", edges, "--workers", "0"]]


def training(folder: Path) -> Case:
    data = generated_dataset(folder, train=8)
    run = write_zero_shot_run(folder / "run", data, {("random", "sae"): {}})
    (folder / "cat.svg").write_text('<svg viewBox="0 0 9 9"><path d="M1 1L8 8" stroke="black"/></svg>')
    return run / RECORD, [["recognise", run, folder / "cat.svg"], ["evaluate", run, "--split", "val"]]


def network(folder: Path) -> Case:
    path, (recognise, _) = training(folder)
    return path.parent / MODEL, [recognise]


def recogniser(folder: Path) -> Case:
    path, (recognise, _) = training(folder)
    return next((path.parent / "recognisers").iterdir()), [recognise]


def two_domains(folder: Path) -> Case:
    data = folder / "data"
    make_two_domains(data, drawings=2, photos=2)
    show = ["show", data, "-n", "1", "-o", folder / "sheet.png"]
    return data / MANIFEST_NAME, [["info", data], show]


def vectors(folder: Path) -> Case:
    out = make_space(folder).vectors
    return out / MANIFEST_NAME, [["verify", out], ["index", "build", out, "--out", folder / "made", "--overwrite"]]


def vector_index(folder: Path) -> Case:
    space = make_space(folder)
    search = ["search", space.index, house(folder), "--run", space.run]
    return space.index / MANIFEST_NAME, [["verify", space.index], search]


def approximate_index(folder: Path) -> Case:
    space, out = make_space(folder), folder / "itq"
    index.run(space.vectors, index.Config(out=out, kind="itq", bits=4))
    return out / MANIFEST_NAME, [["search", out, house(folder), "--run", space.run]]


def photo_code_index(folder: Path) -> Case:
    run, data = made_zsih(folder)
    encode.run(run, data, encode.Config(out=folder / "codes", splits="all", device="cpu"))
    out = folder / "index"
    index.run(folder / "codes", index.Config(out=out))
    return out / MANIFEST_NAME, [["search", out, house(folder), "--run", run]]


def house(folder: Path) -> Path:
    path = folder / "house.svg"
    path.write_text('<svg viewBox="0 0 9 9"><path d="M1 8V4L4 1L8 4V8Z" fill="none" stroke="black"/></svg>')
    return path


def made_zsih(folder: Path) -> tuple[Path, Path]:
    data = folder / "data"
    make_two_domains(data, drawings=2, photos=2)
    facts = {"branch": "hashing", "width": 8}
    return make_space_run(folder / "run", data, architecture=facts, trainer="zsih"), data


def encoding(run: Path, data: Path, folder: Path) -> list[object]:
    return ["encode", run, data, "--out", folder / "encoded", "--device", "cpu", "--overwrite"]


def sbir(folder: Path) -> Case:
    data = folder / "data"
    make_two_domains(data, drawings=2, photos=2)
    run = make_space_run(folder / "run", data)
    return run / RECORD, [["evaluate", run, "--device", "cpu", "--examples", "1"]]


def sbir_network(folder: Path) -> Case:
    path, _ = sbir(folder)
    return path.parent / MODEL, [encoding(path.parent, folder / "data", folder)]


def zsih(folder: Path) -> Case:
    run, data = made_zsih(folder)
    return run / RECORD, [encoding(run, data, folder)]


def zsih_network(folder: Path) -> Case:
    path, commands = zsih(folder)
    return path.parent / MODEL, commands


def dsf(folder: Path) -> Case:
    data = folder / "data"
    make_two_domains(data, drawings=2, photos=2)
    run = make_classifier_run(folder / "run", data)
    return run / RECORD, [["evaluate", run, "--device", "cpu"]]


def dsf_network(folder: Path) -> Case:
    path, _ = dsf(folder)
    drawing = house(folder)
    return path.parent / MODEL, [["recognise", path.parent, drawing], ["explain", path.parent, drawing]]


def opened(path: Path) -> tuple[Any, Callable[[bytes], object]]:
    """Return a record, JSON or what a file of tensors says of itself, and what writes another in its place."""
    if path.suffix == ".json":
        return orjson.loads(path.read_bytes()), path.write_bytes
    tensors, facts = read_tensors(path)
    return facts, lambda content: write_tensors(path, tensors, orjson.loads(content))


def places(value: Any, *before: Any) -> Iterator[tuple[Any, ...]]:
    """Yield where the fields of a record are; of many values of one kind, the first and the last."""
    if before:
        yield before
    if isinstance(value, dict):
        for name in value if len(value) < 25 else [min(value), max(value)]:
            yield from places(value[name], *before, name)
    elif isinstance(value, list):
        for number in sorted({0, len(value) - 1} if value else ()):
            yield from places(value[number], *before, number)


def edited(record: Any, place: tuple[Any, ...], wrong: Any) -> bytes:
    """Return a record with something else at a place."""
    record = orjson.loads(orjson.dumps(record))
    inner = record
    for name in place[:-1]:
        inner = inner[name]
    if wrong is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = wrong
    return orjson.dumps(record)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        drawings,
        edge_maps,
        edge_map_set,
        codes,
        code_index,
        begun_export,
        entropy_audit,
        duplicates_audit,
        summary_audit,
        messiness_audit,
        training,
        network,
        recogniser,
        two_domains,
        vectors,
        vector_index,
        approximate_index,
        photo_code_index,
        sbir,
        sbir_network,
        zsih,
        zsih_network,
        dsf,
        dsf_network,
    ],
)
def test_no_edit_of_a_record_ends_in_a_traceback(make: Callable[[Path], Case], tmp_path: Path) -> None:
    path, commands = make(tmp_path)
    record, write = opened(path)
    for command in commands:
        write(orjson.dumps(record))
        sketchdata(*command, expect=None)
        for place in places(record):
            for wrong in WRONG:
                write(edited(record, place, wrong))
                ended = sketchdata(*command, expect=None)
                assert ended.returncode in (0, 1), (command, place, wrong, ended.stderr)
                if ended.returncode and f"{path}: " in ended.stderr:
                    assert re.search("expected .+, found .+", ended.stderr), (command, place, wrong, ended.stderr)


@pytest.mark.parametrize("wrong", ["../other", "/etc/passwd", "data/../../x", "a//b", "a\\b", "", "a/", "./x", "x\0y"])
def test_a_path_of_a_manifest_stays_inside_its_folder(wrong: str, tmp_path: Path) -> None:
    path, (command, *_) = drawings(tmp_path)
    path.write_bytes(edited(orjson.loads(path.read_bytes()), ("files", 0, "path"), wrong))
    ended = sketchdata(*command, expect=1)
    assert re.search(r"manifest\.json: files\[0\]\.path: expected a path inside the folder, found ", ended.stderr)


def test_markup_in_a_record_is_printed_as_it_stands(tmp_path: Path) -> None:
    path, (command, *_) = drawings(tmp_path)
    path.write_bytes(edited(orjson.loads(path.read_bytes()), ("name",), "[red]:smile:[/] [/no]"))
    assert "[red]:smile:[/] [/no]" in sketchdata(*command).stdout
