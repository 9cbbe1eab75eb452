"""Every class has a place to get photos from, and the names used are those of the other data sets."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sketchdata.errors import ConfigError
from sketchdata.photos.classes import CLASS_COLUMNS, PhotoClass, read_photo_classes, words_by
from sketchdata.storage.catalog import manifest_path, read_classes

CLASSES = read_photo_classes(manifest_path("edgemap-345c.csv"))
BY_WORD = {photo_class.word: photo_class for photo_class in CLASSES}
with manifest_path("imagenet-1k.csv").open(encoding="utf-8", newline="") as file:
    IMAGENET = {row["wnid"]: row["words"] for row in csv.DictReader(file)}
WITH_SYNSET = [photo_class for photo_class in CLASSES if photo_class.source == "imagenet"]

#: The 80 classes of COCO that have boxes.
COCO = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag,
tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard,
tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote,
keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier, toothbrush"""
COCO_NAMES = {name.strip() for name in COCO.split(",")}

#: Synsets that share no word with their class. Each was looked at: it is another name, a spelling, or a kind of it.
OTHER_NAMES = {
    "airplane": "airliner",
    "apple": "Granny Smith",
    "axe": "hatchet",
    "bandage": "Band Aid",
    "beach": "seashore",
    "bed": "four-poster",
    "bicycle": "mountain bike",
    "bird": "robin",
    "bowtie": "bow tie",
    "bus": "trolleybus",
    "butterfly": "monarch",
    "car": "beach wagon",
    "cat": "tabby",
    "cell phone": "cellular telephone",
    "cow": "ox",
    "cruise ship": "liner",
    "dog": "Labrador retriever",
    "dresser": "chiffonier",
    "duck": "drake",
    "firetruck": "fire engine",
    "fish": "goldfish",
    "flip flops": "sandal",
    "flower": "daisy",
    "frog": "bullfrog",
    "hamburger": "cheeseburger",
    "horse": "sorrel",
    "hot dog": "hotdog",
    "house plant": "pot",
    "jail": "prison",
    "kangaroo": "wallaby",
    "lighthouse": "beacon",
    "matches": "matchstick",
    "monkey": "macaque",
    "motorbike": "moped",
    "mountain": "alp",
    "pants": "jean",
    "parrot": "macaw",
    "pig": "hog",
    "popsicle": "ice lolly",
    "sailboat": "yawl",
    "saxophone": "sax",
    "sea turtle": "loggerhead",
    "sheep": "ram",
    "sink": "washbasin",
    "sweater": "sweatshirt",
    "t-shirt": "jersey",
    "tennis racquet": "racket",
    "train": "steam locomotive",
    "trumpet": "cornet",
    "van": "minivan",
    "washing machine": "washer",
    "wine glass": "goblet",
    "wristwatch": "digital watch",
}

#: {class: a word that settles which of its senses the drawings show}.
SENSES = {
    "bat": "mammal",
    "belt": "waist",
    "bush": "shrub",
    "circle": "shape",
    "compass": "magnetic",
    "cooler": "ice",
    "diamond": "gemstone",
    "drill": "tool",
    "fan": "electric",
    "key": "door",
    "keyboard": "computer",
    "line": "straight",
    "map": "folded",
    "marker": "pen",
    "matches": "matchstick",
    "mouse": "rodent",
    "nail": "iron",
    "pool": "swimming",
    "radio": "receiver",
    "saw": "hand",
    "square": "shape",
    "star": "five-pointed",
    "stereo": "speakers",
    "stitches": "wound",
    "table": "furniture",
    "triangle": "shape",
}


def tokens(words: str) -> set[str]:
    """Return the words of a name, without the plural's s."""
    return {token.removesuffix("s") for token in words.lower().replace("-", " ").split()}


def rows(*values: str) -> bytes:
    return "\n".join([",".join(CLASS_COLUMNS), *values, ""]).encode()


def test_all_345_classes_are_there_once_in_the_order_of_the_class_table() -> None:
    assert tuple(c.word for c in CLASSES) == read_classes(manifest_path("quickdraw-categories.txt"))


def test_the_list_of_imagenet_is_whole_and_sorted() -> None:
    assert len(IMAGENET) == 1000
    assert list(IMAGENET) == sorted(IMAGENET)


def test_every_wnid_is_one_of_the_1000_with_its_own_words() -> None:
    assert {c.word: c.imagenet_words for c in WITH_SYNSET} == {c.word: IMAGENET.get(c.wnid or "") for c in WITH_SYNSET}


def test_a_synset_shares_a_word_with_its_class_or_was_looked_at() -> None:
    strange = {c.word: c.imagenet_words for c in WITH_SYNSET if not tokens(c.word) & tokens(c.imagenet_words or "")}
    assert strange == OTHER_NAMES


@pytest.mark.parametrize("word", ["ear", "mouse", "flashlight", "cup", "hedgehog"])
def test_a_synset_of_the_same_name_and_another_sense_is_not_taken(word: str) -> None:
    assert (BY_WORD[word].source, BY_WORD[word].wnid) == ("search", None)


def test_no_synset_stands_for_two_classes() -> None:
    assert len({c.wnid for c in WITH_SYNSET}) == len(WITH_SYNSET)


def test_the_readme_counts_the_classes_with_a_synset() -> None:
    readme = manifest_path("README.md").read_text(encoding="utf-8")
    assert f"{len(WITH_SYNSET)} of the 345 classes have a synset" in readme
    assert f"the other {len(CLASSES) - len(WITH_SYNSET)} need a search" in readme


def test_coco_names_are_of_the_80() -> None:
    assert len(COCO_NAMES) == 80
    assert {c.coco for c in CLASSES} - {None} <= COCO_NAMES


def test_names_of_other_data_sets_lead_to_one_class_each() -> None:
    coco = words_by(CLASSES, lambda c: c.coco)
    assert (coco["tv"], coco["potted plant"], coco["cake"]) == ("television", "house plant", "cake")
    assert len(coco) == sum(c.coco is not None for c in CLASSES)
    assert words_by(CLASSES, lambda c: c.open_images)["Cattle"] == "cow"
    assert words_by(CLASSES, lambda c: c.wnid)["n02123045"] == "cat"


def test_the_computer_mouse_of_coco_is_no_mouse() -> None:
    assert "mouse" not in words_by(CLASSES, lambda c: c.coco)


@pytest.mark.parametrize(("word", "sense"), SENSES.items())
def test_search_words_settle_the_sense_of_an_ambiguous_class(word: str, sense: str) -> None:
    assert sense in BY_WORD[word].search_words.split()


def test_a_name_that_does_not_exist_is_none(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    path.write_bytes(rows("bat,search,,,bat flying mammal,,Bat"))
    bat = PhotoClass(
        word="bat",
        source="search",
        wnid=None,
        imagenet_words=None,
        search_words="bat flying mammal",
        coco=None,
        open_images="Bat",
    )
    assert read_photo_classes(path) == (bat,)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (",search,,,words,,", "the word is missing"),
        ("bat,web,,,words,,", "source is 'web', expected imagenet or search"),
        ("bat,search,,,,,", "search_words are missing"),
        ("bat,search,n02123045,,words,,", "source is search, but there is a synset"),
        ("cat,imagenet,2123045,tabby,words,,", "wnid is '2123045', expected n and 8 digits"),
        ("cat,imagenet,n02123045,,words,,", "imagenet_words are missing"),
        ("cat,imagenet,n02123045,tabby", "expected 7 values"),
        ("cat,imagenet,n02123045,tabby, tabby cat,words,,", "expected 7 values"),
        ("ant,search,,,words,,", "line 3: word 'ant' is already in line 2"),
        ("bee,search,,,words,bug,", "line 3: coco 'bug' is already in line 2"),
    ],
)
def test_a_faulty_row_is_named_by_its_line(tmp_path: Path, row: str, complaint: str) -> None:
    path = tmp_path / "classes.csv"
    path.write_bytes(rows("ant,search,,,ant insect,bug,", row))
    with pytest.raises(ConfigError, match=rf"classes\.csv, line 3: .*{complaint.removeprefix('line 3: ')}"):
        read_photo_classes(path)


@pytest.mark.parametrize("content", [b"", b"word,wnid\ncat,n02123045\n", b"\xff\xfe", b'"word'])
def test_a_table_of_another_form_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "classes.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"classes\.csv.*(expected the columns|cannot be read)"):
        read_photo_classes(path)


def test_a_missing_table_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.csv cannot be read"):
        read_photo_classes(tmp_path / "none.csv")
