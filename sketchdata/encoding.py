"""What a trained network makes of the drawings of a split: numbers, and binary codes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from sketchdata.bitmaps import Packed, PackedBitmaps
from sketchdata.codes import Codes, pack_bits
from sketchdata.encoder import Trained
from sketchdata.progress import task_bar


@torch.no_grad()
def outputs(
    trained: Trained,
    packed: Packed,
    *,
    rows: npt.NDArray[np.int64] | None = None,
    device: str = "cpu",
    batch_size: int = 512,
) -> npt.NDArray[np.float32]:
    """Return the numbers of the code layer for every drawing, in their order.

    Args:
        trained: The network.
        packed: Drawings, of any classes.
        rows: (N,) which of them; None for all.
        device: Where to compute.
        batch_size: Drawings at a time.

    Returns:
        (N, D) float32.
    """
    packed = packed.to(device)
    encoder = trained.encoder.to(packed.device).eval()
    chosen = torch.arange(len(packed)) if rows is None else torch.from_numpy(rows)
    found = np.empty((len(chosen), trained.width), np.float32)
    with task_bar() as bar:
        shown = bar.add_task("Encoding", total=len(chosen))
        for start in range(0, len(chosen), batch_size):
            indices = chosen[start : start + batch_size]
            f, _ = encoder(trained.view.batch(packed, indices))
            found[start : start + len(indices)] = f.cpu().numpy()
            bar.update(shown, advance=len(indices))
    return found


@torch.no_grad()
def probabilities(
    trained: Trained, numbers: npt.NDArray[np.float32], *, device: str = "cpu"
) -> npt.NDArray[np.float64]:
    """Return what the classifier makes of numbers of the code layer, (N, D): (N, L), of the classes it learned."""
    classify = trained.encoder.to(device).eval().fusion.classifier
    found: npt.NDArray[np.float64] = classify(torch.from_numpy(numbers).to(device)).double().softmax(1).cpu().numpy()
    return found


def encode(trained: Trained, packed: Packed, *, device: str = "cpu", batch_size: int = 512) -> Codes:
    """Return the binary codes of every drawing, in their order: Eq. 5, 1 where a number reaches the threshold.

    The class table is that of the drawings, which the network need not know. Bitmaps have no key_ids: the number of the
    row stands for it.
    """
    return codes_of(outputs(trained, packed, device=device, batch_size=batch_size), trained.threshold, packed)


def codes_of(numbers: npt.NDArray[np.float32], threshold: float, packed: Packed) -> Codes:
    """Return the codes of drawings whose numbers are known: (N, D) float32."""
    key_ids: npt.NDArray[np.uint64] = np.arange(len(packed), dtype=np.uint64)
    if not isinstance(packed, PackedBitmaps):
        key_ids = packed.key_ids.cpu().numpy().view(np.uint64)
    return Codes(
        bits=numbers.shape[1],
        packed=pack_bits(numbers >= threshold),
        labels=packed.labels.cpu().numpy().astype(np.uint16),
        key_ids=key_ids,
        classes=packed.classes,
    )
