"""`sketchdata explain`: why a network recognises a drawing as what it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sketchdata.cli.output import JSON, echo_json, print_tables, table_of
from sketchdata.config import FOLDER, options
from sketchdata.display.charts import save
from sketchdata.display.explanations import filter_grid, map_grid, picture_rows, weighed_strokes
from sketchdata.errors import needs_extra
from sketchdata.names import printable
from sketchdata.pipelines import explain as recipe

if TYPE_CHECKING:
    from torch import Tensor


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("file", metavar="FILE")
@JSON
@options(config=recipe.Config)
def explain(run: Path, file: str, as_json: bool, config: recipe.Config) -> None:
    """Show which strokes of a drawing decide its class for a trained network.

    FILE is one drawing: an .svg file, a picture whose lines are traced, or a line of an .ndjson file, FILE.ndjson#3.
    RUN is the folder of a finished training that recognises drawings.

    A stroke with a positive weight supports the class; one with a negative weight speaks against it. The score is that
    of the class minus the mean over all classes. By integrated gradients, the weights sum to the score of the drawing
    minus the score of blank paper; by removal, a weight is the decrease of the score without the stroke.

    --maps, --filters and --invert show the layers of the picture branch. Inverted features are pictures optimised from
    noise, one for each layer.

    Example: sketchdata explain runs/recognition cat.svg --out cat-explained.svg

    Example: sketchdata explain runs/recognition cat.svg --class dog --by removal --json

    Example: sketchdata explain runs/dsf cat.svg --photo cat.jpg --maps maps.png --invert inverted.png
    """
    with needs_extra("explaining", "train"):
        found = recipe.run(run, file, config)
    own, name = found.explanation, found.query.name
    measure = "probability" if found.recogniser.measure == "probability" else "score"
    guesses = ", ".join(f"{word} {score:.3f}" for word, score in found.guesses)
    blank = "" if own.blank is None else f", of blank paper {own.blank:.2f}"
    said = [
        f"recognised by {measure} as {guesses}",
        f"score of {own.word} above the mean of all classes: {own.score:.2f}{blank}; strokes weighed by {own.by}",
    ]
    assert found.query.drawing is not None  # noqa: S101 - the pipeline refuses others
    strokes = found.query.drawing.strokes
    if as_json:
        echo_json(
            {
                "drawing": name,
                "class": own.word,
                "by": own.by,
                "score": own.score,
                "blank": own.blank,
                "guesses": [{"class": word, "score": score} for word, score in found.guesses],
                "strokes": [
                    {"stroke": place, "points": len(stroke), "weight": float(weight)}
                    for place, (stroke, weight) in enumerate(zip(strokes, own.weights, strict=True), 1)
                ],
            }
        )
    else:
        table = table_of("stroke", "points", "weight")
        for place, (stroke, weight) in enumerate(zip(strokes, own.weights, strict=True), 1):
            table.add_row(str(place), f"{len(stroke):,}", f"{weight:+.3f}")
        click.echo(printable(f"{name}: {own.word}"))
        print_tables(table)
        for line in said:
            click.echo(printable(line))
    if config.out is not None:
        _wrote(weighed_strokes(strokes, own.weights, f"{name}: {own.word}", said), config.out)
    if config.filters is not None:
        _wrote(filter_grid(recipe.first_filters(found, run), f"{run.name}: filters of the first layer"), config.filters)
    if config.maps is not None or config.invert is not None:
        reader, pictures = recipe.read_pictures(found, config.photo)
        shown = {each: _plain(picture) for each, picture in pictures.items()}
    if config.maps is not None:
        import torch

        from sketchdata.training.explanation import strongest_maps

        layers = strongest_maps(reader, torch.stack(list(pictures.values())), config.map_count)
        _wrote(map_grid(shown, layers, f"{run.name}: maps that respond most"), config.maps)
    if config.invert is not None:
        from sketchdata.training.explanation import invert, layer_names

        rows = {
            each: {"given": shown[each]}
            | {layer: _plain(invert(reader, picture, layer, steps=config.steps)) for layer in layer_names(reader)}
            for each, picture in pictures.items()
        }
        _wrote(picture_rows(rows, f"{run.name}: the same to each layer"), config.invert)


def _plain(picture: Tensor) -> Any:
    return picture.permute(1, 2, 0).cpu().numpy()


def _wrote(figure: Any, path: Path) -> None:
    save(figure, path)
    click.echo(f"{path}: {path.stat().st_size / 1e3:,.0f} kB", err=True)
