"""`sketchdata recognise` and `sketchdata evaluate`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sketchdata import __version__
from sketchdata.api.recogniser import DSF, MEANINGS, ZERO_SHOT, Recogniser, Recognition
from sketchdata.cli.output import JSON, PlainTable, echo_json, end_with, print_tables
from sketchdata.config import FILE, FOLDER, PATH, option, options
from sketchdata.display.charts import MAX_PANELS, SUFFIXES, Bar, Panel, recognition, save
from sketchdata.errors import ConfigError, needs_extra
from sketchdata.names import printable
from sketchdata.pipelines import recognise as recipe
from sketchdata.storage.manifest import MANIFEST_NAME
from sketchdata.training.options import views_option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sketchdata.cross_domain.report import ShownQuery


def _check_picture(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise click.BadParameter(f"{path} should end with {' or '.join(SUFFIXES)}", context, parameter)
    return path


@click.command()
@click.argument("files", metavar="[RUN] FILE...", nargs=-1, required=True)
@JSON
@click.option(
    "--picture",
    type=FILE,
    callback=_check_picture,
    help=f"Also write a picture of the results, of {MAX_PANELS} drawings at most: FILE.svg or FILE.png.",
)
@options(config=recipe.Config)
def recognise(files: tuple[str, ...], as_json: bool, picture: Path | None, config: recipe.Config) -> None:
    """Recognise drawings, with the package's own recogniser or a trained network.

    A FILE is an .ndjson file (every line of it, or one: FILE.ndjson#3), an .svg file, a picture (.png, .jpg, .webp,
    .gif, .bmp, .avif or .tif), or a key_id. RUN is the folder of a finished training on drawings; without it, the
    small recogniser in the package predicts the 345 classes of Quick, Draw!. Classifiers give probabilities of the
    classes that they learned. If a file cannot be read, the others are still answered, and the
    exit code is 1.

    A run of `train zsl` also recognises classes without training drawings, which are marked `unseen`. It uses the
    recogniser that did best on validation classes. Scores are distances, cosines or products, without a common unit;
    higher is more likely. γ is subtracted from the scores of seen classes, which would otherwise be preferred
    (calibrated stacking).

    In the --picture, bars show probabilities; for other scores, bars begin at the median score of the candidates and
    end at the highest.

    Example: sketchdata recognise cat.svg

    Example: sketchdata recognise runs/recognition cat.svg --class cat

    Example: sketchdata recognise runs/zsl some.ndjson#3 --among unseen --picture guess.svg
    """
    run = Path(files[0]) if Path(files[0]).is_dir() else None
    if run is not None and len(files) == 1:
        raise click.UsageError(f"Missing argument 'FILE...': {run} is a training, so name the files after it")
    found = recipe.run(run, files if run is None else files[1:], config)
    recogniser = found.recogniser
    figure = None if picture is None else _draw(found)
    if as_json:
        echo_json(_plain(found))
    else:
        click.echo(_about(recogniser))
        for answer in found.answers:
            click.echo()
            _print(answer, recogniser)
        judged = [answer.right for answer in found.answers if answer.right is not None]
        if len(judged) > 1:
            click.echo(f"{sum(judged):,} of {len(judged):,} right (chance 1 of {len(recogniser.candidates):,})")
    if picture is not None and figure is not None:
        save(figure, picture)
        click.echo(f"{picture}: {picture.stat().st_size / 1e3:,.0f} kB", err=True)
    end_with(found.unreadable)


def _plain(found: recipe.RecognisedDrawings) -> dict[str, Any]:
    # key_ids as text, since JavaScript's numbers hold 53 bits.
    recogniser, kept = found.recogniser, found.recogniser.kept
    return {
        "trainer": recogniser.trainer,
        "recogniser": kept
        and {"vectors": kept.source, "method": kept.method, "validation_hit": kept.recogniser.validation_hit},
        "candidates": len(recogniser.candidates),
        "score": {"kind": recogniser.measure, "meaning": MEANINGS[recogniser.measure], "gamma": recogniser.gamma},
        "unreadable": [{"file": one.name, "reason": one.reason} for one in found.unreadable],
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


def _about(recogniser: Recogniser) -> str:
    count = int(recogniser.unseen.sum())
    if recogniser.kept is None:
        return f"{len(recogniser.classes):,} classes; score: {MEANINGS[recogniser.measure]}"
    among = f"{len(recogniser.candidates):,} classes, {count:,} of them unseen"
    if len(recogniser.candidates) == count:
        among = f"the {count:,} unseen classes"
    off = f", minus {recogniser.gamma:.4g} (γ) for seen classes" if recogniser.gamma else ""
    kept, meaning = recogniser.kept, MEANINGS[recogniser.measure]
    return f"{kept.method} from {kept.source}, among {among}; score: {meaning}{off}"


def _print(answer: Recognition, recogniser: Recogniser) -> None:
    said = f" ({answer.query.word})" if answer.query.word else ""
    table = PlainTable()
    for title in ("rank", "class", "score"):
        table.add_column(title, justify="left" if title == "class" else "right")
    if recogniser.kept is not None:
        table.add_column("seen")
    if answer.own_rank is not None:
        table.add_column("own")
    digits = _digits([guess.score for guess in answer.guesses])
    for guess in answer.guesses:
        seen = () if recogniser.kept is None else ("unseen" if guess.unseen else "seen",)
        hit = () if answer.own_rank is None else ("✓" if guess.hit else "",)
        table.add_row(str(guess.rank), guess.word, f"{guess.score:.{digits}f}", *seen, *hit)
    if answer.own_rank is None:
        verdict = answer.note or "its class is not known"
    elif answer.right:
        verdict = "right"
    else:
        verdict = f"wrong: {answer.query.word} has rank {answer.own_rank:,} of {len(recogniser.candidates):,}"
    # Names and words come from any file, and a terminal would obey what is not printable.
    click.echo(printable(f"{answer.query.name}{said}: {verdict}"))
    print_tables(table)


def _digits(scores: list[float]) -> int:
    spread = max(scores) - min(scores)
    return min(max(3 - math.floor(math.log10(spread)), 0), 8) if spread > 0 else 4


def _draw(found: recipe.RecognisedDrawings) -> Figure:
    recogniser = found.recogniser
    is_probability = recogniser.measure == "probability"
    ends = "begin at 0 and end at 1" if is_probability else "begin at the score of the middle class and end at the best"
    only_unseen = bool(recogniser.unseen[recogniser.candidates].all())
    return recognition(
        [_panel(answer, recogniser) for answer in found.answers],
        title=f"Most likely of {len(recogniser.candidates):,} {'unseen ' * only_unseen}classes",
        lines=[
            *_about(recogniser).split("; "),
            f"Longer bars are more likely; they {ends}. sketchdata {__version__}",
        ],
        unseen=recogniser.kept is not None,
    )


def _panel(answer: Recognition, recogniser: Recogniser) -> Panel:
    assert answer.query.drawing is not None  # noqa: S101 - all queries of a recipe have one
    digits, word = _digits([guess.score for guess in answer.guesses]), answer.query.word
    low, high = (0.0, 1.0) if recogniser.measure == "probability" else (answer.middle, answer.guesses[0].score)
    if word is None:
        said = "its class is not known"
    elif answer.own_rank is None:
        said = f"shows: {word}\nwhich is not among these classes"
    elif answer.right:
        said = f"recognised: {word}"
    else:
        said = f"not recognised: {word}\nhas rank {answer.own_rank:,} of {len(recogniser.candidates):,}"
    return Panel(
        name=answer.query.name,
        strokes=answer.query.drawing.strokes,
        said=said,
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


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """The drawings that the network is evaluated on."""

    data: Path | None = option(None, help="Data set or bitmaps. Default: the training's data set.", type=PATH)
    split: str | None = option(
        None, help="Split to recognise. Default: the paper's, `gallery`, or `val` for a zero-shot training."
    )
    unseen: int | None = option(
        None,
        help="Number of classes for zero-shot retrieval, of those that the network did not learn. Default: all that "
        "the training held out.",
        type=click.IntRange(2),
    )
    queries: str = option(
        "drawings",
        help="For spaces: domain of the queries.",
        type=click.Choice(["drawings", "photos"]),
    )
    generalised: bool = option(False, help="For spaces: also search galleries with seen classes.")
    bits: int = option(
        0, help="For spaces: length of binary codes to measure as well; 0 for none.", type=click.IntRange(0, 248)
    )
    examples: int = option(
        12, help="For spaces: number of queries to show with the nearest photos.", type=click.IntRange(1, 100)
    )
    views: int = views_option()
    batch_size: int | None = option(
        None, help="Drawings or photos at a time. Default: 512; for spaces 64.", type=click.IntRange(1, 1_000_000)
    )
    device: str = option("auto", help="Device: auto, cpu, cuda, cuda:1.")

    @property
    def drawings_at_once(self) -> int:
        """The batch size of networks of drawings."""
        return self.batch_size or 512


#: Options of spaces of drawings and photos, and those of other networks.
_OF_SPACES, _OF_DRAWINGS = ("queries", "generalised", "bits", "examples"), ("split", "unseen", "views")


def _refuse(config: EvaluateConfig, names: tuple[str, ...], reason: str) -> None:
    plain = EvaluateConfig()
    for name in names:
        if getattr(config, name) != getattr(plain, name):
            raise ConfigError(f"--{name} {reason}: leave it out")


@click.command()
@click.argument("run", type=FOLDER)
@options(config=EvaluateConfig)
@JSON
def evaluate(run: Path, config: EvaluateConfig, as_json: bool) -> None:
    """Measure how well a trained network recognises drawings, and how well its codes or vectors find them.

    Writes evaluation.json, evaluation.md (accuracies beside chance, the most confused classes, a table of all classes)
    and reliability.svg into the run's folder. The split is `gallery`, as in the paper, which no training uses; for
    zero-shot trainings it is `val`, as in the paper.

    Networks with binary codes also search `gallery` for each drawing of `query`. The report then has mAP and P@200 with
    the values of the worst and the best order of equal distances, distances between classes, the cost of a search, and
    precision-recall.svg and .csv. Classes that the training held out (`--unseen` of `sketchdata train`) are searched
    among themselves.

    Zero-shot trainings (`sketchdata train zsl`) are evaluated on their own unseen and seen classes: hit@k of every
    recogniser among unseen classes (ZSL) and among all classes (GZSL), the class averages U, S and H with and without
    γ, hubs and confusions, each beside chance. The printed recogniser is the best on validation classes. Such a run
    gets embeddings.svg, with drawings and prototypes, instead of reliability.svg.

    Spaces of drawings and photos (`sketchdata train sbir`) are evaluated on the unseen classes of their data: each
    drawing searches all photos, or each photo all drawings with `--queries photos`. evaluation.md has all variants of
    mAP and P@k with chance and ties, the most confused classes and a table of all classes; `--generalised` adds
    galleries with seen classes, `--bits` binary codes. The run's folder also gets precision-recall.svg and .csv, and
    typical queries with the nearest photos in green and red frames: nearest.png and nearest.html.

    Runs of `sketchdata train dsf` recognise the drawings of their --fold and find photos by each of their layers; with
    --data, all drawings of another data set of these classes.

    RUN may also be a folder of codes of any program (`sketchdata encode`, `sketchdata import codes`): its `query` split
    searches its `gallery`, or its unseen drawings search its unseen photos, and nothing is written.

    With `--views 18` a classifier sees each drawing turned and mirrored, and the probabilities are averaged. The
    network should have been trained on turned drawings (`--augment --rotate 45`); otherwise accuracy may fall.

    Example: sketchdata evaluate runs/recognition

    Example: sketchdata evaluate runs/recognition --views 18

    Example: sketchdata evaluate runs/hashing-64 --data data/quickdraw-3.8m --unseen 20

    Example: sketchdata evaluate runs/zsl

    Example: sketchdata evaluate runs/sbir --generalised --bits 64
    """
    if not (run / "run.json").exists() and (run / MANIFEST_NAME).exists():
        _evaluate_codes(run, config, as_json)
        return
    with needs_extra("evaluating", "train"):
        from sketchdata.cross_domain.encoder import holds_space
        from sketchdata.retrieval.evaluation import TABLE_FILE, evaluate_run
        from sketchdata.training.distributed import device_of
        from sketchdata.training.run_folder import read_record

    if holds_space(run) and read_record(run).get("trainer") == DSF:
        _evaluate_mixed(run, config, as_json)
        return
    if holds_space(run):
        _evaluate_space(run, config, as_json)
        return
    _refuse(config, _OF_SPACES, f"is for spaces of drawings and photos, and {run} holds another network")
    if read_record(run).get("trainer") == ZERO_SHOT:
        _evaluate_zero_shot(run, config, as_json)
        return
    split = config.split or "gallery"
    found = evaluate_run(
        run,
        config.data,
        split,
        device=str(device_of(config.device)),
        batch_size=config.drawings_at_once,
        unseen=config.unseen,
        views=config.views,
    )
    if as_json:
        echo_json(found)
        return
    click.echo(f"{found['drawings']:,} drawings of {len(found['classes']):,} classes ({split})")
    click.echo(f"top-1 {found['top1']:.4f} (chance {found['top1_chance']:.4f})")
    click.echo(f"top-5 {found['top5']:.4f} (chance {found['top5_chance']:.4f})")
    click.echo(f"expected calibration error {found['ece']:.4f}")
    for title, name in (("", "retrieval"), ("zero-shot ", "zero_shot")):
        if name in found:
            _say_retrieval(title, found[name])
    if "retrieval" in found:
        click.echo(found["retrieval"]["definition"])
    click.echo(f"see {run / TABLE_FILE}")


def _evaluate_mixed(run: Path, config: EvaluateConfig, as_json: bool) -> None:
    from sketchdata.cross_domain.mixed_evaluation import evaluate_mixed
    from sketchdata.retrieval.evaluation import TABLE_FILE
    from sketchdata.training.distributed import device_of

    _refuse(config, (*_OF_SPACES, "split", "unseen"), f"is not for {run}, whose own fold or --data is recognised")
    found = evaluate_mixed(
        run,
        config.data,
        device=str(device_of(config.device)),
        batch_size=config.batch_size or 64,
        views=config.views,
    )
    if as_json:
        echo_json(found)
        return
    click.echo(f"{found['drawings']:,} drawings of {len(found['classes']):,} classes ({found['split']})")
    if "one_view" in found:
        click.echo(f"one view: top-1 {found['one_view']['top1']:.4f}, top-5 {found['one_view']['top5']:.4f}")
    views = f"{found['views']} views: " * ("one_view" in found)
    click.echo(f"{views}top-1 {found['top1']:.4f} (chance {found['top1_chance']:.4f})")
    click.echo(f"{views}top-5 {found['top5']:.4f} (chance {found['top5_chance']:.4f})")
    for layer, own in found.get("layers", {}).get("by_layer", {}).items():
        photos = f"{found['layers']['photos']:,} photos" + " not learned from" * found["layers"]["photos_held"]
        click.echo(f"{layer}: mAP {own['map']:.4f} of drawings that search {photos} (chance {own['chance']:.4f})")
    click.echo(f"see {run / TABLE_FILE}")


def _evaluate_zero_shot(run: Path, config: EvaluateConfig, as_json: bool) -> None:
    from sketchdata.retrieval.evaluation import TABLE_FILE
    from sketchdata.training.distributed import device_of
    from sketchdata.zero_shot.evaluation import PAPER_SPLIT, evaluate_zero_shot

    _refuse(config, ("views",), f"is for classifiers; {run} is a zero-shot training, which compares prototypes")
    if config.unseen is not None:
        raise ConfigError(
            f"--unseen is for networks with binary codes; {run} is a zero-shot training, which has unseen classes of "
            "its own: leave it out"
        )
    split = config.split or PAPER_SPLIT
    found = evaluate_zero_shot(
        run, config.data, split, device=str(device_of(config.device)), batch_size=config.drawings_at_once
    )
    if as_json:
        echo_json(found)
        return
    drawings, classes = found["drawings"], found["classes"]
    click.echo(
        f"{drawings['unseen']:,} drawings of {len(classes['unseen']):,} unseen classes, {drawings['seen']:,} of "
        f"{len(classes['seen']):,} seen ones ({split})"
    )
    own = found["recognisers"][found["chosen"]]
    chosen = "by validation classes" if own["validation_hit"] is not None else "as the first: no validation classes"
    click.echo(f"{found['chosen']}, chosen from {len(found['recognisers'])} {chosen}")
    for name, level in own["zsl"]["chance"].items():
        if name in ("hit@1", "hit@5"):
            click.echo(f"ZSL {name} {own['zsl'][name]:.4f} (chance {level:.4f})")
    for stack, title in (("harmonic", "GZSL"), ("harmonic_calibrated", "GZSL with γ")):
        if stack in own:
            sides = " ".join(f"{side[0].upper()} {own[stack][side]:.4f}" for side in ("unseen", "seen", "harmonic"))
            click.echo(f"{title} {sides} (chance {own['chance']['harmonic']:.4f} each)")
    for each in own["below_chance"]:
        click.echo(f"below chance: {each['measure']} {each['value']:.4f} (chance {each['chance']:.4f})")
    click.echo(f"see {run / TABLE_FILE}")


def _evaluate_space(run: Path, config: EvaluateConfig, as_json: bool) -> None:
    from sketchdata.cross_domain import report
    from sketchdata.cross_domain.evaluation import SpaceMeasures
    from sketchdata.training.distributed import device_of

    _refuse(
        config, _OF_DRAWINGS, f"is for networks of drawings alone; {run} is a space, measured on its unseen classes"
    )
    measures = SpaceMeasures(
        queries=config.queries,
        generalised=config.generalised,
        bits=config.bits,
        device=str(device_of(config.device)),
        batch_size=config.batch_size or 64,
    )
    found, shown = report.evaluate_space(run, config.data, measures, most=config.examples)
    _write_examples(run / report.PAGE_FILE, found, shown)
    if as_json:
        echo_json(found)
        return
    click.echo(
        f"{len(found['unseen']):,} unseen classes of {found['data']}; {found['queries']} search {found['gallery']}"
    )
    _say_retrieval("", found["retrieval"], found["gallery"])
    nearest = found["retrieval"]["precision_at"]["1"]["expected"]
    click.echo(f"nearest {found['gallery'][:-1]} of the same class: {nearest:.4f}")
    for name, form in found.get("generalised", {}).items():
        harmonic = "" if form["map"]["harmonic"] is None else f", harmonic mean with seen {form['map']['harmonic']:.4f}"
        click.echo(f"generalised, {name}: mAP {form['map']['unseen']:.4f} of unseen queries{harmonic}")
    if "codes" in found:
        _say_retrieval(f"{found['codes']['bits']} bits: ", found["codes"], found["gallery"])
    click.echo(found["retrieval"]["definition"])
    click.echo(f"see {run / report.TABLE_FILE} and {run / report.PAGE_FILE}")


def _write_examples(path: Path, found: dict[str, Any], shown: Sequence[ShownQuery]) -> None:
    from sketchdata.photos.crops import encode
    from sketchdata.storage.manifest import replacing
    from sketchdata.web.pages import Neighbour, SheetRow, render_search

    kinds = {"drawings": "png", "photos": "jpeg"}
    rows = [
        SheetRow(
            name=f"average precision {each.query.precision:.3f}",
            word=each.query.word,
            drawing=encode(each.picture, kinds[found["queries"]]),
            runs={
                "": [
                    Neighbour(
                        drawing=encode(picture, kinds[found["gallery"]]),
                        word=word,
                        distance=distance,
                        hit=hit,
                        title=str(key_id),
                    )
                    for picture, key_id, word, distance, hit in each.found
                ]
            },
        )
        for each in shown
    ]
    gallery = f"{found['retrieval']['gallery']:,} {found['gallery']} of {len(found['unseen']):,} unseen classes"
    page = render_search(
        rows, index=gallery, version=__version__, nouns=found["gallery"], number="its distance in the space"
    )
    with replacing(path) as file:
        file.write(page)


def _evaluate_codes(folder: Path, config: EvaluateConfig, as_json: bool) -> None:
    from sketchdata.cross_domain.layouts import DOMAINS, UNSEEN
    from sketchdata.retrieval.code_folder import open_codes
    from sketchdata.retrieval.scores import score_codes

    source, queries = open_codes(folder), config.queries
    of_photos = bool(source.photos)
    if config != EvaluateConfig(queries=queries) or (queries != EvaluateConfig().queries and not of_photos):
        raise ConfigError(f"{folder} holds codes, and the options are for networks: leave them out")
    gallery = DOMAINS[1 - DOMAINS.index(queries)]
    splits = (f"{UNSEEN}-{queries}", f"{UNSEEN}-{gallery}") if of_photos else ("query", "gallery")
    scored = score_codes(*map(source.read, splits), precision_at=(100,) if of_photos else ())
    found = {"retrieval": scored.values()}
    if as_json:
        echo_json(found)
        return
    _say_retrieval("", found["retrieval"], gallery if of_photos else "drawings")
    click.echo(scored.definition)


def _say_retrieval(title: str, found: dict[str, Any], gallery: str = "drawings") -> None:
    from sketchdata.retrieval.metrics import chance_of_map

    about = f"{found['queries']:,} queries in {found['gallery']:,} {gallery}"
    of_map = chance_of_map(found["chance"], found["gallery"])
    measures = (("mAP", found["map"], of_map), (f"P@{found['k']}", found["precision_at_k"], found["chance"]))
    for name, own, chance in measures:
        bounds = f"{own['pessimistic']:.4f} to {own['optimistic']:.4f} by the order of ties"
        click.echo(f"{title}{name} {own['expected']:.4f} ({bounds}; {about}, chance {chance:.4f})")
