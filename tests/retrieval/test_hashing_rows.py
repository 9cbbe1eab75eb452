"""The rows of the comparison, chosen by name, and its tables, with the published figures beside the measured ones."""

from __future__ import annotations

from typing import Any

import pytest

from sketchdata.comparisons import hashing
from sketchdata.comparisons.hashing import (
    ABLATIONS,
    HashingRow,
    MeasuredRow,
    RowKind,
    all_rows,
    chosen_rows,
    markdown,
)
from sketchdata.errors import ConfigError
from sketchdata.retrieval.shallow_hashing import SHALLOW_HASHERS


def names(wanted: str, *, lengths: str = "16,64", fixed: int = 32, unseen: int = 20) -> list[str]:
    return [row.name for row in chosen_rows(wanted, lengths, fixed, unseen)]


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_every_row_has_a_name_of_its_own_and_a_title() -> None:
    rows = chosen_rows("all", "16,24,32,64", 32, 20)
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.title for row in rows)
    deep = [row for row in rows if row.table == "II"]
    assert len(deep) == 4 * 11
    assert len([row for row in rows if row.table == "III"]) == 4 * 2 * len(SHALLOW_HASHERS)
    assert [row.name for row in rows if row.table == "ours"] == [f"{name}-32" for name in ABLATIONS]
    assert [row.name for row in rows if row.table == "VII"] == [
        f"unseen-{name}-32" for name in ("dlbhc", "dsh-sketch", "cr-scl-ql", "sketchcode")
    ]
    assert [row.name for row in rows if row.table == "V"] == [
        "sketch-a-net", "resnet50", "recognise-cnn", "recognise-rnn", "recognise-cel", "recognise-scl"
    ]  # fmt: skip


def test_a_name_means_all_lengths_and_a_longer_one_a_single_row() -> None:
    assert names("cr-cel") == ["cr-cel-16", "cr-cel-64"]
    assert names("cr-cel-64") == ["cr-cel-64"]
    assert names("pca_itq-deep-16,sketchcode") == ["sketchcode-16", "sketchcode-64", "pca_itq-deep-16"]
    assert names("sketchcode-ink") == ["sketchcode-ink-32"]
    assert names("recognise-cel") == ["recognise-cel"]
    assert names("unseen-dlbhc", fixed=16) == ["unseen-dlbhc-16"]


def test_a_star_means_all_rows_that_begin_so() -> None:
    assert names("unseen-*") == [row.name for row in all_rows((16, 64), 32, 20) if row.unseen]
    assert names("recognise-*") == ["recognise-cnn", "recognise-rnn", "recognise-cel", "recognise-scl"]
    assert names("lsh*") == ["lsh-deep-16", "lsh-hog-16", "lsh-deep-64", "lsh-hog-64"]
    assert names("cr-cel-6*") == ["cr-cel-64"]
    assert names("*") == names("all")


def test_rows_come_once_and_in_their_own_order_however_they_are_named() -> None:
    assert names(" sketchcode-64, cr-cel-64 ,cr-*,,sketchcode-64", lengths="64, 64") == [
        *names("cr-*", lengths="64"), "sketchcode-64"
    ]  # fmt: skip


@pytest.mark.parametrize("wanted", ["nothing", "cr-cel-24", "cr-", "nothing*", "cr-cel-16x", "unseen-csq"])
def test_an_unknown_row_is_refused_by_name_with_those_there_are(wanted: str) -> None:
    with pytest.raises(
        ConfigError, match=r"there is no row '.*': choose from dsh-pair, .*sketchcode.*, or all"
    ) as error:
        names(f"cr-cel,{wanted}")
    assert repr(wanted) in str(error.value)


@pytest.mark.parametrize("lengths", ["", ",", "a", "0", "-16", "16;64", "16.0"])
def test_other_lengths_are_refused(lengths: str) -> None:
    with pytest.raises(ConfigError, match=r"--bits takes lengths such as 16,64, not '"):
        names("all", lengths=lengths)


def test_zero_shot_rows_need_two_classes_and_none_leaves_them_out() -> None:
    with pytest.raises(ConfigError, match="--unseen must be 0, for no such rows, or at least 2"):
        names("cr-cel", unseen=1)
    assert not [name for name in names("all", unseen=0) if name.startswith("unseen")]
    with pytest.raises(ConfigError, match="no row 'unseen-dlbhc'"):
        names("unseen-dlbhc", unseen=0)
    assert {row.unseen for row in chosen_rows("unseen-*", "16", 32, 7)} == {7}


def test_bitmaps_are_enough_for_rows_of_pictures_of_ink() -> None:
    enough = {
        row.key for row in chosen_rows("all", "16", 16, 2) if not row.needs_points and row.kind is not RowKind.SHALLOW
    }
    pictures = {"sketch-a-net", "resnet50", "recognise-cnn", "dlbhc", "sketchcode"}
    assert enough == pictures | {"dsh-pair", "dsh-sketch", "greedyhash", "csq", "orthohash"} | {
        name
        for name in ABLATIONS
        if name != "sketchcode-ink"  # which is sketchcode itself there
    }
    assert not any(row.needs_points for row in chosen_rows("all", "16", 16, 2) if row.kind is RowKind.SHALLOW)


def test_every_published_figure_belongs_to_a_row() -> None:
    rows = chosen_rows("all", "16,24,32,64", 32, 20)
    keys = {row.key for row in rows if row.table in ("II", "III")}
    for table in (hashing.MAP, hashing.PRECISION, hashing.SPREAD):
        assert set(table) <= keys
        assert all(tuple(columns) == hashing.BITS for columns in table.values())
    assert set(hashing.ACCURACY) <= {row.name for row in rows}
    assert set(hashing.ZERO_SHOT) <= {row.key for row in rows if row.unseen}
    assert all(0 < value < 1 for columns in hashing.MAP.values() for value in columns.values())


# ---- tables ----------------------------------------------------------------------------------------------------------

FACTS: dict[str, Any] = {
    "classes": 19,
    "drawings": {"train": 1900, "val": 190, "gallery": 380, "query": 76},
    "options": {
        "backbone": "small",
        "size": 32,
        "layers": 2,
        "hidden": 64,
        "recipe_backbone": "thin",
        "recipe_size": None,
        "seed": 3,
        "seeds": 1,
    },
    "device": "cuda:0",
    "threads": 1,
    "torch": "2.0",
}


def retrieval(expected: float) -> dict[str, Any]:
    measures = {"expected": expected, "pessimistic": expected - 0.01, "optimistic": expected + 0.0213}
    return {
        "definition": "The mean over queries of what was defined.",
        "chance": 0.0526,
        "gallery": 380,
        "k": 200,
        "map": {**measures, "query_interval": [expected - 0.1, expected + 0.1]},
        "precision_at_k": {"expected": 0.4321},
    }


def measured(name: str, expected: float = 0.5, unseen: int = 20, **others: Any) -> MeasuredRow:
    (row,) = chosen_rows(name, "16,24,32,64", 32, unseen)
    facts: dict[str, Any] = {"accuracy": 0.7777, "epochs": 15, "parameters": 1_234_567, "seconds": 61.7}
    if row.kind is not RowKind.RECOGNITION:
        facts |= {"retrieval": retrieval(expected), "spread": {"d1": 1.0, "d2": 8.0, "ratio": 0.125}}
    return MeasuredRow(row=row, seeds=[{**facts, **others}])


def table(text: str, title: str) -> list[dict[str, str]]:
    """Return the rows of the table below a title, by column."""
    below = text.split(f"## {title}")[1].split("\n## ")[0].splitlines()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in below if line.startswith("|")]
    head, _, *rows = lines
    assert all(len(row) == len(head) for row in rows)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_a_table_has_what_was_measured_beside_what_was_published() -> None:
    text = markdown(FACTS, [measured("cr-scl-ql-64", 0.5), measured("csq-16", 0.25), measured("dlbhc-24", 0.125)])
    full, csq, dlbhc = table(text, "Deep methods (Table II)")
    assert full == {
        "method": "CR + CEL + SCL + QL",
        "bits": "64",
        "mAP": "0.5000",
        "worst to best order of ties": "0.4900 – 0.5213",
        "95 % over queries": "0.400 – 0.600",
        "P@200": "0.4321",
        "top-1": "0.7777",
        "epochs": "15",
        "parameters": "1,234,567",
        "seconds": "62",
        # Table II, its last row and column.
        "paper's mAP": "0.6791",
        "paper's P@200": "0.6882",
    }
    assert (csq["mAP"], csq["paper's mAP"], csq["paper's P@200"]) == ("0.2500", "–", "–")
    assert (dlbhc["paper's mAP"], dlbhc["paper's P@200"]) == ("0.5910", "0.5917")
    spreads = table(text, "Spread of the classes (Table VI)")
    assert spreads[0] == {
        "method": "CR + CEL + SCL + QL",
        "bits": "64",
        "d1": "1.0000",
        "d2": "8.0000",
        "d1/d2": "0.125",
        "paper's d1": "2.5231",
        "paper's d2": "17.6179",
        "paper's d1/d2": "0.143",
    }
    assert [spreads[1][f"paper's {name}"] for name in ("d1", "d2", "d1/d2")] == ["–", "–", "–"]


def test_several_seeds_are_shown_as_mean_and_sample_deviation() -> None:
    one, other, third = (measured("cr-scl-16", expected).seeds[0] for expected in (0.4, 0.5, 0.9))
    row = MeasuredRow(row=measured("cr-scl-16").row, seeds=[one, {**other, "accuracy": None}, third])
    text = markdown({**FACTS, "options": {**FACTS["options"], "seeds": 3}}, [row])
    (found,) = table(text, "Deep methods (Table II)")
    assert (found["mAP"], found["top-1"]) == ("0.6000 ± 0.2646", "0.7777 ± 0.0000")
    assert found["95 % over queries"] == "0.300 – 0.500"
    assert "Mean ± sample deviation over 3 seeds; bounds, intervals and pictures are of the first." in text


def test_the_cost_of_a_search_is_told_for_galleries_of_any_size_beside_the_papers() -> None:
    def cost(bits: int, gallery: int, seconds: float) -> dict[str, Any]:
        sizes = {"codes_bytes": 2e6, "search_bytes": 3e6, "peak_bytes": 4e9}
        return {"bits": bits, "gallery": gallery, "seconds": seconds, "definition": "Seconds of a search.", **sizes}

    rows = [
        measured("cr-scl-64", cost=[cost(64, 2850, 0.001), cost(64, 345_000, 0.1)]),
        measured("dlbhc-16", cost=[cost(16, 2850, 0.0005)]),
        measured("csq-16", cost=[cost(16, 2850, 9.0)]),
    ]
    text = markdown(FACTS, rows)
    found = table(text, "Cost of a search (Table IV)")
    assert [(row["bits"], row["gallery"], row["seconds per query"]) for row in found] == [
        ("16", "2,850", "0.000500"),
        ("16, the paper's", "345,000", "0.089"),
        ("64", "2,850", "0.001000"),
        ("64", "345,000", "0.100000"),
        ("64, the paper's", "345,000", "0.286"),
    ]
    assert "Seconds of a search." in text


def test_shallow_and_zero_shot_and_recognition_rows_have_tables_of_their_own() -> None:
    rows = ["sdh-deep-16", "dsh_density-hog-24", "pca_rr-hog-32", "unseen-cr-scl-ql", "unseen-sketchcode"]
    text = markdown(FACTS, [measured(name) for name in (*rows, "recognise-scl", "resnet50", "recognise-cnn")])
    shallow = table(text, "Shallow methods (Table III)")
    assert [(row["method"], row["paper's mAP"]) for row in shallow] == [
        ("SDH, deep features", "0.5781"),
        ("DSH, HOG", "0.0183"),
        ("PCA-RR, HOG", "–"),
    ]
    zero = table(text, "Zero-shot hashing (Table VII)")
    assert [row["paper's mAP"] for row in zero] == ["0.7547", "–"]
    assert "20 classes that no training saw. A random order has a mAP of 0.0664." in text
    assert "top-1" not in zero[0]
    recognition = table(text, "Recognition (Table V)")
    assert [row["paper's"] for row in recognition] == ["0.8051", "0.7864", "0.7376"]
    assert {row["top-1 of gallery"] for row in recognition} == {"0.7777"}
    assert {row["chance"] for row in recognition} == {f"{1 / 19:.4f}"}


def test_the_papers_zero_shot_figure_stands_beside_its_own_length_alone() -> None:
    for fixed, shown in ((32, "0.7094"), (16, "–")):
        (row,) = chosen_rows("unseen-dlbhc", "16,32", fixed, 20)
        seeds = measured("unseen-dlbhc").seeds
        (found,) = table(markdown(FACTS, [MeasuredRow(row=row, seeds=seeds)]), "Zero-shot hashing (Table VII)")
        assert found["paper's mAP"] == shown


def test_ablations_have_no_published_figures_and_what_is_unknown_is_a_dash() -> None:
    text = markdown(FACTS, [measured("sketchcode-ink", spread={"d1": 1.0, "d2": 0.0, "ratio": None})])
    (row,) = table(text, "The contribution of each part of our recipe")
    assert row["d1/d2"] == "–"
    assert "paper's mAP" not in row


def test_the_notes_tell_the_data_the_chance_and_the_definition() -> None:
    text = markdown(FACTS, [measured("unseen-dlbhc"), measured("cr-cel-16")])
    assert "19 classes: 1,900 drawings to learn from, 190 of val" in text
    assert "76 of query search 380 of gallery" in text
    assert "A random order has a mean average precision of 0.0664. The mean over queries of what was defined." in text
    assert "small at 32 pixels, a GRU of 2 layers, 64 wide; sketchcode's: thin at 32 pixels." in text
    assert "on cuda:0, 1 threads" in text
    larger = {**FACTS, "options": {**FACTS["options"], "recipe_size": 64}}
    assert "sketchcode's: thin at 64 pixels." in markdown(larger, [])
    assert "torch 2.0; seed 3." in text
    assert text.endswith("\n")


def test_without_rows_there_are_notes_alone() -> None:
    text = markdown(FACTS, [])
    assert "Chance" not in text
    assert "## " not in text


def test_a_key_is_the_name_without_length_and_kind_of_classes() -> None:
    assert HashingRow(name="unseen-dlbhc-32", kind=RowKind.HASHING, method="dlbhc", bits=32, unseen=5).key == "dlbhc"
    assert HashingRow(name="resnet50", kind=RowKind.RECOGNITION, method="resnet50").key == "resnet50"
