"""What is read of a folder of edge maps that was audited and decided on: which of them go, and why."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from sketchdata.curation.audit import read_audit
from sketchdata.curation.decisions import DECISIONS_FILE, Decision, DecisionLog
from sketchdata.curation.plan import Curation, read_curation
from sketchdata.errors import SketchDataError
from sketchdata.pipelines import edgemaps_curate
from tests.edge_map_sets import CLASSES, EDGE_MAPS, make_edge_maps
from tests.quickdraw_builds import IN_PROCESS


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_edge_maps(tmp_path_factory.mktemp("decisions"))
    assert edgemaps_curate.run(made.edges, edgemaps_curate.Config(), IN_PROCESS) is not None
    return made.edges


@pytest.fixture
def edges(audited: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(audited, tmp_path / "edges"))


def decide(directory: Path, verdict: str, *key_ids: int) -> None:
    log = DecisionLog(directory / "audit" / DECISIONS_FILE)
    log.append([Decision(who="ada", key_id=key_id, verdict=verdict) for key_id in key_ids])


def removed(curation: Curation) -> set[int]:
    return set(curation.audit.key_id[curation.removed].tolist())


def test_without_decisions_the_noise_goes_and_with_them_the_last_word_counts(edges: Path) -> None:
    before = read_curation(edges, "messiness")
    noise, normal = (before.audit.key_id[before.audit.noise == each].tolist() for each in (True, False))
    assert removed(before) == set(noise)
    assert before.decisions == hashlib.sha256(b"").hexdigest()
    decide(edges, "keep", noise[0], noise[1])
    decide(edges, "drop", normal[0], normal[1], normal[2])
    decide(edges, "undo", noise[1], normal[2])
    after = read_curation(edges, "messiness")
    assert removed(after) == {*noise[1:], normal[0], normal[1]}
    assert after.decisions == hashlib.sha256((edges / "audit/decisions.jsonl").read_bytes()).hexdigest()
    assert removed(read_curation(edges, "messiness", noise=False)) == {normal[0], normal[1]}


def test_what_goes_and_what_stays_is_counted_by_class(edges: Path) -> None:
    audit = read_audit(edges, "messiness")
    star = audit.key_id[audit.label == CLASSES.index("star")].tolist()
    apple_noise = audit.key_id[(audit.label == CLASSES.index("apple")) & audit.noise].tolist()
    decide(edges, "drop", star[0], star[1])
    decide(edges, "keep", apple_noise[0])
    curation = read_curation(edges, "messiness")
    masks = (curation.noise, curation.dropped, curation.kept)
    noise, dropped, kept = (curation.count(mask)["all"] for mask in masks)
    assert (noise["apple"], noise["star"], kept["apple"]) == (len(apple_noise) - 1, 0, 1)
    assert (dropped["star"], sum(dropped.values()), sum(kept.values())) == (2, 2, 1)
    assert set(noise) == set(CLASSES)
    assert len(curation.removed) == sum(EDGE_MAPS.values())


def test_scores_and_measures_are_found_by_key_id(edges: Path) -> None:
    audit = read_audit(edges, "messiness")
    wanted = audit.key_id[[70, 3, 3, 11]]
    rows = audit.rows_of(wanted)
    assert rows.tolist() == [70, 3, 3, 11]
    assert audit.score[rows].tolist() == audit.score[[70, 3, 3, 11]].tolist()
    assert set(audit.measures) == {"density", "entropy", "fragments", "loose", "border", "distance"}
    with pytest.raises(SketchDataError, match=r"has no row with key_id 7: run `sketchdata edgemaps curate"):
        audit.rows_of(np.array([int(wanted[0]), 7], np.uint64))


def test_decisions_on_other_edge_maps_concern_nobody_and_are_counted(edges: Path) -> None:
    decide(edges, "drop", 7, 8)
    curation = read_curation(edges, "messiness")
    assert curation.unknown_ids == 2
    assert not curation.dropped.any()


def test_without_an_audit_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    edges = make_edge_maps(tmp_path, {"apple": 4}).edges
    with pytest.raises(
        SketchDataError, match=f"has no finished messiness audit.*run `sketchdata edgemaps curate {edges}"
    ):
        read_curation(edges, "messiness")
