"""Small models trained with PyTorch's losses and with ours in their place: the same course, and the time of a step.

Both train from the same start on the same batches, in turns of some steps. The data are scikit-learn's digits and the
words in the sources of Python's standard library. Run as ``python bench/train_torch.py``; writes
``results/train_torch.md`` and takes a minute.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import fusedloss.adapters.torch
import numpy as np
import report
import torch
import torch.nn.functional
from sklearn.datasets import load_digits
from torch import nn

RESULTS = Path(__file__).resolve().parent / "results" / "train_torch.md"
LIBRARIES = (torch.nn.functional, fusedloss.adapters.torch)
STEPS_OF_A_TURN = 10
WORDS, CONTEXT = 4000, 8


class Task(NamedTuple):
    """A model, its data, and its loss in the functions of either library."""

    name: str
    model: Callable[[], nn.Module]
    inputs: torch.Tensor
    targets: torch.Tensor
    batch: int
    steps: int
    loss: Callable[[Any, Any, torch.Tensor, torch.Tensor], torch.Tensor]  # functions, model, what it gives, targets

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Always the same, without an end."""
        generator = torch.Generator().manual_seed(1)
        while True:
            for rows in torch.randperm(len(self.inputs), generator=generator).split(self.batch):
                yield self.inputs[rows], self.targets[rows]


class Training:
    """The losses on the way, and the seconds of each step and of its loss alone."""

    def __init__(self, task: Task, functions: Any) -> None:
        torch.manual_seed(0)
        self.task, self.functions, self.model = task, functions, task.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.02, momentum=0.9)
        self.batches = task.batches()
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.seconds_of_loss: list[float] = []

    def advance(self, steps: int) -> None:
        for x, y in islice(self.batches, steps):
            began = time.perf_counter()
            self.optimizer.zero_grad()
            loss = self.task.loss(self.functions, self.model, self.model(x), y)
            loss.backward()
            self.optimizer.step()
            self.seconds.append(time.perf_counter() - began)
            self.losses.append(loss.item())
        for _ in range(steps):
            self.optimizer.zero_grad()
            given = self.model(x).detach().requires_grad_()
            began = time.perf_counter()
            self.task.loss(self.functions, self.model, given, y).backward()
            self.seconds_of_loss.append(time.perf_counter() - began)


# ---- models -----------------------------------------------------------------------------------------


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images with brightness from 0 to 1, and their classes."""
    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy((images / 16).astype(np.float32)), torch.from_numpy(labels)


def classifier() -> Task:
    return Task(
        "digits, two layers: cross_entropy, 64 x 10",
        lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
        *(*digits(), 64, 1000),
        lambda functions, _, scores, y: functions.cross_entropy(scores, y),
    )


def autoencoder(loss: str) -> Task:
    images, _ = digits()
    return Task(
        f"digits, autoencoder: {loss}, 128 x 64",
        lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 64)),
        *(images, images, 128, 1000),
        lambda functions, _, scores, y: getattr(functions, loss)(scores, y),
    )


def segmenter(count: int = 256, cells: int = 4) -> Task:
    """Digits side by side on a canvas: to which does a pixel belong?"""
    images, labels = digits()
    chosen = torch.randint(len(images), (count, cells, cells), generator=torch.Generator().manual_seed(0))
    canvas = images[chosen].view(count, cells, cells, 8, 8)
    classes = (labels[chosen] + 1)[..., None, None] * (canvas > 0.3)
    whole = (count, 8 * cells, 8 * cells)
    return Task(
        f"digits on a canvas, two convolutions: cross_entropy, 16 x 11 x {whole[1]} x {whole[2]}",
        lambda: nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 11, 5, padding=2)),
        canvas.transpose(2, 3).reshape(whole).unsqueeze(1),
        classes.transpose(2, 3).reshape(whole),
        *(16, 100),
        lambda functions, _, scores, y: functions.cross_entropy(scores, y),
    )


def contexts(count: int = 100_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Some words of Python sources one after another, and the word that follows; rare ones are one word."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)
    words = re.findall(r"\w+|[^\w\s]", text)[: count + CONTEXT]
    numbers = {word: k for k, (word, _) in enumerate(Counter(words).most_common(WORDS - 1), start=1)}
    numbered = torch.tensor([numbers.get(word, 0) for word in words])
    return numbered[:-1].unfold(0, CONTEXT, 1), numbered[CONTEXT:]


class LanguageModel(nn.Module):
    """The next word from those before it; up to the layer of the scores where that is fused with the loss."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.words = nn.Sequential(
            *(nn.Embedding(WORDS, 64), nn.Flatten(), nn.Linear(64 * CONTEXT, 128), nn.ReLU()),
        )
        self.head = nn.Linear(128, WORDS, bias=False)
        self.fused = fused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.words(x)
        return hidden if self.fused else self.head(hidden)


def language_model(*, fused: bool) -> Task:
    def loss(functions: Any, model: LanguageModel, given: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if fused:
            return functions.linear_cross_entropy(given, model.head.weight, y)
        return functions.cross_entropy(given, y)

    name = f"linear_cross_entropy, 256 x 128 x {WORDS}" if fused else f"cross_entropy, 256 x {WORDS}"
    return Task(f"language model: {name}", lambda: LanguageModel(fused), *contexts(), 256, 100, loss)


# ---- what is measured -------------------------------------------------------------------------------


def row(task: Task) -> list[str]:
    theirs, ours = trainings = [Training(task, library) for library in LIBRARIES]
    for _ in range(0, task.steps, STEPS_OF_A_TURN):
        for training in trainings:
            training.advance(STEPS_OF_A_TURN)
    cells = [task.name, str(torch.get_num_threads())]
    for seconds in ("seconds", "seconds_of_loss"):
        before, now = (statistics.median(getattr(training, seconds)) * 1e6 for training in (theirs, ours))
        cells += [f"{before:.0f}", f"{now:.0f}", f"{before / now:.2f}"]
    differences = [abs(a - b) / abs(a) for a, b in zip(theirs.losses, ours.losses, strict=True)]
    return [*cells, f"{ours.losses[0]:.3f} to {ours.losses[-1]:.3f}", f"{max(differences):.0e}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="*", default=sorted({1, torch.get_num_threads()}))
    chosen = parser.parse_args()
    began, load = time.perf_counter(), os.getloadavg()[0]
    tasks = [classifier(), autoencoder("mse_loss"), autoencoder("binary_cross_entropy_with_logits"), segmenter()]
    tasks.append(language_model(fused=False))
    if hasattr(torch.nn.functional, "linear_cross_entropy"):
        tasks.append(language_model(fused=True))
    rows = []
    for task in tasks:
        for threads in chosen.threads:
            torch.set_num_threads(threads)
            rows.append(row(task))
            print(*rows[-1], sep="  ", flush=True)
    head = ["model and loss", "threads", "step: torch", "ours", "x", "loss alone: torch", "ours", "x"]
    head += ["loss", "difference"]
    text = (
        "Microseconds, medians; x is how many times faster. *Loss alone* is its value and its gradient in what the "
        "model gives, and in the weights of the last layer where that is fused with it. The *difference* is the "
        "largest at any step between the losses of the two, relative to the loss."
    )
    machine = report.circumstances(time.perf_counter() - began, load)
    RESULTS.write_text("\n\n".join(["# Training", machine, text, report.table(head, rows)]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
