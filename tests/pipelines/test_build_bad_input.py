"""Records and files that are bad: refused with their place and reason, counted, and replaced by the next rank."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sketchdata.drawings.sampling import SPLITS
from sketchdata.errors import SketchDataError
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import read_manifest
from tests.commands import sketchdata, sketchdata_process
from tests.quickdraw_builds import (
    CATEGORIES,
    LINES,
    SIZES,
    WANTED,
    build,
    build_command,
    generate,
    key_ids_in,
    key_ids_of_class,
    lines_of,
    plain_rank,
    plain_splits,
    rejects,
    source_file,
    write_lines,
)
from tests.trees import tree_sha256

STAR = "full/simplified/star.ndjson"
TOLERANT = {"max_bad_fraction": 1.0}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("bad") / "good")


@pytest.fixture
def source(good: Path, tmp_path: Path) -> Path:
    """A copy of the good source, to be spoiled."""
    for word in CATEGORIES:
        write_lines(tmp_path / "source", word, lines_of(good, word))
    return tmp_path / "source"


def by_rank(lines: list[bytes]) -> list[int]:
    """Return the lines' numbers by rising rank: the first WANTED of them are chosen."""
    key_ids = key_ids_in(lines)
    return sorted(range(len(lines)), key=lambda i: plain_rank(key_ids[i]))


def changed(**fields: Any) -> Callable[[bytes], bytes]:
    return lambda line: json.dumps({**json.loads(line), **fields}).encode() + b"\n"


def without(name: str) -> Callable[[bytes], bytes]:
    return lambda line: json.dumps({k: v for k, v in json.loads(line).items() if k != name}).encode() + b"\n"


#: {reason: what spoils a good line}
SPOILED = {
    "broken JSON": lambda line: line[:-20] + b"\n",
    "not an object": lambda line: b"[1, 2]\n",
    "missing field": without("drawing"),
    "wrong word": changed(word="cat"),
    "empty drawing": changed(drawing=[]),
    "empty stroke": changed(drawing=[[[], []]]),
    "bad stroke": changed(drawing=[[[1, 2]]]),
    "unequal x and y": changed(drawing=[[[1, 2, 3], [1, 2]]]),
    "coordinate outside 0..255": changed(drawing=[[[1, 256], [1, 2]]]),
    "bad coordinate": changed(drawing=[[[1, 1.5], [1, 2]]]),
    "bad recognized": changed(recognized=1),
    "bad key_id": changed(key_id="12x"),
    "bad timestamp": changed(timestamp="yesterday"),
    "bad countrycode": changed(countrycode="USA"),
}


@pytest.mark.parametrize("check_all", [False, True], ids=["chosen", "all"])
def test_bad_lines_are_refused_and_their_places_go_to_the_next_ranks(
    source: Path, tmp_path: Path, check_all: bool
) -> None:
    lines = lines_of(source, "star")
    bad = dict(zip(by_rank(lines)[3::5], SPOILED, strict=False))
    assert list(bad.values()) == list(SPOILED)
    expected = plain_splits(key_ids_in([line for i, line in enumerate(lines) if i not in bad]))
    for i, reason in bad.items():
        lines[i] = SPOILED[reason](lines[i])
    write_lines(source, "star", lines)
    manifest = build(source, tmp_path / "out", check_all=check_all, **TOLERANT)
    found = rejects(tmp_path / "out")
    assert {reject["file"] for reject in found} == {STAR}
    content = source_file(source, "star").read_bytes()
    starts = [sum(map(len, lines[:i])) for i in range(len(lines))]
    assert sorted((reject["offset"], reject["reason"]) for reject in found) == sorted(
        (starts[i], reason) for i, reason in bad.items()
    )
    assert all(content[starts[i] :].startswith(lines[i]) for i in bad)
    assert manifest.rejects == dict.fromkeys(SPOILED, 1)
    assert key_ids_of_class(tmp_path / "out", "star") == expected
    sketchdata("verify", tmp_path / "out")


def test_bad_lines_that_are_never_chosen_are_refused_with_check_all_alone(source: Path, tmp_path: Path) -> None:
    lines = lines_of(source, "star")
    bad = dict(zip(by_rank(lines)[-3:], ("empty drawing", "wrong word", "coordinate outside 0..255"), strict=True))
    for i, reason in bad.items():
        lines[i] = SPOILED[reason](lines[i])
    write_lines(source, "star", lines)
    assert build(source, tmp_path / "out").rejects == {}
    assert rejects(tmp_path / "out") == []
    manifest = build(source, tmp_path / "all", check_all=True, **TOLERANT)
    assert manifest.rejects == dict.fromkeys(bad.values(), 1)
    places = {reject["reason"]: reject["offset"] for reject in rejects(tmp_path / "all")}
    assert places == {reason: sum(map(len, lines[:i])) for i, reason in bad.items()}
    assert key_ids_of_class(tmp_path / "all", "star") == key_ids_of_class(tmp_path / "out", "star")


def test_a_line_without_a_line_end_is_good_when_it_is_whole(source: Path, good: Path, tmp_path: Path) -> None:
    lines = lines_of(source, "star")
    write_lines(source, "star", [*lines[:-1], lines[-1].removesuffix(b"\n")])
    build(source, tmp_path / "out")
    build(good, tmp_path / "good")
    assert rejects(tmp_path / "out") == []
    for word in CATEGORIES:
        assert key_ids_of_class(tmp_path / "out", word) == key_ids_of_class(tmp_path / "good", word)


def test_a_truncated_last_line_is_refused_whether_or_not_it_would_be_chosen(source: Path, tmp_path: Path) -> None:
    lines = lines_of(source, "star")
    write_lines(source, "star", [*lines[:-1], lines[-1][:-30]])
    manifest = build(source, tmp_path / "out", **TOLERANT)
    [reject] = rejects(tmp_path / "out")
    assert (reject["reason"], reject["offset"]) == ("truncated last record", sum(map(len, lines[:-1])))
    assert manifest.rejects == {"truncated last record": 1}
    assert key_ids_of_class(tmp_path / "out", "star") == plain_splits(key_ids_in(lines[:-1]))


def test_a_truncated_binary_record_is_refused(tmp_path: Path) -> None:
    source = generate(tmp_path / "binary", format="binary")
    path = source_file(source, "star", ".bin")
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    build(source, tmp_path / "out", input_format="binary", **TOLERANT)
    [reject] = rejects(tmp_path / "out")
    assert (reject["file"], reject["reason"]) == ("full/binary/star.bin", "truncated last record")
    lines = lines_of(generate(tmp_path / "ndjson"), "star")
    (key_id,) = struct.unpack_from("<Q", content, reject["offset"])
    assert [key_id] == key_ids_in(lines[-1:])
    assert key_ids_of_class(tmp_path / "out", "star") == plain_splits(key_ids_in(lines[:-1]))


def test_a_bad_binary_record_is_refused_and_its_place_goes_to_the_next_rank(tmp_path: Path) -> None:
    source = generate(tmp_path / "binary", format="binary")
    lines = lines_of(generate(tmp_path / "ndjson"), "star")
    bad, path = by_rank(lines)[5], source_file(source, "star", ".bin")
    content = bytearray(path.read_bytes())
    offset = content.index(struct.pack("<Q", key_ids_in(lines)[bad]))
    content[offset + 10] = 7  # neither recognized nor not
    path.write_bytes(content)
    build(source, tmp_path / "out", input_format="binary", **TOLERANT)
    [reject] = rejects(tmp_path / "out")
    assert (reject["reason"], reject["offset"]) == ("bad recognized", offset)
    assert key_ids_of_class(tmp_path / "out", "star") == plain_splits(key_ids_in(lines[:bad] + lines[bad + 1 :]))


# ---- duplicates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check_all", [False, True], ids=["chosen", "all"])
def test_the_second_of_two_lines_with_one_key_id_is_refused(source: Path, tmp_path: Path, check_all: bool) -> None:
    lines = lines_of(source, "star")
    chosen = by_rank(lines)[0]
    # The drawing of the copy differs: the first line's is the one to keep.
    copy = changed(drawing=[[[1, 2], [3, 4]]])(lines[chosen])
    write_lines(source, "star", [*lines, copy])
    manifest = build(source, tmp_path / "out", check_all=check_all, **TOLERANT)
    [reject] = rejects(tmp_path / "out")
    assert (reject["reason"], reject["offset"]) == ("duplicate key_id", sum(map(len, lines)))
    assert manifest.rejects == {"duplicate key_id": 1}
    assert key_ids_of_class(tmp_path / "out", "star") == plain_splits(key_ids_in(lines))
    train = (d for batch in open_dataset(tmp_path / "out").batches("train") for d in batch.drawings(CATEGORIES))
    [kept] = (drawing for drawing in train if [drawing.key_id] == key_ids_in([copy]))
    assert [stroke.T.tolist() for stroke in kept.strokes] == json.loads(lines[chosen])["drawing"]


def test_a_duplicate_at_every_border_of_what_is_chosen_changes_no_split(source: Path, tmp_path: Path) -> None:
    lines = lines_of(source, "star")
    order = by_rank(lines)
    write_lines(source, "star", [*lines, *(lines[i] for i in order[: WANTED + 5])])
    build(source, tmp_path / "out", **TOLERANT)
    assert key_ids_of_class(tmp_path / "out", "star") == plain_splits(key_ids_in(lines))
    assert {reject["reason"] for reject in rejects(tmp_path / "out")} == {"duplicate key_id"}


def test_a_category_that_falls_short_says_what_was_refused_of_it(source: Path, tmp_path: Path) -> None:
    spoilt = [SPOILED["empty drawing"](line) for line in lines_of(source, "star")]
    write_lines(source, "star", spoilt)
    with pytest.raises(SketchDataError) as failed:
        build(source, tmp_path / "out", **TOLERANT, check_all=True)
    said = str(failed.value)
    assert f"star: 0 of {WANTED}" in said
    assert f"refused: {len(spoilt)} empty drawing (the first at {STAR}, byte 0" in said
    assert f"see {tmp_path / 'out' / 'rejects.jsonl'}" in said
    assert len(rejects(tmp_path / "out")) == len(spoilt)


def test_many_bad_lines_make_it_read_again_rather_than_run_short(good: Path, tmp_path: Path) -> None:
    lines = lines_of(generate(tmp_path / "many", ["star"], drawings=2000), "star")
    order = by_rank(lines)
    for i in order[:400]:
        lines[i] = changed(drawing=[])(lines[i])
    write_lines(tmp_path / "many", "star", lines)
    manifest = build(tmp_path / "many", tmp_path / "out", categories="star", **TOLERANT)
    assert manifest.rejects == {"empty drawing": 400}
    left = [line for i, line in enumerate(lines) if i not in set(order[:400])]
    assert key_ids_of_class(tmp_path / "out", "star") == plain_splits(key_ids_in(left))


@pytest.mark.parametrize("key_id", [1, 2**63 + 11, 2**64 - 1])
def test_a_key_id_in_two_categories_stays_with_the_first_in_the_class_table(
    source: Path, tmp_path: Path, key_id: int
) -> None:
    for word in ("cat", "star"):
        lines = lines_of(source, word)
        lines = [changed(key_id=str(key_id))(lines[0]), *lines[1:]]
        write_lines(source, word, lines)
    # Every drawing but one is chosen, so that both categories want this one.
    sizes = {**SIZES, "train": LINES - 1 - WANTED + SIZES["train"]}
    manifest = build(source, tmp_path / "out", **sizes, **TOLERANT)
    cat, star = (key_ids_in(lines_of(source, word)) for word in ("cat", "star"))
    assert key_ids_of_class(tmp_path / "out", "cat") == plain_splits(cat, sizes=sizes)
    assert key_ids_of_class(tmp_path / "out", "star") == plain_splits(star[1:], sizes=sizes)
    [reject] = rejects(tmp_path / "out")
    assert (reject["file"], reject["offset"], reject["reason"]) == (STAR, 0, "duplicate key_id")
    assert "cat" in reject["detail"]
    assert manifest.rejects == {"duplicate key_id": 1}
    sketchdata("verify", tmp_path / "out")


@pytest.mark.slow
def test_duplicates_over_categories_are_the_same_for_workers_and_in_process(source: Path, tmp_path: Path) -> None:
    stars = lines_of(source, "star")
    for word in ("house", "cat"):
        own = [changed(word=word)(stars[i]) for i in by_rank(stars)[:20]]
        write_lines(source, word, [*own, *lines_of(source, word)])
    build(source, tmp_path / "out", **TOLERANT)
    sketchdata(*build_command(source, tmp_path / "pool", "--workers", 2, "--max-bad-fraction", 1))
    assert tree_sha256(tmp_path / "pool") == tree_sha256(tmp_path / "out")
    held = [set().union(*key_ids_of_class(tmp_path / "out", word).values()) for word in CATEGORIES]
    assert sum(map(len, held)) == len(set().union(*held))


# ---- how much is too much -------------------------------------------------------------------------------------------


def test_more_bad_records_than_allowed_fail_with_their_counts(source: Path, tmp_path: Path) -> None:
    lines = lines_of(source, "star")
    order = by_rank(lines)
    for number, reason in enumerate(["empty drawing", "empty drawing", "wrong word"]):
        lines[order[number]] = SPOILED[reason](lines[order[number]])
    write_lines(source, "star", lines)
    failed = sketchdata(*build_command(source, tmp_path / "out", "--workers", 0), expect=1)
    # 111 a category, and three more of star to fill the places.
    assert f"3 of {4 * WANTED + 3} examined records are bad (0.67%" in failed.stderr
    assert f"2 empty drawing (the first at {STAR}, byte " in failed.stderr
    assert f"1 wrong word ({STAR}, byte " in failed.stderr
    assert "rejects.jsonl" in failed.stderr
    assert len(rejects(tmp_path / "out")) == 3
    assert not (tmp_path / "out" / "manifest.json").exists()
    sketchdata(*build_command(source, tmp_path / "out", "--workers", 0, "--max-bad-fraction", 0.0068))
    assert read_manifest(tmp_path / "out").rejects == {"empty drawing": 2, "wrong word": 1}


def test_with_check_all_the_share_is_of_all_records(source: Path, tmp_path: Path) -> None:
    lines = lines_of(source, "star")
    lines[0] = SPOILED["empty drawing"](lines[0])
    write_lines(source, "star", lines)
    build(source, tmp_path / "out", check_all=True, max_bad_fraction=1 / (4 * LINES))
    with pytest.raises(SketchDataError, match=f"1 of {4 * LINES:,} examined"):
        build(source, tmp_path / "no", check_all=True, max_bad_fraction=0.9 / (4 * LINES))


# ---- whole files ----------------------------------------------------------------------------------------------------


def spoil_empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def spoil_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def spoil_read(path: Path) -> None:
    # Opens and then fails to be read by any user: an input/output error as from a bad disk.
    path.unlink()
    path.symlink_to("/proc/self/mem")


def spoil_gzip(path: Path) -> None:
    path.rename(path.with_name("star.ndjson.gz"))


def spoil_cut_gzip(path: Path) -> None:
    path.with_name("star.ndjson.gz").write_bytes(gzip.compress(path.read_bytes())[:-2000])
    path.unlink()


def spoil_page(path: Path) -> None:
    path.write_bytes(b"<!DOCTYPE html>\n<html>\n<body>not here</body>\n</html>\n" * 50)


def spoil_zeros(path: Path) -> None:
    path.write_bytes(bytes(100_000))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_empty, f"star: 0 of {WANTED}"),
        (spoil_folder, STAR),
        (spoil_link, STAR),
        (spoil_read, "star: "),
        (spoil_gzip, "damaged gzip"),
        (spoil_cut_gzip, "truncated gzip"),
        (spoil_page, "broken JSON"),
        (spoil_zeros, "truncated last record"),
    ],
)
def test_a_file_that_is_no_category_fails_by_name_and_without_a_traceback(
    source: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(source_file(source, "star"))
    failed = sketchdata(*build_command(source, tmp_path / "out", "--workers", 0), expect=1)
    assert message in failed.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "message"), [(spoil_read, "star: "), (spoil_cut_gzip, "truncated gzip")])
def test_a_worker_of_the_real_command_fails_by_name_too(
    source: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(source_file(source, "star"))
    failed = sketchdata_process(*build_command(source, tmp_path / "out", "--workers", 1), expect=1)
    assert message in failed.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_blank_lines_and_windows_line_ends_are_no_fault(source: Path, good: Path, tmp_path: Path) -> None:
    lines = lines_of(source, "star")
    write_lines(source, "star", [b"\n", *(line.replace(b"\n", b"\r\n") for line in lines), b"\r\n\n"])
    manifest = build(source, tmp_path / "out")
    build(good, tmp_path / "good")
    assert manifest.sources[-1].records == LINES
    assert rejects(tmp_path / "out") == []
    assert key_ids_of_class(tmp_path / "out", "star") == key_ids_of_class(tmp_path / "good", "star")


def test_fields_in_another_order_and_spacing_are_no_fault(source: Path, good: Path, tmp_path: Path) -> None:
    records = map(json.loads, lines_of(source, "star"))
    write_lines(source, "star", [json.dumps(dict(sorted(r.items())), indent=None).encode() + b"\n" for r in records])
    build(source, tmp_path / "out")
    build(good, tmp_path / "good")
    for split in SPLITS:
        assert key_ids_of_class(tmp_path / "out", "star")[split] == key_ids_of_class(tmp_path / "good", "star")[split]
