"""Trains a small embedding of handwritten digits in plain NumPy, with the gradients of GE2E, and watches retrieval.

Run as ``python bench/train_embedding.py [--steps 300]``; takes a few seconds. Needs scikit-learn for the digits.
"""

from __future__ import annotations

import argparse

import fusedloss as fl
import numpy as np
from sklearn.datasets import load_digits

HIDDEN, DIMENSIONS, DIGITS_PER_CLASS = 64, 16, 12


def accuracy(embeddings: np.ndarray, labels: np.ndarray) -> float:
    """How often the nearest other embedding has the same label."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return float((labels[similarity.argmax(axis=1)] == labels).mean())


def main() -> None:
    """Trains on one half of the digits and retrieves in the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args().steps
    generator = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    images = (images / 16 - 0.5).astype(np.float32)
    half = generator.permutation(len(labels))
    train, test = half[: len(half) // 2], half[len(half) // 2 :]
    classes = [train[labels[train] == digit] for digit in range(10)]

    params = {
        "first": generator.normal(0, 0.2, (images.shape[1], HIDDEN)).astype(np.float32),
        "second": generator.normal(0, 0.05, (HIDDEN, DIMENSIONS)).astype(np.float32),
        "w": np.float32(10),
        "b": np.float32(-5),
    }
    moments = {key: (np.zeros_like(p), np.zeros_like(p)) for key, p in params.items()}

    for step in range(steps + 1):
        if step % max(1, steps // 6) == 0:
            hidden = np.maximum(images[test] @ params["first"], 0)
            print(f"step {step:4d}   retrieval accuracy {accuracy(hidden @ params['second'], labels[test]):.3f}")
        batch = images[np.stack([generator.choice(rows, DIGITS_PER_CLASS) for rows in classes])]
        hidden = np.maximum(batch @ params["first"], 0)
        embedded = hidden @ params["second"]
        _, (grad, of_w, of_b) = fl.ge2e_loss.value_and_grad(embedded, params["w"], params["b"], reduction="mean")
        of_hidden = (grad @ params["second"].T) * (hidden > 0)
        grads = {
            "first": np.einsum("nmi,nmh->ih", batch, of_hidden),
            "second": np.einsum("nmh,nmd->hd", hidden, grad),
            "w": of_w,
            "b": of_b,
        }
        for key, (mean, square) in moments.items():  # Adam
            mean += 0.1 * (grads[key] - mean)
            square += 0.01 * (grads[key] ** 2 - square)
            unbiased = mean / (1 - 0.9 ** (step + 1)) / (np.sqrt(square / (1 - 0.99 ** (step + 1))) + 1e-8)
            params[key] = (params[key] - 3e-3 * unbiased).astype(np.float32)
            moments[key] = mean, square


if __name__ == "__main__":
    main()
