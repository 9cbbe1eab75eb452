"""`sketchdata recognise` as people use it, with a network trained for a moment and a zero-shot run made by hand."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from sketchdata.api.recogniser import Recognition
from sketchdata.cli.recognise import recognise as command
from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.drawings.raster import raster
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats import ndjson, svg
from sketchdata.pipelines import recognise
from sketchdata.storage.dataset import open_dataset
from sketchdata.trainers import recognition
from sketchdata.training.encoder import embed, read_encoder
from sketchdata.training.packed import pack
from sketchdata.training.voting import vote_all
from sketchdata.zero_shot.recogniser import KeptRecogniser, read_recognisers, write_recogniser
from tests.commands import sketchdata
from tests.pictures import words_of
from tests.trainings import CLASSES, EPOCHS, generated_dataset, loop, network
from tests.uploads import shows, uploads_of
from tests.zero_shot_runs import UNSEEN, WIDTH, write_zero_shot_run

pytestmark = pytest.mark.slow

#: What the recognisers of the run say of themselves; `words.sae` is the best one, and takes much off seen classes.
KEPT: dict[tuple[str, str], dict[str, Any]] = {
    ("edges", "sae"): {"validation_hit": 0.4},
    ("edges", "eszsl"): {"validation_hit": 0.5},
    ("words", "sae"): {"validation_hit": 0.6, "gamma": 9.0},
    ("words", "relation"): {"validation_hit": None},
}


@dataclass(frozen=True)
class Place:
    """A data set of generated drawings, a zero-shot run, and one of recognition."""

    data: Path
    zsl: Path
    classifier: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder, threads = tmp_path_factory.mktemp("recognise"), torch.get_num_threads()
    data, run = generated_dataset(folder), folder / "classifier"
    torch.set_num_threads(1)
    try:
        config = recognition.Config(data=data, out=run, width=16, **EPOCHS)
        recognition.run(config, network(branch="cnn"), loop())
        zsl = write_zero_shot_run(folder / "zsl", data, KEPT)
    finally:
        torch.set_num_threads(threads)
    return Place(data, zsl, run)


@pytest.fixture(scope="module")
def asked(place: Place) -> list[Drawing]:
    """A drawing of each class."""
    dataset = open_dataset(place.data)
    return [next(dataset.first("query", 1, word).drawings(dataset.manifest.classes)) for word in CLASSES]


def answers(run: Path, *files: object, **options: Any) -> tuple[Recognition, ...]:
    """Recognise in this process."""
    return recognise.run(run, list(map(str, files)), recognise.Config(**{"device": "cpu", **options})).answers


def write_lines(path: Path, drawings: list[Drawing]) -> Path:
    words = Words()
    path.write_bytes(b"".join(ndjson.dump(to_batch([drawing], words), drawing.word) for drawing in drawings))
    return path


def numbers_of(run: Path, drawings: list[Drawing]) -> np.ndarray:
    words = Words()
    return embed(read_encoder(run), pack([to_batch(drawings, words)], tuple(words.names)))


def by_name(run: Path) -> dict[str, KeptRecogniser]:
    return {kept.name: kept for kept in read_recognisers(run)}


def guessed(answer: Recognition) -> list[tuple[str, float]]:
    return [(guess.word, guess.score) for guess in answer.guesses]


def ordered(scores: np.ndarray, candidates: list[int]) -> list[tuple[str, float]]:
    order = sorted(candidates, key=lambda place: -scores[place])
    return [(CLASSES[place], float(scores[place])) for place in order]


def said_here(*arguments: object) -> str:
    """Return what the command prints in this process, which is quicker than in another one."""
    done = CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


EVERY = list(range(len(CLASSES)))


def test_drawings_are_recognised_by_the_best_recogniser_with_gamma(
    place: Place, asked: list[Drawing], tmp_path: Path
) -> None:
    lines = write_lines(tmp_path / "a.ndjson", asked)
    found = json.loads(sketchdata("recognise", place.zsl, lines, "--json").stdout)
    assert found["recogniser"] == {"vectors": "words", "method": "sae", "validation_hit": 0.6}
    assert found["candidates"] == 3
    assert (found["score"]["kind"], found["score"]["gamma"]) == ("cosine", 9.0)
    scores = by_name(place.zsl)["words.sae"].recogniser.scores(numbers_of(place.zsl, asked), calibrated=True)
    for number, (drawing, told, row) in enumerate(zip(asked, found["drawings"], scores, strict=True), 1):
        assert (told["drawing"], told["class"]) == (f"a.ndjson#{number}", drawing.word)
        assert told["key_id"] == str(drawing.key_id)
        expected = ordered(row, EVERY)
        assert [guess["class"] for guess in told["guesses"]] == [word for word, _ in expected]
        assert [g["score"] for g in told["guesses"]] == pytest.approx([score for _, score in expected], abs=1e-5)
        assert [guess["unseen"] for guess in told["guesses"]] == [word in UNSEEN for word, _ in expected]
        assert [guess["hit"] for guess in told["guesses"]] == [word == drawing.word for word, _ in expected]
        own_rank = [word for word, _ in expected].index(drawing.word) + 1
        assert (told["rank_of_class"], told["right"]) == (own_rank, own_rank == 1)
    # With so much taken off the others, the unseen class comes first everywhere.
    assert {told["guesses"][0]["class"] for told in found["drawings"]} == {"star"}
    assert [told["right"] for told in found["drawings"]] == [word == "star" for word in CLASSES]


def test_gamma_can_be_left_out_and_seen_classes_too(place: Place, asked: list[Drawing], tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "a.ndjson", asked)
    scores = by_name(place.zsl)["words.sae"].recogniser.scores(numbers_of(place.zsl, asked))
    for answer, row in zip(answers(place.zsl, lines, plain=True), scores, strict=True):
        expected = ordered(row, EVERY)
        assert [word for word, _ in guessed(answer)] == [word for word, _ in expected]
        assert [s for _, s in guessed(answer)] == pytest.approx([s for _, s in expected], abs=1e-5)
        assert answer.middle == pytest.approx(float(np.median(row)), abs=1e-5)
    found = recognise.run(place.zsl, [str(lines)], recognise.Config(among="unseen", device="cpu"))
    assert found.recogniser.gamma == 0
    for drawing, answer, row in zip(asked, found.answers, scores, strict=True):
        assert guessed(answer) == [("star", pytest.approx(float(row[CLASSES.index("star")]), abs=1e-5))]
        seen = drawing.word != "star"
        assert answer.right is (None if seen else True)
        assert answer.note == (f"{drawing.word!r} is a seen class, not among the 1 unseen ones" if seen else None)


@pytest.mark.parametrize(
    ("options", "name", "measure"),
    [
        ({}, "words.sae", "cosine"),
        ({"vectors": "edges"}, "edges.eszsl", "product"),
        ({"vectors": "edges", "method": "sae"}, "edges.sae", "cosine"),
        ({"method": "relation"}, "words.relation", "relation"),
    ],
)
def test_a_recogniser_is_chosen_by_vectors_and_method(
    place: Place, asked: list[Drawing], tmp_path: Path, options: dict[str, str], name: str, measure: str
) -> None:
    (tmp_path / "a.svg").write_bytes(svg.dump(asked[0]))
    found = recognise.run(place.zsl, [str(tmp_path / "a.svg")], recognise.Config(device="cpu", plain=True, **options))
    assert found.recogniser.kept is not None
    assert (found.recogniser.kept.name, found.recogniser.measure) == (name, measure)
    (row,) = by_name(place.zsl)[name].recogniser.scores(numbers_of(place.zsl, asked[:1]))
    assert [w for w, _ in guessed(found.answers[0])] == [w for w, _ in ordered(row, EVERY)]


def test_a_classifier_gives_probabilities_of_what_it_learned(
    place: Place, asked: list[Drawing], tmp_path: Path
) -> None:
    lines = write_lines(tmp_path / "a.ndjson", asked)
    trained, words = read_encoder(place.classifier), Words()
    packed = pack([to_batch(asked, words)], tuple(words.names))
    with torch.no_grad():
        _, logits = trained(trained.view.batch(packed, torch.arange(len(asked))))
    expected = logits.double().softmax(1).numpy()
    for answer, row in zip(answers(place.classifier, lines), expected, strict=True):
        assert sum(score for _, score in guessed(answer)) == pytest.approx(1)
        assert guessed(answer) == [(w, pytest.approx(s, abs=1e-5)) for w, s in ordered(row, EVERY)]
        assert not any(guess.unseen for guess in answer.guesses)
    (first, *_) = answers(place.classifier, lines, top=2)
    assert [guess.rank for guess in first.guesses] == [1, 2]


def test_options_of_zero_shot_runs_are_refused_for_classifiers(
    place: Place, asked: list[Drawing], tmp_path: Path
) -> None:
    (tmp_path / "a.svg").write_bytes(svg.dump(asked[0]))
    for options, named in (
        ({"among": "unseen"}, "leave out --among,"),
        ({"plain": True, "vectors": "edges"}, "leave out --plain, --vectors,"),
        ({"method": "eve"}, "leave out --method,"),
    ):
        with pytest.raises(ConfigError, match=f"a training of recognition, whose classifier .* {named}"):
            answers(place.classifier, tmp_path / "a.svg", **options)


def test_one_drawing_is_one_answer_whichever_way_it_is_given(
    place: Place, asked: list[Drawing], tmp_path: Path
) -> None:
    (tmp_path / "a.svg").write_bytes(svg.dump(asked[1]))
    lines = write_lines(tmp_path / "a.ndjson", asked)
    given = [tmp_path / "a.svg", f"{lines}#2", asked[1].key_id]
    # One at a time, as sums in a batch may differ in their last bits.
    found = [answers(place.zsl, each)[0] for each in given]
    assert guessed(found[0]) == guessed(found[1]) == guessed(found[2])
    assert {answer.query.word for answer in found} == {asked[1].word}
    together = answers(place.zsl, *given)
    assert [a.query.name for a in together] == ["a.svg", "a.ndjson#2", str(asked[1].key_id)]


def test_a_picture_of_a_drawing_is_recognised_by_its_strokes(
    place: Place, asked: list[Drawing], tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), 255 - raster(to_batch([asked[0]], Words()), size=256, line_width=3)[0])
    (answer,) = answers(place.classifier, tmp_path / "a.png")
    assert (answer.own_rank, answer.right, answer.note) == (None, None, None)
    assert {guess.hit for guess in answer.guesses} == {None}
    (told,) = answers(place.classifier, tmp_path / "a.png", word="cat")
    assert told.own_rank is not None
    assert [guess.hit for guess in told.guesses] == [guess.word == "cat" for guess in told.guesses]


def test_pictures_as_people_have_them_are_recognised_by_their_ink_alone(
    place: Place, asked: list[Drawing], tmp_path: Path
) -> None:
    for name, content in uploads_of(asked[0]).items():
        (tmp_path / name).write_bytes(content)
    found = answers(place.classifier, *sorted(tmp_path.iterdir()))
    assert [answer.query.name for answer in found] == sorted(uploads_of(asked[0]))
    for answer in found:
        assert answer.query.drawing is not None
        assert shows(answer.query.drawing.strokes, asked[0]), answer.query.name


def test_a_word_that_is_no_class_is_noted_and_one_of_the_option_refused(
    place: Place, asked: list[Drawing], tmp_path: Path
) -> None:
    lines = write_lines(tmp_path / "zebra.ndjson", asked[:1])
    lines.write_bytes(lines.read_bytes().replace(b'"cat"', b'"zebra"'))
    (answer,) = answers(place.zsl, lines)
    assert answer.note == "there is no 'zebra' among the 3 classes to recognise"
    assert (answer.right, {guess.hit for guess in answer.guesses}) == (None, {None})
    with pytest.raises(ConfigError, match="no category 'hause'; did you mean house"):
        answers(place.zsl, lines, word="hause")


def test_tables_are_for_people(place: Place, asked: list[Drawing], tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "a.ndjson", asked)
    shown = sketchdata("recognise", place.zsl, lines, "--device", "cpu").stdout
    assert shown.startswith("sae from words, among 3 classes, 1 of them unseen; score: cosine of the angle")
    assert "minus 9 (γ) for seen classes" in shown
    assert "a.ndjson#3 (star): right" in shown
    assert "1 of 3 right (chance 1 of 3)" in shown
    rows = [line.replace("│", " ").split() for line in shown.splitlines() if line.startswith("│")]
    expected = [guess for answer in answers(place.zsl, lines) for guess in answer.guesses]
    assert [(row[0], row[1], row[3], row[4:]) for row in rows] == [
        (str(g.rank), g.word, "unseen" if g.unseen else "seen", ["✓"] if g.hit else []) for g in expected
    ]
    assert [float(row[2]) for row in rows] == pytest.approx([guess.score for guess in expected], abs=1e-2)
    (last,) = (line for line in shown.splitlines() if line.startswith("a.ndjson#1"))
    assert last.startswith("a.ndjson#1 (cat): wrong: cat has rank ")
    plain = said_here(place.classifier, f"{lines}#1", "--top", 1)
    assert plain.startswith("3 classes; score: probability by the network's classifier")
    assert "unseen" not in plain


def test_a_picture_of_the_answers_is_written_beside_them(place: Place, asked: list[Drawing], tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "a.ndjson", asked)
    page = tmp_path / "pictures" / "a.svg"
    done = sketchdata("recognise", place.zsl, lines, "--picture", page, "--json")
    assert len(json.loads(done.stdout)["drawings"]) == 3
    assert f"{page}: " in done.stderr
    texts = words_of(page.read_bytes())
    assert {"a.ndjson#1", "Most likely of 3 classes", "✓ recognised: star", "✗ not recognised: cat"} <= set(texts)
    assert "sae from words, among 3 classes, 1 of them unseen" in texts
    assert "unseen class: no drawing of it was learned from" in texts
    pixels = tmp_path / "a.PNG"
    said_here(place.classifier, f"{lines}#1", "--picture", pixels)
    picture = cv2.imread(str(pixels))
    assert picture is not None
    assert picture.shape[1] == 1800
    again = tmp_path / "again.svg"
    said_here(place.zsl, lines, "--picture", again)
    assert again.read_bytes() == page.read_bytes()


def test_files_that_cannot_be_read_are_named_after_the_answers(
    place: Place, asked: list[Drawing], tmp_path: Path
) -> None:
    (tmp_path / "a.svg").write_bytes(svg.dump(asked[0]))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    done = CliRunner().invoke(
        command, [str(place.classifier), str(tmp_path / "bad.png"), str(tmp_path / "a.svg"), "--json"]
    )
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert [answer["drawing"] for answer in found["drawings"]] == ["a.svg"]
    assert [Path(one["file"]).name for one in found["unreadable"]] == ["bad.png"]
    assert "bad.png: not a picture" in done.stderr


def test_what_does_not_fit_together_is_refused_in_words(place: Place, asked: list[Drawing], tmp_path: Path) -> None:
    drawn = tmp_path / "a.svg"
    drawn.write_bytes(svg.dump(asked[0]))
    copies = {name: shutil.copytree(place.zsl, tmp_path / name) for name in ("stopped", "bare", "wide", "pickled")}
    (copies["stopped"] / "training.json").unlink()
    shutil.rmtree(copies["bare"] / "recognisers")
    (some, *_) = read_recognisers(place.zsl)
    narrow = np.ones((3, WIDTH - 1))
    other = type(some.recogniser)(
        embed=type(some.recogniser.embed)(), prototypes=narrow, compare="cosine", seen=np.array([0, 1]), width=WIDTH - 1
    )
    shutil.rmtree(copies["wide"] / "recognisers")
    write_recogniser(copies["wide"], KeptRecogniser(source="edges", method="sae", classes=CLASSES, recogniser=other))
    (copies["pickled"] / "recognisers" / "edges.sae.safetensors").write_bytes(b"\x80\x04.")
    (tmp_path / "empty.ndjson").write_bytes(b"")
    (tmp_path / "blank.svg").write_bytes(b'<svg xmlns="http://www.w3.org/2000/svg"/>')
    refusals: list[tuple[str, Path, object, dict[str, Any]]] = [
        ("is not the folder of a training", tmp_path / "none", drawn, {}),
        ("its training did not finish: continue with --resume", copies["stopped"], drawn, {}),
        ("has no recognisers", copies["bare"], drawn, {}),
        ("was fitted to embeddings of 23 values, and the network gives 24", copies["wide"], drawn, {}),
        ("is not a whole safetensors file", copies["pickled"], drawn, {}),
        ("no recogniser of vectors glove; there are: edges by eszsl, ", place.zsl, drawn, {"vectors": "glove"}),
        ("no recogniser of vectors words method eszsl", place.zsl, drawn, {"vectors": "words", "method": "eszsl"}),
        ("is not a file; a query is", place.zsl, tmp_path / "none.svg", {}),
        ("has no drawings", place.zsl, tmp_path / "empty.ndjson", {}),
        ("blank.svg: ", place.zsl, tmp_path / "blank.svg", {}),
        ("key_id 12 is not in .*: give the data set that has it with --data", place.zsl, 12, {}),
        ("is not a finished data set", place.zsl, 12, {"data": tmp_path}),
        ("--device cuda:77 cannot be used", place.zsl, drawn, {"device": "cuda:77"}),
    ]
    for message, run, file, options in refusals:
        with pytest.raises(SketchDataError, match=message):
            answers(run, file, **options)


def test_commands_say_what_is_wrong_and_with_which_exit_code(
    place: Place, asked: list[Drawing], tmp_path: Path
) -> None:
    many = write_lines(tmp_path / "many.ndjson", asked * 5)
    for code, message, arguments in (
        (2, "Missing argument 'FILE...'", []),
        (2, "should end with .svg or .png", [many, "--picture", tmp_path / "a.jpg"]),
        (2, "0 is not in the range", [many, "--top", 0]),
        (1, "shows 12 drawings at most, and these are 15: name fewer", [many, "--picture", tmp_path / "a.svg"]),
    ):
        said = sketchdata("recognise", place.zsl, *arguments, expect=code).stderr
        assert message in " ".join(said.split())
    assert not list(tmp_path.glob("a.*"))


def test_no_more_drawings_than_can_be_recognised_at_once(place: Place, asked: list[Drawing], tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "many.ndjson", asked[:1] * 5001)
    with pytest.raises(ConfigError, match="10,002 drawings at once, and 10,000 are recognised at most"):
        answers(place.zsl, lines, lines)


def test_views_are_averaged_by_classifiers_alone(place: Place, asked: list[Drawing], tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "a.ndjson", asked)
    found = answers(place.classifier, lines, views=18)
    words = Words()
    packed = pack([to_batch(asked, words)], tuple(words.names))
    shares = vote_all(read_encoder(place.classifier), packed, 18)
    for answer, row in zip(found, shares, strict=True):
        assert dict(guessed(answer)) == pytest.approx(dict(zip(CLASSES, row.tolist(), strict=True)))
    assert dict(guessed(found[0])) != pytest.approx(dict(guessed(answers(place.classifier, lines)[0])))
    with pytest.raises(ConfigError, match="leave out --views"):
        answers(place.zsl, lines, views=18)
    with pytest.raises(ConfigError, match="1, 2, 10, 18"):
        answers(place.classifier, lines, views=7)


def test_evaluation_takes_views(place: Place) -> None:
    values = json.loads(sketchdata("evaluate", place.classifier, "--views", 2, "--device", "cpu", "--json").stdout)
    assert values["views"] == 2
    assert "2 views" in (place.classifier / "evaluation.md").read_text()
