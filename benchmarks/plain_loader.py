"""How one usually feeds a network: a torch DataLoader, whose workers read a PNG file or draw with PIL, item by item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sketchdata.training.loader import Batch, View
from sketchdata.training.packed import PackedSketches

Item = dict[str, Any]


@dataclass(kw_only=True, eq=False)
class Files(Dataset[Item]):
    """Drawings as PNG files, and their sequences as arrays in memory; either can be left out."""

    labels: Tensor
    pictures: Sequence[Path] | None
    sequences: Sequence[Tensor] | None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Item:
        item: Item = {"indices": index, "labels": self.labels[index]}
        if self.pictures is not None:
            item["raster"] = torch.from_numpy(cv2.imread(str(self.pictures[index]), cv2.IMREAD_GRAYSCALE))[None]
        if self.sequences is not None:
            item["sequence"] = self.sequences[index]
        return item


def write_pictures(packed: PackedSketches, chosen: Tensor, size: int, folder: Path) -> list[Path]:
    """Write a PNG file of each chosen drawing; return their paths."""
    paths = [folder / f"{i}.png" for i in range(len(chosen))]
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(chosen), 1000):
            bitmaps = packed.raster(chosen[start : start + 1000], size)[:, 0].numpy()
            names = [str(path) for path in paths[start : start + 1000]]
            if not all(threads.map(cv2.imwrite, names, bitmaps)):
                raise OSError(f"PNG files cannot be written to {folder}")
    return paths


def sequences_of(packed: PackedSketches, chosen: Tensor, view: View) -> list[Tensor]:
    """Return the chosen drawings' sequences, (points, 4) each."""
    padded, lengths = packed.sequence(chosen, view.max_points or 1, view.scale)
    return [sequence[:length].clone() for sequence, length in zip(padded, lengths.tolist(), strict=True)]


@dataclass(kw_only=True, eq=False)
class Frame(Dataset[Item]):
    """Rows of `pandas.read_parquet`: what a view wants is drawn by PIL and gathered by NumPy."""

    frame: pd.DataFrame
    view: View

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, index: int) -> Item:
        row = self.frame.iloc[index]
        strokes = [np.array([(point["x"], point["y"]) for point in stroke], np.uint8) for stroke in row["drawing"]]
        item: Item = {"indices": index, "labels": torch.tensor(row["label"], dtype=torch.int64)}
        if self.view.size is not None:
            item["raster"] = torch.from_numpy(_drawn(strokes, self.view.size))[None]
        if self.view.max_points is not None:
            item["sequence"] = torch.from_numpy(_sequence(strokes, self.view))
        return item


def _drawn(strokes: list[np.ndarray], size: int) -> np.ndarray:
    image = Image.new("L", (size, size))
    draw = ImageDraw.Draw(image)
    for stroke in strokes:
        draw.line((stroke * ((size - 1) / 255)).ravel().tolist(), fill=255, width=1)
    return np.array(image)


def _sequence(strokes: list[np.ndarray], view: View) -> np.ndarray:
    points = np.concatenate(strokes).astype(np.float32)
    rows = np.zeros((len(points), 4), np.float32)
    rows[1:, :2] = np.diff(points, axis=0) / view.scale
    rows[np.cumsum([len(stroke) for stroke in strokes]) - 1, 3] = 1
    rows[:, 2] = 1 - rows[:, 3]
    return rows[: view.max_points]


def plain_batches(dataset: Dataset[Item], size: int, workers: int, device: torch.device) -> Iterator[Batch]:
    """Yield the batches of one epoch after the other, on a device."""
    loader = DataLoader(
        dataset,
        batch_size=size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        collate_fn=_collated,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        worker_init_fn=_start_worker,
    )
    while True:
        for items in loader:
            lengths = items.pop("lengths", None)
            yield Batch(lengths=lengths, **{name: each.to(device, non_blocking=True) for name, each in items.items()})


def _start_worker(_number: int) -> None:
    cv2.setNumThreads(0)


def _collated(items: list[Item]) -> Item:
    batch: Item = {"indices": torch.tensor([item["indices"] for item in items])}
    batch |= {name: torch.stack([item[name] for item in items]) for name in ("labels", "raster") if name in items[0]}
    if "sequence" in items[0]:
        sequences = [item["sequence"] for item in items]
        batch["sequence"] = nn.utils.rnn.pad_sequence(sequences, batch_first=True)
        batch["lengths"] = torch.tensor([len(each) for each in sequences])
    return batch
