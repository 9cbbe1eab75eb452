"""Explain what a trained network recognises in a drawing: which strokes decide, and what its layers see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import numpy.typing as npt

from sketchdata.api.recogniser import BY_GRADIENT, BY_REMOVAL, Explanation, Prediction, Recogniser
from sketchdata.config import FILE, option
from sketchdata.display.charts import SUFFIXES
from sketchdata.errors import ConfigError, FormatError, SketchDataError
from sketchdata.files import regular
from sketchdata.photos.image import Photo, decode
from sketchdata.retrieval.query import Query, read_queries
from sketchdata.storage.catalog import choose_classes
from sketchdata.storage.tensors import read_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from sketchdata.training.explanation import PictureReader

_SUFFIXES = " or ".join(f"FILE{suffix}" for suffix in SUFFIXES)
#: Classes that are told beside the explained one.
_TOP = 3


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to explain, and how."""

    word: str | None = option(
        None, help="Class to explain. Default: the most probable one.", param_decls=["--class"], metavar="WORD"
    )
    by: str = option(
        BY_GRADIENT,
        help="Weights of strokes: by integrated gradients of the class's score, or by removal of each stroke, which "
        "works with any run.",
        type=click.Choice([BY_GRADIENT, BY_REMOVAL]),
    )
    out: Path | None = option(
        None,
        help=f"Write the drawing with its strokes coloured by their weight, to {_SUFFIXES}.",
        type=FILE,
    )
    maps: Path | None = option(
        None,
        help=f"Write the feature maps that respond most to the drawing, and to --photo, to {_SUFFIXES}.",
        type=FILE,
    )
    filters: Path | None = option(
        None,
        help=f"Write the first layer's filters, beside the pretrained ones if there are any, to {_SUFFIXES}.",
        type=FILE,
    )
    invert: Path | None = option(
        None,
        help=f"Write, for each layer, a picture with the same features as the drawing, to {_SUFFIXES}.",
        type=FILE,
    )
    photo: Path | None = option(
        None, help="Photo beside the drawing in --maps and --invert, for runs of `train dsf`.", type=FILE
    )
    map_count: int = option(8, help="Number of maps per layer in --maps.", type=click.IntRange(1, 32))
    steps: int = option(
        200, help="Steps of the optimiser for each picture of --invert.", type=click.IntRange(1, 100_000)
    )
    device: str = option("auto", help="Device: auto, cpu, cuda, cuda:1.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """A drawing, its most probable classes, and the weights of its strokes."""

    recogniser: Recogniser
    query: Query
    explanation: Explanation
    guesses: Prediction


def run(directory: Path, file: str, config: Config) -> Explained:
    """Explain one drawing by a finished training.

    Raises:
        ConfigError: The file holds several drawings, the class does not exist, or the run allows no gradients.
        SketchDataError: The training is not finished, or something is damaged.
    """
    for path in (config.out, config.maps, config.filters, config.invert):
        if path is not None and path.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"{path} should end with {' or '.join(SUFFIXES)}")
    if config.photo is not None and config.maps is None and config.invert is None:
        raise ConfigError("--photo is shown in --maps and --invert: add one of them, or leave it out")
    recogniser = Recogniser.load(directory, device=config.device)
    (query, *more) = read_queries(file)
    if more or query.drawing is None:
        raise ConfigError(f"{file} holds {1 + len(more):,} drawings: name a line of it, as in {file}#3")
    guesses = recogniser.predict(query.drawing, top=_TOP)
    word = guesses[0][0] if config.word is None else choose_classes(recogniser.classes, config.word)[0]
    explanation = recogniser.explain(query.drawing, word=word, by=config.by)
    return Explained(recogniser=recogniser, query=query, explanation=explanation, guesses=guesses)


def read_pictures(explained: Explained, photo: Path | None) -> tuple[PictureReader, dict[str, Tensor]]:
    """Return the run's picture network, and the drawing and photo as it sees them: {name: (3, S, S) floats, white 1}.

    Raises:
        ConfigError: The network has no picture branch of ink or colours, or a photo is given to one of ink.
        SketchDataError: The photo cannot be read.
    """
    import torch

    from sketchdata.cross_domain.dataset import squeeze

    reader = explained.recogniser.picture_reader()
    drawing = explained.query.drawing
    assert drawing is not None  # noqa: S101 - `run` refuses others
    width = explained.recogniser.run_network("explaining").view.line_width
    ink = drawing.image(reader.size, line_width=width)
    pictures: dict[str, Photo] = {explained.query.name: np.repeat(255 - ink[:, :, None], 3, axis=2)}
    if photo is not None:
        if not reader.colours:
            raise ConfigError("--photo is for networks of drawings and photos, of `sketchdata train dsf`: leave it out")
        try:
            pictures[photo.name] = squeeze(decode(regular(photo).read_bytes()), reader.size)
        except (FormatError, OSError) as error:
            raise SketchDataError(f"{photo} cannot be read as a photo: {error}") from error
    device = explained.recogniser.device
    reader.trunk.to(device)
    return reader, {
        name: torch.from_numpy(np.ascontiguousarray(own)).to(device).permute(2, 0, 1).float() / 255
        for name, own in pictures.items()
    }


def first_filters(explained: Explained, directory: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Return the filters of the first convolution, after those that the training began with if it had pretrained ones.

    Raises:
        ConfigError: The network has no picture branch.
        SketchDataError: The file of the pretrained weights is damaged.
    """
    from sketchdata.training.encoder import kept_weights
    from sketchdata.training.explanation import filters_of, first_convolution

    trunk = explained.recogniser.picture_network()
    first = first_convolution(trunk)
    found, path = {}, kept_weights(directory)
    if path.is_file():
        (name,) = (name for name, layer in trunk.named_modules() if layer is first)
        found["pretrained"] = filters_of(read_tensors(path)[0][f"{name}.weight"])
    return found | {"trained": filters_of(first.weight)}
