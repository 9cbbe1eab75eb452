"""Tables IX and X: means and deviations over draws, and what was published beside what was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sketchdata.comparisons.zero_shot import TABLE_IX, TABLE_X, ZeroShotRow, markdown, summarise
from sketchdata.errors import ConfigError


def evaluation(hit: float, candidates: int = 4) -> dict[str, Any]:
    """Return the numbers of one recogniser that tables need."""
    parts = {
        part: {"hit@1": hit / size, "hit@5": hit, "candidates": candidates * size, "chance": {"hit@1": 0.1 / size}}
        for part, size in (("zsl", 1), ("gzsl", 2))
    }
    return {**parts, "harmonic_calibrated": {"unseen": hit, "seen": 0.5, "harmonic": hit / 2}, "method": "eve"}


def row(features: str, source: str, method: str, *hits: float) -> ZeroShotRow:
    return ZeroShotRow(
        features=features, source=source, method=method, summary=summarise([evaluation(hit) for hit in hits])
    )


def line_of(page: str, start: str) -> list[str]:
    """Return the cells of the one row of a page that begins like that."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_mean_and_deviation_are_those_of_numpy_at_every_depth() -> None:
    hits = np.random.default_rng(0).random(7)
    found = summarise([evaluation(float(hit)) for hit in hits])
    for own, values in ((found["zsl"]["hit@5"], hits), (found["gzsl"]["hit@1"], hits / 2)):
        assert own["mean"] == pytest.approx(values.mean(), abs=1e-12)
        assert own["sd"] == pytest.approx(values.std(ddof=1), abs=1e-12)
        assert own["count"] == 7
    assert found["zsl"]["chance"]["hit@1"]["sd"] == 0
    assert "method" not in found


def test_a_class_that_is_unseen_in_some_draws_counts_in_those() -> None:
    found = summarise([{"by_class": {"cat": 0.25, "sun": 1}}, {"by_class": {"cat": 0.75}}, {"by_class": {}}])
    assert found == {
        "by_class": {
            "cat": {"mean": 0.5, "sd": pytest.approx(np.sqrt(0.125)), "count": 2},
            "sun": {"mean": 1.0, "sd": None, "count": 1},
        }
    }


def test_what_is_no_number_is_left_out() -> None:
    assert summarise([{"a": None, "b": True, "c": "x", "d": [1], "e": {"f": "g"}, "h": 2}]) == {
        "h": {"mean": 2.0, "sd": None, "count": 1}
    }


def test_nothing_and_evaluations_of_different_forms_cannot_be_summarised() -> None:
    with pytest.raises(ConfigError, match="no evaluation to summarise"):
        summarise([])
    with pytest.raises(ConfigError, match="'zsl' is a number in one evaluation and a dictionary in another"):
        summarise([{"zsl": 1.0}, {"zsl": {"hit@1": 1.0}}])


def test_what_was_measured_stands_beside_what_was_published() -> None:
    rows = [
        row("CR", "words", "sae_reversed", 0.2, 0.4),
        row("CR", "edges", "eve", 0.6, 0.7),
        row("CNN", "edges", "eve_reversed", 0.1, 0.1),
        row("CR", "edges+words", "recipe", 0.8, 0.9),
    ]
    ninth, tenth = markdown(rows, words=["words"], edge_maps=["edges"]).split("## Features and directions")
    sae = line_of(ninth, "sae_reversed: SAE (sketch → word vector)")
    assert sae[1:5] == ["CR", "words", "0.3000 ± 0.1414", "0.3000 ± 0.1414"]
    assert sae[5] == "–"
    assert sae[-2] == "0.0817 / 0.2278 / 0.3413 / 0.5013"
    assert sae[-1] == "0.0011 / 0.0470 / 0.1105 / 0.2314"
    assert line_of(ninth, "eve: Full SZSR model")[-2].startswith("0.2148 / 0.5031")
    assert line_of(ninth, "recipe")[2:4] == ["edges+words", "0.8500 ± 0.0707"]
    assert line_of(ninth, "recipe")[-2:] == ["–", "–"]
    assert line_of(ninth, "AREN; from the paper alone")[3:-2] == ["–"] * 11
    assert line_of(tenth, "eve_reversed: CNN, sketch → edge map")[3] == "0.1000 ± 0.0000"
    assert line_of(tenth, "RNN, sketch ← edge map; from the paper alone")[-1] == "0.0554 / 0.2632 / 0.4040 / 0.5664"
    assert line_of(ninth, "*chance*")[3:6] == ["0.1000", "–", "–"]
    assert line_of(ninth, "*chance*")[-2] == "0.0069 / 0.0345 / 0.0690 / 0.1379"


def test_vectors_of_another_kind_are_not_put_beside_published_figures() -> None:
    rows = [row("CR", "edges", "sae", 0.2), row("CR", "words", "eve", 0.3)]
    page = markdown(rows, words=["words"], edge_maps=["edges"]).split("## Features")[0]
    for method in ("sae", "eve"):
        assert line_of(page, f"{method} |")[-2:] == ["–", "–"]
    assert len(line_of(page, "SAE (sketch ← word vector); from the paper alone")) == 16


def test_several_sources_of_a_kind_all_stand_beside_the_published_row() -> None:
    rows = [row("CR", source, "eve", 0.2) for source in ("canny", "pidinet", "canny+pidinet")]
    ninth, tenth = markdown(rows, edge_maps=["canny", "pidinet"]).split("## Features and directions")
    for page in (ninth, tenth):
        beside = [
            line.split("|")[3].strip() for line in page.splitlines() if line.startswith("| eve: Full SZSR model |")
        ]
        assert beside == ["canny", "pidinet"]
    assert line_of(ninth, "eve |")[2] == "canny+pidinet"


def test_every_page_says_that_published_figures_are_of_other_data() -> None:
    for rows in ([], [row("CR", "words", "dem", 0.5)]):
        page = markdown(rows, words=["words"])
        assert "QuickDraw-3.8M: 200 seen classes, 145 unseen ones" in page
        assert "not comparable" in page
        assert page.count("hit@1/5/10/20 (QuickDraw-3.8M, 200/145 classes)") == 4


def test_rows_of_different_numbers_of_classes_are_refused() -> None:
    other = summarise([{part: {"hit@1": 0.5, "chance": {"hit@1": 0.2}} for part in ("zsl", "gzsl")}])
    with pytest.raises(ConfigError, match="different numbers of classes"):
        markdown(
            [row("CR", "words", "dem", 0.5), ZeroShotRow(features="CR", source="words", method="sae", summary=other)]
        )


@pytest.mark.parametrize("published", [*TABLE_IX, *TABLE_X], ids=lambda each: each.title)
def test_published_hits_rise_with_k_and_are_fewer_among_all_classes(published: Any) -> None:
    for hits in (published.zsl, published.gzsl):
        assert list(hits) == sorted(hits)
    assert all(every < unseen for every, unseen in zip(published.gzsl, published.zsl, strict=True))
