"""`sketchdata recognise`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from sketchdata import __version__
from sketchdata.api.recogniser import MEANINGS, Answer, Recogniser
from sketchdata.cli.output import echo_json, print_tables
from sketchdata.config import options
from sketchdata.display.charts import MAX_PANELS, SUFFIXES, Bar, Panel, printable, recognition, save
from sketchdata.pipelines import recognise as recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _check_picture(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise click.BadParameter(f"{path} should end with {' or '.join(SUFFIXES)}", context, parameter)
    return path


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_check_picture,
    help=f"Write a picture of it as well, of {MAX_PANELS} drawings at most: FILE.svg or FILE.png.",
)
@options(config=recipe.Config)
def recognise(run: Path, files: tuple[str, ...], as_json: bool, picture: Path | None, config: recipe.Config) -> None:
    """Tell what drawings show, by a trained network.

    A FILE is an .ndjson file (every line of it, or one: FILE.ndjson#3), an .svg or a .png file, or a key_id. RUN is the
    folder of any finished training on drawings. The classifiers of most give probabilities of the classes that they
    learned.

    A run of `train zsl` recognises classes as well of which no drawing was learned from; they are marked `unseen`. Of
    its recognisers the one is taken that did best on validation classes. Scores are its own, as they are: distances,
    cosines or products, the higher the likelier, of no common unit. γ is taken off those of seen classes (calibrated
    stacking), so that unseen ones get their turn.

    Bars of a picture are probabilities; of other scores they begin at the middle one of all candidates and end at the
    best.

    Example: sketchdata recognise runs/recognition cat.svg --class cat

    Example: sketchdata recognise runs/zsl some.ndjson#3 --among unseen --picture guess.svg
    """
    found = recipe.run(run, files, config)
    figure = None if picture is None else _draw(found)
    if as_json:
        echo_json(_plain(found))
    else:
        click.echo(_about(found.judge))
        for answer in found.answers:
            click.echo()
            _print(answer, found.judge)
        _say_share(found)
    if picture is not None and figure is not None:
        save(figure, picture)
        click.echo(f"{picture}: {picture.stat().st_size / 1e3:,.0f} kB", err=True)


# ---- JSON ------------------------------------------------------------------------------------------------------------


def _plain(found: recipe.Answers) -> dict[str, Any]:
    """Return all answers as plain values; key_ids as text, since JavaScript's numbers hold 53 bits."""
    judge, kept = found.judge, found.judge.kept
    return {
        "trainer": judge.trainer,
        "recogniser": kept
        and {"vectors": kept.source, "method": kept.method, "validation_hit": kept.recogniser.validation_hit},
        "candidates": len(judge.candidates),
        "score": {"kind": judge.measure, "meaning": MEANINGS[judge.measure], "gamma": judge.gamma},
        "drawings": [
            {
                "drawing": answer.query.name,
                "key_id": None if answer.query.key_id is None else str(answer.query.key_id),
                "class": answer.query.word,
                "rank_of_class": answer.own_rank,
                "right": answer.right,
                "note": answer.note,
                "guesses": [
                    {"rank": g.rank, "class": g.word, "score": g.score, "unseen": g.unseen, "hit": g.hit}
                    for g in answer.guesses
                ],
            }
            for answer in found.answers
        ],
    }


# ---- tables ----------------------------------------------------------------------------------------------------------


def _about(judge: Recogniser) -> str:
    """Return what recognises, and what scores are."""
    count = int(judge.unseen.sum())
    if judge.kept is None:
        return f"{len(judge.classes):,} classes; score: {MEANINGS[judge.measure]}"
    among = f"{len(judge.candidates):,} classes, {count:,} of them unseen"
    if len(judge.candidates) == count:
        among = f"the {count:,} unseen classes"
    off = f", {judge.gamma:.4g} (γ) taken off those of seen classes" if judge.gamma else ""
    return f"{judge.kept.method} from {judge.kept.source}, among {among}; score: {MEANINGS[judge.measure]}{off}"


def _verdict(answer: Answer, judge: Recogniser) -> str:
    """Return whether a drawing was recognised, as far as that is known."""
    if answer.own_rank is None:
        return answer.note or "what it shows is not known"
    if answer.right:
        return "right"
    return f"wrong: {answer.query.word} comes as number {answer.own_rank:,} of {len(judge.candidates):,}"


def _print(answer: Answer, judge: Recogniser) -> None:
    said = f" ({answer.query.word})" if answer.query.word else ""
    table = Table()
    for title in ("rank", "class", "score"):
        table.add_column(title, justify="left" if title == "class" else "right")
    if judge.kept is not None:
        table.add_column("seen")
    if answer.own_rank is not None:
        table.add_column("own")
    digits = _digits([guess.score for guess in answer.guesses])
    for guess in answer.guesses:
        seen = () if judge.kept is None else ("unseen" if guess.unseen else "seen",)
        hit = () if answer.own_rank is None else ("✓" if guess.hit else "",)
        table.add_row(str(guess.rank), escape(guess.word), f"{guess.score:.{digits}f}", *seen, *hit)
    # Names and words come from files of strangers, and a terminal would obey what is not printable.
    click.echo(printable(f"{answer.query.name}{said}: {_verdict(answer, judge)}"))
    print_tables(table)


def _digits(scores: list[float]) -> int:
    """Return after how many decimals scores that differ are told apart."""
    spread = max(scores) - min(scores)
    return min(max(3 - math.floor(math.log10(spread)), 0), 8) if spread > 0 else 4


def _say_share(found: recipe.Answers) -> None:
    judged = [answer.right for answer in found.answers if answer.right is not None]
    if len(judged) > 1:
        click.echo(f"{sum(judged):,} of {len(judged):,} right (chance 1 of {len(found.judge.candidates):,})")


# ---- the picture -----------------------------------------------------------------------------------------------------


def _draw(found: recipe.Answers) -> Figure:
    judge = found.judge
    is_probability = judge.measure == "probability"
    ends = "begin at 0 and end at 1" if is_probability else "begin at the score of the middle class and end at the best"
    only_unseen = bool(judge.unseen[judge.candidates].all())
    return recognition(
        [_panel(answer, judge) for answer in found.answers],
        title=f"Likeliest of {len(judge.candidates):,} {'unseen ' * only_unseen}classes",
        lines=[*_about(judge).split("; "), f"The longer a bar, the likelier: bars {ends}. sketchdata {__version__}"],
        unseen=judge.kept is not None,
    )


def _panel(answer: Answer, judge: Recogniser) -> Panel:
    assert answer.query.drawing is not None  # noqa: S101 - all queries of a recipe have one
    digits = _digits([guess.score for guess in answer.guesses])
    low, high = (0.0, 1.0) if judge.measure == "probability" else (answer.middle, answer.guesses[0].score)
    return Panel(
        name=answer.query.name,
        strokes=answer.query.drawing.strokes,
        said=_said(answer, judge),
        right=answer.right,
        bars=[
            Bar(
                rank=guess.rank,
                word=guess.word,
                score=f"{guess.score:.{digits}f}",
                share=(guess.score - low) / (high - low) if high > low else 1.0,
                unseen=guess.unseen,
                own=bool(guess.hit),
            )
            for guess in answer.guesses
        ],
    )


def _said(answer: Answer, judge: Recogniser) -> str:
    """Return what a panel says below the drawing, in a line or two."""
    if answer.query.word is None:
        return "what it shows is not known"
    if answer.own_rank is None:
        return f"shows: {answer.query.word}\nwhich is not among these classes"
    if answer.right:
        return f"recognised: {answer.query.word}"
    return f"not recognised: {answer.query.word}\ncomes as number {answer.own_rank:,} of {len(judge.candidates):,}"
