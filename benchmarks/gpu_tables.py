"""What `gpu.py` makes of its rows: the hours of a whole training, and the tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from measure import table

from sketchdata.pipelines import quickdraw
from sketchdata.storage.catalog import manifest_path, read_classes
from sketchdata.trainers import hashing

CLASSES = read_classes(manifest_path("quickdraw-categories.txt"))
#: What a data set and a training are when nobody says otherwise.
SPLITS, DEFAULTS = ({each.name: each.default for each in dataclasses.fields(m.Config)} for m in (quickdraw, hashing))
TRAIN, VAL = (len(CLASSES) * SPLITS[split] for split in ("train", "val"))
#: The stages that train each network.
STAGES = {"cnn": ("cnn",), "rnn": ("rnn",), "cr": ("fusion", "center", "code")}
#: Those of zero-shot recognition, on the paper's 200 seen classes; prototypes take seconds more.
ZERO_SHOT_STAGES = {"cnn": ("cnn",), "rnn": ("rnn",), "cr": ("fusion",)}
ZERO_SHOT_SHARE = 200 / len(CLASSES)
PACKED = "packed drawings"

Row = dict[str, Any]


def schedules(rows: list[Row]) -> Iterator[Row]:
    """Yield the hours of the whole training, for each way in which all three networks were trained."""
    packed = [row for row in rows if row["source"] == PACKED]
    for way in dict.fromkeys((row["batch"], row["compiled"]) for row in packed):
        own = {row["network"]: row for row in packed if (row["batch"], row["compiled"]) == way}
        if own.keys() == STAGES.keys():
            hours = {branch: _hours(own[branch], stages) for branch, stages in STAGES.items()}
            fewer = [_hours(own[branch], stages) for branch, stages in ZERO_SHOT_STAGES.items()]
            yield {
                "batch": way[0],
                "compiled": way[1],
                "hours_by_network": hours,
                "hours": sum(hours.values()),
                "zero_shot_hours": ZERO_SHOT_SHARE * sum(fewer),
            }


def _hours(row: Row, stages: tuple[str, ...]) -> float:
    epochs = sum(DEFAULTS[f"{stage}_epochs"] for stage in stages)
    centres = TRAIN if "center" in stages else 0
    return (epochs * (TRAIN / row["rate"] + VAL / row["validation_rate"]) + centres / row["validation_rate"]) / 3600


def text_of(report: Row) -> str:
    device, memory, peak = report["device"], report["memory"], report["peak"]
    parts = [
        f"{device['name']}, torch {device['torch']}, CUDA {device['cuda']}; {device['machine']}",
        f"Packed: {memory['drawings']:,} drawings take {memory['allocated_bytes'] / memory['drawings']:.1f} bytes each "
        f"on the device, {memory['all_drawings']:,} would take {memory['bytes_of_all'] / 1e6:,.0f} MB (wanted: 400 or "
        f"less). Matrix products of side {peak['side']:,} in {peak['type']} reach {peak['flops'] / 1e12:,.3g} TFLOP/s.",
        table(["batches alone (wanted: 1,000,000)", "on", "batch", "drawings/s"], _cells_of_making(report["making"])),
        table(HEAD, [_cells_of_training(row) for row in report["training"]]),
        table(
            [
                "whole schedule (wanted: 1 hour)",
                *(f"{branch}, hours" for branch in STAGES),
                "hours",
                "zero-shot recognition, 200 classes, hours",
            ],
            [_cells_of_schedule(row) for row in report["schedule"]],
        ),
        *(f"Not measured: {each['part']}, {each['what']}: {each['why']}" for each in report["failed"]),
    ]
    return "\n\n".join(parts)


HEAD = (
    "training",
    "fed by",
    "drawings/s",
    "batches alone/s",
    "of a step for data (wanted: 5 %)",
    "GFLOP a drawing",
    "of the peak",
    "validation, drawings/s",
)


def _way(row: Row) -> str:
    return f"batch {row['batch']:,}{', compiled' if row['compiled'] else ''}"


def _cells_of_schedule(row: Row) -> list[str]:
    return [
        _way(row),
        *(f"{each:,.3g}" for each in [*row["hours_by_network"].values(), row["hours"], row["zero_shot_hours"]]),
    ]


def _cells_of_making(rows: list[Row]) -> list[list[str]]:
    return [[row["what"], row["where"], f"{row['batch']:,}", f"{row['rate']:,.0f}"] for row in rows]


def _cells_of_training(row: Row) -> list[str]:
    return [
        f"{row['network']}, {_way(row)}",
        row["source"],
        f"{row['rate']:,.0f}",
        f"{row['batch'] / row['making_seconds']:,.0f}",
        f"{row['data_share']:.1%}" if "data_share" in row else "",
        f"{row['operations_a_drawing'] / 1e9:,.3g}",
        f"{row['peak_share']:.1%}",
        f"{row['validation_rate']:,.0f}" if "validation_rate" in row else "",
    ]
