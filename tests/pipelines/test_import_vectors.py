"""`sketchdata import vectors`: published word vectors become vectors of classes, and what has none is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from sketchdata.classes.vectors import read_source, read_vectors
from sketchdata.cli.exports import import_vectors as command
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.pipelines.imports import KIND, ImportVectorsConfig, import_vectors
from sketchdata.storage.manifest import hash_file
from tests import word_files
from tests.quickdraw_builds import CATEGORIES, build, generate

WORDS = ("the", "turtle", "Cat", "cat", "sea", "hot_dog", "unknown")
VECTORS = np.array([[9, 9], [1, 2], [7, 7], [0.5, -0.25], [3, 1], [4, 4], [0, 0]], np.float32)
CLASSES = ("cat", "hot dog", "sea turtle")
EXPECTED = [[0.5, -0.25], [4, 4], [2, 1.5]]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "classes.txt"
    path.write_text("".join(f"{word}\n" for word in CLASSES))
    return path


def config(folder: Path, **options: Any) -> ImportVectorsConfig:
    return ImportVectorsConfig(**{"out": folder / "words.parquet", "classes": str(folder / "classes.txt"), **options})


@pytest.mark.parametrize("kind", word_files.KINDS)
def test_every_kind_of_file_gives_the_same_vectors(kind: str, table: Path, tmp_path: Path) -> None:
    path = word_files.write(tmp_path, kind, WORDS, VECTORS)
    told = import_vectors(path, config(tmp_path))
    words, vectors, counts = read_vectors(tmp_path / "words.parquet")
    assert words == CLASSES
    assert vectors.tolist() == EXPECTED
    assert counts.tolist() == [1, 1, 2]
    source = {
        "kind": KIND,
        "file": {"name": kind, "sha256": hash_file(path, "sha256")},
        "words": None,
        "missing": [],
        "stand_ins": {"hot dog": ["hot_dog"], "sea turtle": ["sea", "turtle"]},
    }
    assert read_source(tmp_path / "words.parquet") == source
    assert (told["classes"], told["width"], told["out"]) == (3, 2, str(tmp_path / "words.parquet"))


def test_an_array_and_its_words_give_them_too_and_the_same_bytes_again(table: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", VECTORS)
    (tmp_path / "names.txt").write_text("\n".join(WORDS))
    import_vectors(tmp_path / "clip.npy", config(tmp_path, words=tmp_path / "names.txt"))
    assert read_vectors(tmp_path / "words.parquet")[1].tolist() == EXPECTED
    assert read_source(tmp_path / "words.parquet")["words"]["sha256"] == hash_file(tmp_path / "names.txt", "sha256")
    before = (tmp_path / "words.parquet").read_bytes()
    import_vectors(tmp_path / "clip.npy", config(tmp_path, words=tmp_path / "names.txt"))
    assert (tmp_path / "words.parquet").read_bytes() == before


def test_classes_without_a_word_are_listed_or_left_out_and_zeros_are_no_word(table: Path, tmp_path: Path) -> None:
    table.write_text("yoga\ncat\nunknown\n")
    path = word_files.write(tmp_path, "glove.txt", WORDS, VECTORS)
    with pytest.raises(
        ConfigError, match=r"glove\.txt has no word for 2 of the 3 classes: yoga, unknown; .*--allow-mis"
    ):
        import_vectors(path, config(tmp_path))
    assert not (tmp_path / "words.parquet").exists()
    told = import_vectors(path, config(tmp_path, allow_missing=True))
    assert told["missing"] == ["yoga", "unknown"]
    assert read_vectors(tmp_path / "words.parquet")[0] == ("cat",)
    table.write_text("yoga\nunknown\n")
    with pytest.raises(ConfigError, match=r"has no word for any of the 2 classes, .*; its words begin with '"):
        import_vectors(path, config(tmp_path, allow_missing=True))


def test_classes_are_those_of_a_data_set_or_of_quickdraw(tmp_path: Path) -> None:
    build(generate(tmp_path / "source"), tmp_path / "set")
    words = [word.replace(" ", "_") for word in sorted(CATEGORIES)]
    path = word_files.write(tmp_path, "glove.txt", words, np.eye(len(words), dtype=np.float32) + 1)
    import_vectors(path, config(tmp_path, classes=str(tmp_path / "set")))
    assert set(read_vectors(tmp_path / "words.parquet")[0]) == set(CATEGORIES)
    told = import_vectors(path, ImportVectorsConfig(out=tmp_path / "all.parquet", allow_missing=True))
    assert told["classes"] + len(told["missing"]) == 345


def test_a_class_table_or_a_file_that_is_not_there_is_named(table: Path, tmp_path: Path) -> None:
    path = word_files.write(tmp_path, "glove.txt", WORDS, VECTORS)
    with pytest.raises(ConfigError, match=r"--classes none\.txt cannot be read as a class table"):
        import_vectors(path, config(tmp_path, classes="none.txt"))
    table.write_text("cat\n\n")
    with pytest.raises(ConfigError, match=r"line 2 is empty"):
        import_vectors(path, config(tmp_path))
    with pytest.raises(SketchDataError, match=r"none\.vec"):
        import_vectors(tmp_path / "none.vec", ImportVectorsConfig(out=tmp_path / "words.parquet"))


def test_the_command_says_what_it_left_out_and_averaged(table: Path, tmp_path: Path) -> None:
    table.write_text("cat\nsea turtle\nyoga\n")
    path = word_files.write(tmp_path, "crawl.vec.gz", WORDS, VECTORS)
    arguments = [str(path), "--classes", str(table), "--out", str(tmp_path / "words.parquet")]
    refused = CliRunner().invoke(command, arguments)
    assert refused.exit_code != 0
    assert isinstance(refused.exception, ConfigError)
    done = CliRunner().invoke(command, [*arguments, "--allow-missing"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "words.parquet: 2 classes × 2 values" in done.stdout
    assert "left out 1 classes without a vector: yoga" in done.stderr
    assert "means of several words: 1: sea turtle (sea, turtle)" in done.stderr
    told = orjson.loads(CliRunner().invoke(command, [*arguments, "--allow-missing", "--json"]).stdout)
    assert (told["classes"], told["missing"]) == (2, ["yoga"])


@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no word vectors")
def test_real_word_vectors_put_like_beside_like(tmp_path: Path) -> None:
    folder = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "wordvectors"
    told = import_vectors(
        folder / "semantic_labels_tuberlin.npy",
        ImportVectorsConfig(out=tmp_path / "words.parquet", words=folder / "classes_tuberlin.txt", allow_missing=True),
    )
    assert told["width"] == 300
    words, vectors, _ = read_vectors(tmp_path / "words.parquet")
    assert len(words) == told["classes"] > 150
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -1)
    nearest = {word: words[row] for word, row in zip(words, alike.argmax(axis=1), strict=True)}
    assert (nearest["cat"], nearest["violin"], nearest["fork"]) == ("dog", "piano", "spoon")


def test_a_synonym_stands_for_a_class_without_a_vector_of_its_own(table: Path, tmp_path: Path) -> None:
    table.write_text("cat\nkitten\nmarine reptile\n")
    path = word_files.write(tmp_path, next(iter(word_files.KINDS)), WORDS, VECTORS)
    synonyms = tmp_path / "synonyms.txt"
    synonyms.write_text("# ours\nKitten: pussy, cat\nmarine reptile: sea turtle\ncat: turtle\n")
    told = import_vectors(path, config(tmp_path, synonyms=synonyms))
    words, vectors, _ = read_vectors(tmp_path / "words.parquet")
    assert words == ("cat", "kitten", "marine reptile")
    assert vectors.tolist() == [EXPECTED[0], EXPECTED[0], EXPECTED[2]]
    assert told["stand_ins"] == {"kitten": ("cat",), "marine reptile": ("sea", "turtle")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kitten cat", "line 1: expected `class: word, word`"),
        ("\ncat: ,", "line 2: expected `class: word, word`"),
        ("hot dig: x", "there is no class 'hot dig'; did you mean hot dog"),
    ],
)
def test_synonyms_that_cannot_be_read_are_told_by_line(text: str, message: str, table: Path, tmp_path: Path) -> None:
    path = word_files.write(tmp_path, next(iter(word_files.KINDS)), WORDS, VECTORS)
    (tmp_path / "synonyms.txt").write_text(text)
    with pytest.raises(ConfigError, match=message):
        import_vectors(path, config(tmp_path, synonyms=tmp_path / "synonyms.txt"))
