r"""Train the dual-branch network to give drawings binary codes, by which they are found among millions.

    sketchdata train hashing --data data/quickdraw-3.8m --out runs/hashing-64 --bits 64
    sketchdata train hashing --data data/quickdraw-3.8m --out runs/hashing-64 --bits 64 --resume      # after a stop
    sketchdata train hashing --data data/quickdraw-3.8m --out runs/hashing-16 --bits 16 --pretrained runs/hashing-64
    sketchdata train hashing --data data/quickdraw-3.8m --out runs/dlbhc --branch cnn --loss cel      # a baseline
    sketchdata train hashing --data data/small --out runs/small --backbone small --size 32 --hidden 64 \
        --cnn-epochs 3 --rnn-epochs 3 --fusion-epochs 2 --center-epochs 2 --code-epochs 2             # about a minute

Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Algorithm 1. Steps 1
to 4 are those of the trainer `recognition`, with a fusion layer of as many numbers as there are bits; step 5 draws
these numbers to 0 and 1. From the fusion on, an epoch is chosen by what its binary codes alone tell of the class.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sketchdata.trainers import recognition
from sketchdata.trainers.options import HashingConfig as Config
from sketchdata.training.distributed import joined
from sketchdata.training.encoder import SketchEncoder
from sketchdata.training.loader import Batch
from sketchdata.training.losses import CodeLoss, codes
from sketchdata.training.options import NetworkOptions, TrainingOptions


def run(config: Config, network: NetworkOptions, training: TrainingOptions) -> dict[str, Any]:
    """Train stage by stage, write the network, and return the report that is written beside it.

    Raises:
        ConfigError: Folders, options or the device do not fit.
        SketchDataError: The data is damaged, the training diverged, or the disk is full.
        InterruptedRunError: Ctrl-C; `--resume` goes on.
    """
    with joined(training.device) as ranks:
        folder, facts = recognition.prepare("hashing", config, network, training, ranks)
        report: dict[str, Any] | None = folder.report()
        if report is None:
            experiment = recognition.read_experiment(folder, config, network, training, int(config.bits))
            encoder = recognition.new_encoder(experiment)
            records = [*recognition.pretrain(experiment, encoder, config), *_learn_codes(experiment, encoder, config)]
            report = recognition.conclude(experiment, encoder, records, facts)
        return report


def _learn_codes(experiment: recognition.Experiment, encoder: SketchEncoder, config: Config) -> list[dict[str, Any]]:
    """Train the whole network, step 3 to 5, as far as the loss goes; return the stages' records."""

    def learn(name: str, epochs: int, loss: CodeLoss) -> dict[str, Any]:
        validation = {"validate": experiment.validation(answers), "chooser": "code_accuracy"}
        objective, rate = recognition.CodeObjective(encoder, loss), config.cnn_learning_rate
        record: dict[str, Any] = experiment.fit(name, epochs, objective, rate, **validation)
        return record

    def answers(batch: Batch) -> dict[str, Tensor]:
        f, scores = encoder(batch)
        return {"accuracy": scores, "code_accuracy": encoder.fusion.classifier(codes(f))}

    records = [learn("fusion", config.fusion_epochs, CodeLoss())]
    if config.loss != "cel":
        loss = recognition.center_loss(experiment, encoder, config.loss, config.center_weight)
        records.append(learn("centers", config.center_epochs, loss))
    if config.loss.endswith("ql"):
        total = CodeLoss(loss.centers, center_weight=config.center_weight, code_weight=config.code_weight)
        records.append(learn("codes", config.code_epochs, total))
    return records
