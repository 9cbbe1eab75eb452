"""`sketchdata encode`, `index build` and `search` as people use them, on a network trained for a moment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.drawings.raster import raster
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats import ndjson, svg
from sketchdata.pipelines import search
from sketchdata.retrieval.code_folder import read_codes
from sketchdata.retrieval.index import KINDS
from sketchdata.storage.dataset import open_dataset
from sketchdata.training.encoder import encode, read_encoder
from sketchdata.training.packed import pack
from tests.commands import sketchdata
from tests.exports import flip_a_bit
from tests.retrievals import Place, build_index, make_place, plain_order
from tests.uploads import shows, uploads_of


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("search"))


@pytest.fixture(scope="module")
def asked(place: Place) -> Drawing:
    """A drawing of the query split."""
    dataset = open_dataset(place.data)
    return next(next(dataset.batches("query")).drawings(dataset.manifest.classes))


def answers(place: Place, *queries: object, **options: Any) -> tuple[search.SearchAnswer, ...]:
    """Search in this process."""
    given = {"run": place.run, **options}
    return search.run(given.pop("index", place.index), list(map(str, queries)), search.Config(**given)).answers


def ranking(answer: search.SearchAnswer) -> list[tuple[int, int]]:
    return [(result.distance, result.key_id) for result in answer.results]


def line_of(drawing: Drawing) -> bytes:
    words = Words()
    return ndjson.dump(to_batch([drawing], words), drawing.word)


@pytest.mark.slow
def test_a_drawing_is_encoded_indexed_and_searched_for_by_commands(
    place: Place, asked: Drawing, tmp_path: Path
) -> None:
    told = json.loads(sketchdata("encode", place.run, place.data, "--out", tmp_path / "codes", "--json").stdout)
    assert (told["bits"], told["splits"], told["ids"]) == (16, {"gallery": 36, "query": 12}, "key_id")
    said = sketchdata("index", "build", tmp_path / "codes", "--out", tmp_path / "index", "--kind", "hnsw").stdout
    assert "hnsw over 36 codes of 16 bits (gallery)" in said
    (tmp_path / "one.ndjson").write_bytes(line_of(asked))
    query = [tmp_path / "index", tmp_path / "one.ndjson", "--run", place.run, "-k", 5]
    found = json.loads(sketchdata("search", *query, "--json").stdout)
    assert found["index"] == {"kind": "hnsw", "bits": 16, "codes": 36, "split": "gallery"}
    (answer,) = found["queries"]
    assert (answer["query"], answer["class"], answer["key_id"]) == ("one.ndjson#1", asked.word, str(asked.key_id))
    assert [result["rank"] for result in answer["results"]] == [1, 2, 3, 4, 5]
    for result in answer["results"]:
        assert result["hit"] == (result["class"] == asked.word)
    assert set(answer) == {"query", "key_id", "class", "note", "results"}


@pytest.mark.slow
def test_results_are_a_table_for_people(place: Place) -> None:
    gallery = read_codes(place.codes, "gallery")
    shown = sketchdata("search", place.index, gallery.key_ids[0], "-k", 5).stdout
    assert f"{gallery.key_ids[0]} ({gallery.classes[gallery.labels[0]]})" in shown
    (answer,) = answers(place, gallery.key_ids[0], k=5)
    rows = [line.replace("│", " ").split() for line in shown.splitlines() if line.startswith("│")]
    assert rows == [
        [str(r.rank), str(r.key_id), r.word, str(r.distance), "✓" if r.hit else "✗"] for r in answer.results
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_results_are_the_nearest_by_distance_and_key_id(
    place: Place, asked: Drawing, tmp_path: Path, kind: str
) -> None:
    index = build_index(place.codes, tmp_path / "index", kind=kind)
    (answer,) = answers(place, asked.key_id, index=index, data=place.data, k=36)
    queries, gallery = (read_codes(place.codes, split) for split in ("query", "gallery"))
    code = queries.packed[queries.key_ids == asked.key_id][0]
    order = plain_order(gallery, code)
    if kind in ("flat", "ivf"):
        assert ranking(answer) == order
    else:
        assert ranking(answer) == sorted(ranking(answer))
        assert set(ranking(answer)) <= set(order)
    labels = dict(zip(gallery.key_ids.tolist(), gallery.labels.tolist(), strict=True))
    for result in answer.results:
        assert result.word == gallery.classes[labels[result.key_id]]
        assert result.hit == (result.word == asked.word)


@pytest.mark.slow
def test_one_drawing_is_one_query_whichever_way_it_is_given(place: Place, asked: Drawing, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(line_of(asked))
    (tmp_path / "a.svg").write_bytes(svg.dump(asked))
    found = answers(place, asked.key_id, tmp_path / "a.ndjson", tmp_path / "a.svg", data=place.data, k=20)
    assert ranking(found[0]) == ranking(found[1]) == ranking(found[2])
    assert {answer.query.word for answer in found} == {asked.word}


@pytest.mark.slow
def test_pictures_as_people_have_them_are_searched_for_by_their_ink_alone(
    place: Place, asked: Drawing, tmp_path: Path
) -> None:
    for name, content in uploads_of(asked).items():
        (tmp_path / name).write_bytes(content)
    found = answers(place, *sorted(tmp_path.iterdir()), k=7)
    assert [answer.query.name for answer in found] == sorted(uploads_of(asked))
    for answer in found:
        assert answer.query.drawing is not None
        assert shows(answer.query.drawing.strokes, asked), answer.query.name
        assert len(answer.results) == 7


@pytest.mark.slow
def test_a_picture_is_searched_for_by_the_code_of_its_strokes(place: Place, asked: Drawing, tmp_path: Path) -> None:
    words = Words()
    picture = raster(to_batch([asked], words), size=256, line_width=3)[0]
    cv2.imwrite(str(tmp_path / "a.png"), 255 - picture)
    (answer,) = answers(place, tmp_path / "a.png", k=7, word=asked.word)
    traced = answer.query.drawing
    assert traced is not None
    code = encode(read_encoder(place.run), pack([to_batch([traced], Words())], ("",))).packed[0]
    assert ranking(answer) == plain_order(read_codes(place.codes, "gallery"), code)[:7]
    assert [result.hit for result in answer.results] == [result.word == asked.word for result in answer.results]
    (nobody_knows,) = answers(place, tmp_path / "a.png", k=7)
    assert {result.hit for result in nobody_knows.results} == {None}


@pytest.mark.slow
def test_a_drawing_of_the_index_needs_no_network_and_is_not_found_by_itself(place: Place) -> None:
    gallery = read_codes(place.codes, "gallery")
    row = 7
    key_id = int(gallery.key_ids[row])
    (answer,) = answers(place, key_id, run=None, k=36)
    expected = [pair for pair in plain_order(gallery, gallery.packed[row]) if pair[1] != key_id]
    assert ranking(answer) == expected
    assert answer.query.word == gallery.classes[gallery.labels[row]]
    (few,) = answers(place, key_id, run=None, k=3)
    assert ranking(few) == expected[:3]


@pytest.mark.slow
def test_a_word_that_the_index_does_not_know_is_noted_and_one_of_the_option_refused(
    place: Place, asked: Drawing, tmp_path: Path
) -> None:
    line = line_of(asked).replace(f'"word":"{asked.word}"'.encode(), b'"word":"zebra"')
    (tmp_path / "zebra.ndjson").write_bytes(line)
    (answer,) = answers(place, tmp_path / "zebra.ndjson")
    assert answer.note == "the index has no class 'zebra', so no hits are marked"
    assert {result.hit for result in answer.results} == {None}
    with pytest.raises(ConfigError, match="no category 'hause'; did you mean house"):
        answers(place, tmp_path / "zebra.ndjson", word="hause")
    (told,) = answers(place, tmp_path / "zebra.ndjson", word="house")
    assert told.note is None
    assert [result.hit for result in told.results] == [result.word == "house" for result in told.results]


@pytest.mark.slow
def test_a_page_shows_the_queries_and_the_drawings_found(place: Place, asked: Drawing, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(line_of(asked))
    gallery = int(read_codes(place.codes, "gallery").key_ids[0])
    page = tmp_path / "pages" / "found.html"
    options = ["--run", place.run, "--data", place.data, "--html", page]
    done = sketchdata("search", place.index, tmp_path / "a.ndjson", gallery, asked.key_id, *options)
    assert "3 queries" in done.stdout
    text = page.read_text(encoding="utf-8")
    results = [
        result
        for answer in answers(place, tmp_path / "a.ndjson", gallery, asked.key_id, data=place.data)
        for result in answer.results
    ]
    assert text.count('class="result hit"') == sum(result.hit is True for result in results) > 0
    assert text.count('class="result miss"') == sum(result.hit is False for result in results) > 0
    assert text.count("<svg") == 3 + len(results)
    assert all(f'title="{result.key_id}"' in text for result in results)
    assert "http" not in text.replace("http-equiv", "")


@pytest.mark.slow
def test_a_page_shows_several_runs_side_by_side(place: Place, asked: Drawing, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(line_of(asked))
    other = build_index(place.codes, tmp_path / "other", kind="ivf")
    page, run = tmp_path / "found.html", Path(place.run).name
    beside = ["--beside", other, "--beside", f"{place.index}={place.run}"]
    options = ["--run", place.run, "--data", place.data, "-k", 4, "--html", page]
    sketchdata("search", place.index, tmp_path / "a.ndjson", *options, *beside)
    text = page.read_text(encoding="utf-8")
    assert [f"<h3>{number}. {run}</h3>" in text for number in (1, 2, 3)] == [True] * 3
    assert text.count('<section class="answer">') == 1
    assert text.count('<div class="run">') == 3
    assert text.count("<svg") == 1 + 3 * 4
    assert f"1. {run}: 36 codes of 16 bits (flat); 2. {run}: 36 codes of 16 bits (ivf)" in text
    refused = sketchdata("search", place.index, "1", "--beside", other, expect=1).stderr
    assert "--beside needs --html, the page that shows several runs" in refused


@pytest.mark.slow
def test_what_does_not_fit_together_is_refused_in_words(place: Place, asked: Drawing, tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_bytes(svg.dump(asked))
    other = shutil.copytree(place.run, tmp_path / "other")
    content = bytearray((other / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (other / "model.safetensors").write_bytes(content)
    refusals: list[tuple[str, dict[str, Any]]] = [
        ("by another network", {"run": other}),
        ("is not the folder of a training|has no model.safetensors", {"run": tmp_path / "none"}),
        ("give its run", {"run": None}),
        ("-k 37 is more than the 36 codes of the index", {"k": 37}),
        ("holds quickdraw-3.8m-codes, which is not an index", {"index": place.codes}),
        ("is not a finished data set", {"index": tmp_path / "none"}),
    ]
    for message, options in refusals:
        with pytest.raises(SketchDataError, match=message):
            answers(place, tmp_path / "a.svg", **options)
    with pytest.raises(ConfigError, match="key_id 12 is not in the index: give the data set"):
        answers(place, 12)
    with pytest.raises(ConfigError, match="key_id 12 is neither in the index nor in"):
        answers(place, 12, data=place.data)


@pytest.mark.slow
def test_commands_say_what_is_wrong_and_with_which_exit_code(place: Place, asked: Drawing, tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_bytes(svg.dump(asked))
    broken = shutil.copytree(place.index, tmp_path / "broken")
    flip_a_bit(broken / "codes.npy")
    query = ["search", place.index, tmp_path / "a.svg"]
    refusals: list[tuple[int, str, list[Any]]] = [
        (2, "0 is not in the range", [*query, "-k", 0]),
        (2, "exclude each other", [*query, "--json", "--html", tmp_path / "a.html"]),
        (1, "--html needs --data", [*query, "--html", tmp_path / "a.html"]),
        (1, "give its run", query),
        (1, "codes.npy is damaged", ["search", broken, tmp_path / "a.svg"]),
        (1, "which is not a folder of codes", ["index", "build", place.data, "--out", tmp_path / "x"]),
    ]
    for code, message, arguments in refusals:
        assert message in " ".join(sketchdata(*arguments, expect=code).stderr.split())
    assert not (tmp_path / "a.html").exists()
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_page_of_drawings_that_the_data_set_does_not_have_is_refused(place: Place, tmp_path: Path) -> None:
    found = search.run(place.index, [str(read_codes(place.codes, "gallery").key_ids[0])], search.Config(k=5))
    from tests.builds import small_dataset

    small_dataset(tmp_path)
    with pytest.raises(ConfigError, match=r"6 of 6 drawings are not in .*, key_id \d+ among them"):
        search.drawings_of(found, tmp_path / "dataset")
    assert len(search.drawings_of(found, place.data)) == 6


@pytest.mark.slow
def test_no_more_queries_than_can_be_answered_at_once(place: Place, asked: Drawing, tmp_path: Path) -> None:
    (tmp_path / "many.ndjson").write_bytes(line_of(asked) * 10_001)
    with pytest.raises(ConfigError, match="more than 10,000 drawings: name a line of it"):
        answers(place, tmp_path / "many.ndjson")
    assert np.unique(
        [r.rank for r in answers(place, f"{tmp_path / 'many.ndjson'}#10001", k=4)[0].results]
    ).tolist() == [1, 2, 3, 4]
