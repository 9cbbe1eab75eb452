"""Splits as lists of names: they come back as they were, and other files are refused by their line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.classes.spellings import plain
from sketchdata.classes.splits import ClassSplit, SplitNames, dump, parse, path_of, read, read_all
from sketchdata.errors import ConfigError, FormatError

printable = st.text("ab é_-(#[]1", min_size=1, max_size=12)
names = printable.map(str.strip).filter(lambda name: name and name[0] not in "#[")
lists = st.lists(names, min_size=1, max_size=12, unique_by=plain)


@given(lists, st.data(), st.lists(printable))
def test_splits_come_back_as_they_were(words: list[str], data: st.DataObject, head: list[str]) -> None:
    place = data.draw(st.integers(0, len(words)))
    seen, unseen = tuple(words[:place]), tuple(words[place:])
    validation = data.draw(st.none() | st.just(seen[::2]))
    split = SplitNames(
        seen=data.draw(st.just(seen) if not unseen or validation else st.sampled_from([seen, None])),
        validation=validation,
        unseen=data.draw(st.just(unseen) if not seen else st.sampled_from([unseen, None])),
    )
    if not split.seen and not split.unseen:
        return
    assert parse(dump(split, head).splitlines(keepends=True)) == split


def test_what_is_written_is_what_people_would_write() -> None:
    split = ClassSplit(seen=("cat", "palm tree", "dog"), validation=("dog",), unseen=("bat",))
    assert dump(split, ["Of me.", ""]) == "# Of me.\n#\n[seen]\ncat\npalm tree\ndog\n[validation]\ndog\n[unseen]\nbat\n"


def test_a_bare_list_is_of_unseen_classes() -> None:
    assert parse(["# mine\n", "\n", "  bat \n", "palm tree"]) == SplitNames(unseen=("bat", "palm tree"))


def test_headings_are_read_in_any_order_and_case() -> None:
    found = parse(["[ Unseen ]", "bat", "[SEEN]", "cat", "[validation]"])
    assert found == SplitNames(seen=("cat",), validation=(), unseen=("bat",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it names neither seen nor unseen classes"),
        ("# only this\n[unseen]\n", "it names neither seen nor unseen classes"),
        ("bat\n[sene]\ncat", r"line 2 begins \[sene\], which is not one of seen, validation, unseen"),
        ("palm tree\nbat\npalm_tree", "line 3: 'palm_tree' is already in line 1"),
        ("[seen]\nbat\n[unseen]\ncat\nBat", "line 5: 'Bat' is unseen, and seen in line 2"),
        ("[seen]\nbat\n[validation]\ncat", "line 4: 'cat' is for validation, and none of the seen classes"),
        ("bat\n[validation]\nbat", "line 3: 'bat' is for validation"),
    ],
)
def test_what_is_no_split_is_refused_by_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=message):
        parse(text.splitlines(keepends=True))
    (tmp_path / "split.txt").write_text(text)
    with pytest.raises(ConfigError, match=rf"split\.txt is not a split of classes: {message}"):
        read(tmp_path / "split.txt")


@pytest.mark.parametrize("name", ["", " cat", "#cat", "[cat]", "a\nb", "a\u2028b", "a\0"])
def test_names_that_cannot_stand_in_a_line_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be written to a list of names"):
        dump(SplitNames(unseen=(name,)))


def test_files_of_other_systems_are_read(tmp_path: Path) -> None:
    (tmp_path / "split.txt").write_bytes("\ufeff[unseen]\r\nété\r\npalm tree\r\n".encode())
    assert read(tmp_path / "split.txt") == SplitNames(unseen=("été", "palm tree"))


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "split.txt").write_bytes(b"\xff\xff")
    with pytest.raises(ConfigError, match="cannot be read as a split of classes, one name per line"):
        read(tmp_path / "split.txt")


def test_files_complete_one_another_and_must_not_contradict(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("[seen]\ncat\n")
    two.write_text("bat\n")
    assert read_all([str(one), "two"], tmp_path) == SplitNames(seen=("cat",), unseen=("bat",))
    with pytest.raises(ConfigError, match="more than one names unseen classes, and two is the second"):
        read_all([str(two), "two"], tmp_path)


def test_published_lists_are_found_by_name_before_files(tmp_path: Path) -> None:
    published = tmp_path / "published"
    published.mkdir()
    (published / "sketchy-21.txt").write_text("bat\n")
    assert path_of("sketchy-21", published) == published / "sketchy-21.txt"
    with pytest.raises(ConfigError, match="sketchy21 is neither a file nor a published list; did you mean sketchy-21"):
        path_of("sketchy21", published)
    with pytest.raises(ConfigError, match="there are sketchy-21"):
        path_of("../published/zzz", published)
