r"""Compare hashing methods on one data set, with the published figures of Tables II, III, V, VI and VII.

    sketchdata bench hashing --data data/quickdraw-3.8m --out bench --augment
    sketchdata bench hashing --data data/small --out bench --rows dlbhc,cr-scl-ql,sketchcode --bits 16,64 \
        --backbone small --size 32 --hidden 64 --max-points 64
    sketchdata bench hashing --data bitmaps28.npz --out bench --rows dlbhc,greedyhash,csq,orthohash,sketchcode …

A row is a method at a code length. Every row is trained or fitted, and its codes of `query` search those of `gallery`.
The results of a row are one file, so that a stopped comparison can be resumed, and two commands with different rows can
share a folder. Branches and features are trained once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sketchdata.comparisons.hashing import ABLATIONS, BRANCHES, HashingRow, MeasuredRow, RowKind, chosen_rows, markdown
from sketchdata.config import FILE, FOLDER, option, recorded
from sketchdata.display.charts import Curve, precision_recall_panels, save
from sketchdata.errors import ConfigError
from sketchdata.formats.codes import Codes, pack_bits
from sketchdata.progress import console
from sketchdata.retrieval.code_evaluation import PAPER_GALLERY, answers, class_spread, search_cost
from sketchdata.retrieval.scores import score_codes
from sketchdata.retrieval.shallow_hashing import MOST_ROWS, SHALLOW_HASHERS, hog_features
from sketchdata.storage.manifest import replacing
from sketchdata.trainers import hashing, hashing_baselines, options, recognition, sketchcode
from sketchdata.training.backbones import MODELS
from sketchdata.training.bitmaps import PackedSplit, holds_bitmaps, identity, read_split
from sketchdata.training.distributed import device_of
from sketchdata.training.encoder import SketchEncoder, codes_of, read_encoder, recorded_weights, weights_record
from sketchdata.training.options import BITS, SIDES, EpochsConfig, NetworkOptions, TrainingOptions
from sketchdata.training.run_folder import METRICS, RECORD, read_json, stage_seconds, write_json

RESULTS_FILE, TABLE_FILE, CURVE_FILE = "hashing.json", "hashing.md", "precision-recall.svg"
#: Width of the deep feature of shallow methods, as in the paper.
FEATURE_WIDTH = 256
#: Side in pixels of the pictures for histograms of gradients, and pictures per batch.
_HOG_SIDE, _HOG_BATCH = 56, 4096

_EPOCHS = click.IntRange(0, 1_000_000)
_CHOICES = ("rows", "bits", "fixed_bits", "seeds")


@dataclass(frozen=True, kw_only=True)
class Config(EpochsConfig):
    """Options of `bench hashing`."""

    out: Path = option(
        Path("hashing-bench"), help="Folder of runs and results; finished ones are reused.", record=False, type=FOLDER
    )
    rows: str = option("all", help="Comma-separated rows, or `all`; --list-rows lists them.", metavar="A,B,…")
    bits: str = option("16,24,32,64", help="Comma-separated code lengths.", metavar="A,B,…")
    fixed_bits: str = option("32", help="Code length of zero-shot rows and ablations.", type=click.Choice(BITS))
    unseen: int = option(20, help="Unseen classes of the zero-shot rows; 0 leaves these rows out.", type=_EPOCHS)
    code_epochs: int = option(5, help="Epochs of the last stage of the paper's full model.", type=_EPOCHS)
    baseline_epochs: int | None = option(
        None,
        help="Epochs of the other deep methods, after the branches. Default: as many as the paper's rows have.",
        type=click.IntRange(1),
    )
    seeds: int = option(3, help="Seeds of every row, from --seed on.", type=click.IntRange(1, 100))
    recipe_backbone: str = option("thin", help="Picture branch of sketchcode.", metavar="NAME")
    recipe_size: int | None = option(
        None, help="Side of sketchcode's picture. Default: --size.", type=click.IntRange(16, 1024)
    )
    recipe_batch_size: int | None = option(
        None, help="Batch size of sketchcode. Default: --batch-size.", type=click.IntRange(1, 1_000_000)
    )
    recipe_learning_rate: float | None = option(
        None,
        help="Largest learning rate of sketchcode. Default: --learning-rate.",
        type=click.FloatRange(0, min_open=True),
    )
    recipe_weight_decay: float = option(0.05, help="Weight decay of sketchcode.", type=click.FloatRange(0))
    recipe_proxy_epochs: int = option(8, help="Epochs of sketchcode's first stage.", type=click.IntRange(1))
    recipe_code_epochs: int = option(16, help="Epochs of sketchcode's second stage.", type=_EPOCHS)
    width: int = option(2048, help="Width of the fusion layer of recognition rows.", type=click.IntRange(1, 65_536))
    vectors: Path | None = option(None, help="Word vectors for dsh-sketch.", record=False, type=FILE)
    vector_words: Path | None = option(None, help="Words of --vectors, one per line.", record=False, type=FILE)


def run(config: Config, network: NetworkOptions, training: TrainingOptions) -> dict[str, Any]:
    """Train or fit the missing rows, measure them, and write and return the results.

    Raises:
        ConfigError: A row or length does not exist, or options do not match the data or the results in the folder.
        SketchDataError: The data is damaged, a training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; the same command resumes.
    """
    rows = chosen_rows(config.rows, config.bits, int(config.fixed_bits), config.unseen)
    benches = []
    for seed in range(training.seed, training.seed + config.seeds):
        out = config.out if seed == training.seed else config.out / "seeds" / str(seed)
        benches.append(_HashingBench(replace(config, out=out), network, replace(training, resume=False, seed=seed)))
    # Check all rows before the training: the data may not allow the last one.
    possible = list(benches[0].possible(rows))
    measured = []
    for row in possible:
        measured.append(MeasuredRow(row=row, seeds=[bench.measure(row) for bench in benches]))
        benches[0].write(measured)
    return benches[0].write(measured)


class _HashingBench:
    def __init__(self, config: Config, network: NetworkOptions, training: TrainingOptions) -> None:
        self.config, self.network, self.training = config, network, training
        self.classes, self.manifest = identity(config.data, config.classes)
        self.ink_alone = holds_bitmaps(config.data)
        facts = recorded(config) | recorded(network) | recorded(training)
        self.weights = {} if network.weights is None else recorded_weights(weights_record(network))
        facts |= self.weights
        #: The options that a stored row must have: all except the choice of rows and seeds.
        self.options = {name: value for name, value in facts.items() if name not in _CHOICES}
        self.splits: dict[tuple[str, tuple[str, ...]], PackedSplit] = {}
        self.kinds: dict[RowKind, Callable[[HashingRow], dict[str, Any]]] = {
            RowKind.HASHING: lambda row: self._trained(row, self._hashing(row)),
            RowKind.BASELINE: lambda row: self._trained(row, self._baseline(row)),
            RowKind.RECIPE: lambda row: self._trained(row, self._recipe(row)),
            RowKind.RECOGNITION: lambda row: self._trained(row, self._recognition(row)),
            RowKind.SHALLOW: self._shallow,
        }

    def possible(self, rows: Sequence[HashingRow]) -> Iterator[HashingRow]:
        """Yield the rows that the data allow, and print which rows are left out."""
        for row in rows:
            if row.needs_points and self.ink_alone:
                console.print(f"{row.name} is left out: bitmaps have no points and no strokes")
            elif row.method == "dsh-sketch" and None in (self.config.vectors, self.config.vector_words):
                console.print(f"{row.name} is left out: it needs --vectors and --vector-words")
            elif row.unseen > len(self.classes) - 2:
                raise ConfigError(f"--unseen {row.unseen} leaves too few of {len(self.classes)} classes")
            else:
                yield row

    def measure(self, row: HashingRow) -> dict[str, Any]:
        path = self.config.out / "rows" / f"{row.name}.json"
        if path.exists():
            kept = read_json(path)
            if kept["manifest"] == self.manifest and kept.get("options") == self.options:
                return kept
        console.print(f"{row.name}, seed {self.training.seed}: {row.title}", highlight=False, soft_wrap=True)
        values = {"row": row.name, "manifest": self.manifest, "options": self.options, **self.kinds[row.kind](row)}
        write_json(path, values)
        return values

    def write(self, measured: Sequence[MeasuredRow]) -> dict[str, Any]:
        facts = {
            "data": self.config.data.name,
            "classes": len(self.classes),
            "manifest": self.manifest,
            "drawings": {
                split: len(self._split(split, self.classes)) for split in ("train", "val", "gallery", "query")
            },
            "options": recorded(self.config) | recorded(self.network) | recorded(self.training) | self.weights,
            "device": str(device_of(self.training.device)),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }
        rows = [{**asdict(each.row), **each.first, "seeds": list(each.seeds)} for each in measured]
        results = {**facts, "rows": rows}
        write_json(self.config.out / RESULTS_FILE, results)
        with replacing(self.config.out / TABLE_FILE) as file:
            page = markdown(facts, measured)
            if any("retrieval" in each.first and not each.row.unseen for each in measured):
                page += f"\n## Precision over recall (Figure 5)\n\n![precision over recall]({CURVE_FILE})\n"
            file.write(page.encode())
        panels: dict[str, dict[str, Curve]] = {}
        for row in rows:
            if "retrieval" in row and not row["unseen"]:
                curve = Curve(chance=row["retrieval"]["chance"], **row["retrieval"]["curve"])
                panels.setdefault(f"{row['bits']} bits", {})[row["title"]] = curve
        if panels:
            save(precision_recall_panels(panels, "Precision over recall"), self.config.out / CURVE_FILE)
        return results

    def _trained(self, row: HashingRow, folder: Path) -> dict[str, Any]:
        trained, report = read_encoder(folder), read_json(folder / "training.json")
        seconds = sum(stage_seconds(folder / METRICS).values())
        shared = self._shared_seconds(row) if report["pretrained"] else {}
        # Stages of branches that the network does not have were copied too; they do not count.
        needed = {stage["stage"] for stage in report["stages"]} & set(report["pretrained"])
        facts = {
            "parameters": report["parameters"],
            "model": report["sha256"],
            "epochs": sum(stage["epochs"] for stage in report["stages"] if stage["stage"] not in ("cnn", "rnn")),
            "seconds": round(seconds + sum(shared.get(stage, 0.0) for stage in needed), 1),
        }
        words = self.classes
        if row.unseen:
            words = tuple(word for word in self.classes if word not in trained.classes)
        gallery = self._predict(trained, "gallery", words)
        # It has no scores of unseen classes.
        own = {} if row.unseen else {"accuracy": gallery.accuracy}
        if row.kind is RowKind.RECOGNITION:
            return {**facts, **own}
        codes = gallery.codes
        queries = self._predict(trained, "query", words).codes
        found = score_codes(queries, codes)
        d1, d2 = class_spread(gallery.embeddings, codes.labels)
        spread = {"d1": d1, "d2": d2, "ratio": d1 / d2 if d2 else None}
        cost = [] if row.unseen else [search_cost(queries, codes, size=size) for size in (None, PAPER_GALLERY)]
        return {**facts, **own, "spread": spread, "cost": cost, "retrieval": _without_classes(found.values())}

    def _predict(self, trained: SketchEncoder, split: str, words: tuple[str, ...]) -> _Predictions:
        return _predictions(trained, self._split(split, words).to(device_of(self.training.device)))

    def _split(self, split: str, words: tuple[str, ...]) -> PackedSplit:
        if (split, words) not in self.splits:
            self.splits[split, words] = read_split(self.config.data, split, self.config.classes).of_classes(words)
        return self.splits[split, words]

    def _branches(self, row: HashingRow) -> Path:
        """Train the branches that rows share, unless they exist."""
        name = f"{BRANCHES}-unseen-{row.unseen}" if row.unseen else BRANCHES
        none = {"fusion_epochs": 0, "center_epochs": 0, "code_epochs": 0}
        own = options.HashingConfig(**{**self._staged(name, row), **none}, bits=BITS[0], loss="cel")
        branch = "cnn" if self.ink_alone else "cr"
        return self._train(hashing.train_stages, own, replace(self.network, branch=branch))

    def _shared_seconds(self, row: HashingRow) -> dict[str, float]:
        found = stage_seconds(self._branches(row) / METRICS)
        if row.kind is RowKind.HASHING:
            found["fusion"] = stage_seconds(self._fusion(row) / METRICS).get("fusion", 0.0)
        return found

    def _fusion(self, row: HashingRow) -> Path:
        """Train the fusion from which all losses of a branch and a length continue, unless it exists."""
        name = f"{'unseen-' if row.unseen else ''}fusion-{row.branch}-{row.bits}"
        none = {"center_epochs": 0, "code_epochs": 0}
        staged = {**self._staged(name, row), **none}
        own = options.HashingConfig(**staged, bits=str(row.bits), loss="cel", pretrained=self._branches(row))
        return self._train(hashing.run, own, replace(self.network, branch=row.branch))

    def _hashing(self, row: HashingRow) -> Path:
        common = self._staged(row.name, row)
        own = options.HashingConfig(
            **{**common, **self._budget(row)},
            bits=str(row.bits),
            code_epochs=self.config.code_epochs,
            pretrained=self._fusion(row),
        )
        return self._train(hashing.run, own, replace(self.network, branch=row.branch))

    def _budget(self, row: HashingRow) -> dict[str, Any]:
        """Return the loss and epochs with which a row of the paper has as many epochs as the full model.

        Cross entropy alone is the centre loss with a weight of 0, so that its stages and learning rates are the same.
        """
        further = self.config.center_epochs
        if row.kind is RowKind.HASHING and not row.loss.endswith("ql"):
            further += self.config.code_epochs
        if row.loss == "cel":
            return {"loss": "cel+cl", "center_weight": 0.0, "center_epochs": further}
        return {"loss": row.loss, "center_epochs": further}

    def _baseline(self, row: HashingRow) -> Path:
        common = self._staged(row.name, row)
        # The number of epochs of the paper's full model after its branches.
        paper = self.config.fusion_epochs + self.config.center_epochs + self.config.code_epochs
        own = options.BaselinesConfig(
            **{name: common[name] for name in _DATA | {"cnn_learning_rate", "cnn_epochs", "rnn_epochs"}},
            method=row.method,
            bits=str(row.bits),
            code_epochs=self.config.baseline_epochs or max(1, paper),
            vectors=self.config.vectors,
            vector_words=self.config.vector_words,
            pretrained=self._branches(row),
        )
        return self._train(hashing_baselines.run, own, replace(self.network, branch="cnn"))

    def _recipe(self, row: HashingRow) -> Path:
        common = self._staged(row.name, row)
        changed = dict(ABLATIONS.get(row.method, {}))
        channels = "ink" if self.ink_alone else str(changed.pop("channels", "strokes"))
        own = options.SketchcodeConfig(
            **{
                **{name: common[name] for name in _DATA},
                "bits": str(row.bits),
                "proxy_epochs": self.config.recipe_proxy_epochs,
                "code_epochs": self.config.recipe_code_epochs,
                **changed,
            }
        )
        network = options.SketchcodeNetwork(
            backbone=self.config.recipe_backbone, size=self.config.recipe_size or self.network.size, channels=channels
        )
        training = replace(
            self.training,
            batch_size=self.config.recipe_batch_size or self.training.batch_size,
            learning_rate=self.config.recipe_learning_rate or self.training.learning_rate,
            weight_decay=self.config.recipe_weight_decay,
        )
        return self._train(sketchcode.run, own, network, training)

    def _recognition(self, row: HashingRow) -> Path:
        shared = row.method in ("cnn", "rnn", "cr")
        width = FEATURE_WIDTH if row.name == "features" else self.config.width
        own = options.RecognitionConfig(
            **{**self._staged(row.name, row), **({"loss": "cel"} if row.name == "features" else self._budget(row))},
            width=width,
            pretrained=self._branches(row) if shared else None,
        )
        branch = "cnn" if self.ink_alone else row.branch
        other = self.network
        if not shared:
            # Some networks need larger pictures than a small comparison uses; at the paper's size, each has its own.
            size = SIDES.get(row.method, 224) if other.size == 224 else max(other.size, MODELS[row.method].least)
            other = replace(other, backbone=row.method, weights=None, size=size)
        return self._train(recognition.run, own, replace(other, branch=branch))

    def _staged(self, name: str, row: HashingRow) -> dict[str, Any]:
        names = {field for field in EpochsConfig.__dataclass_fields__ if field not in ("out", "unseen")}
        return {
            **{field: getattr(self.config, field) for field in names},
            "out": self.config.out / "runs" / name,
            "unseen": row.unseen,
        }

    def _train(
        self,
        run: Callable[[Any, Any, TrainingOptions], object],
        config: Any,
        network: NetworkOptions,
        training: TrainingOptions | None = None,
    ) -> Path:
        out: Path = config.out
        if network.branch == "rnn":
            network = replace(network, weights=None)
        run(config, network, replace(training or self.training, resume=(out / RECORD).exists()))
        return out

    def _shallow(self, row: HashingRow) -> dict[str, Any]:
        describe = self._deep_features if row.branch == "deep" else self._hog_features
        method = SHALLOW_HASHERS[row.method]
        train = describe("train")
        labels = self._split("train", self.classes).labels.numpy()[self._rows("train")]
        hasher = method.fit(train, labels if method.supervised else None, row.bits, self.training.seed)

        def encoded(split: str) -> Codes:
            packed = self._split(split, self.classes)
            codes = codes_of(np.zeros((len(packed), row.bits), np.float32), 1.0, packed)
            return replace(codes, packed=pack_bits(hasher.encode(describe(split))))

        found = score_codes(encoded("query"), encoded("gallery"))
        values = _without_classes(found.values())
        return {"fitted_on": hasher.fitted_on, "features": train.shape[1], "retrieval": values}

    def _rows(self, split: str) -> Tensor:
        """Return the rows of the drawings that a method is fitted to: at most MOST_ROWS of `train`, evenly spaced."""
        count = len(self._split(split, self.classes))
        wanted = min(count, MOST_ROWS) if split == "train" else count
        return torch.arange(wanted) * count // max(wanted, 1)

    def _deep_features(self, split: str) -> npt.NDArray[np.float32]:
        path = self.config.out / "features" / f"deep-{split}.npy"
        row = HashingRow(
            name="features", kind=RowKind.RECOGNITION, method="cnn" if self.ink_alone else "cr", loss="cel"
        )
        # Runs even if the features are stored, since it refuses other options and other data.
        folder = self._recognition(row)
        packed = self._split(split, self.classes).to(device_of(self.training.device))
        return _kept(path, lambda: _predictions(read_encoder(folder), packed, self._rows(split)).embeddings)

    def _hog_features(self, split: str) -> npt.NDArray[np.float32]:
        packed = self._split(split, self.classes)

        def described() -> npt.NDArray[np.float32]:
            parts = torch.split(self._rows(split), _HOG_BATCH)
            return np.concatenate([hog_features(packed.raster(rows, _HOG_SIDE)[:, 0].numpy()) for rows in parts])

        return _kept(self.config.out / "features" / f"hog-{split}-{self.manifest[:16]}.npy", described)


_DATA = frozenset({"data", "out", "unseen", "augment", "rotate"})


@dataclass(frozen=True, kw_only=True, eq=False)
class _Predictions:
    """The (N, D) float32 embeddings of N drawings by a network, and its accuracy."""

    packed: PackedSplit
    embeddings: npt.NDArray[np.float32]
    threshold: float
    accuracy: float

    @property
    def codes(self) -> Codes:
        return codes_of(self.embeddings, self.threshold, self.packed)


@torch.no_grad()
def _predictions(trained: SketchEncoder, packed: PackedSplit, rows: Tensor | None = None) -> _Predictions:
    encoder = trained.to(packed.device).eval()
    parts, right = [], 0
    for f, scores, labels in answers(packed, encoder, trained.view, rows):
        parts.append(f.cpu().numpy())
        right += int((scores.argmax(1) == labels).sum())
    embeddings = np.concatenate(parts)
    return _Predictions(
        packed=packed, embeddings=embeddings, threshold=trained.threshold, accuracy=right / len(embeddings)
    )


def _without_classes(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "classes"}


def _kept(path: Path, make: Callable[[], npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    if not path.exists():
        found = make()
        with replacing(path) as file:
            np.save(file, found)
    array: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
    return array
