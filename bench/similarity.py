"""Losses of all pairs of embeddings beside PyTorch and the rate of its matrix product, all in the same run.

A loss with gradients for both sides needs three matrix products; its rate counts these alone. Peak memory is what a
call takes beyond its arguments and gradients, looked at every millisecond in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fusedloss as fl
import numpy as np
from fusedloss import _core

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None

PRODUCTS = ((1024, 1024, 1024), (2048, 4096, 512))
PAUSE_SECONDS = 0.05


def best_time(call: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        time.sleep(PAUSE_SECONDS)
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(call: Callable[[], Any]) -> int:
    """How much more memory is resident at any time of a call."""
    before = highest = resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(1e-3):
            highest = max(highest, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return highest - before


def embeddings(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d), np.float32)


def torch_pairs(name: str, arrays: dict[str, np.ndarray]) -> Callable[[], None]:
    given = {k: torch.tensor(a, requires_grad=a.dtype.kind == "f") for k, a in arrays.items()}

    def other_half(n: int) -> Any:
        return (torch.arange(n) + n // 2) % n

    def run() -> None:
        for x in given.values():
            x.grad = None
        if name == "info_nce_loss":
            q, p = F.normalize(given["query"]), F.normalize(given["positive"])
            loss = F.cross_entropy(q @ p.T / 0.1, torch.arange(len(q)))
        elif name == "nt_xent_loss":
            z = F.normalize(torch.cat([given["view1"], given["view2"]]))
            s = (z @ z.T / 0.5).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
            loss = F.cross_entropy(s, other_half(len(z)))
        else:
            z, y = F.normalize(given["input"]), given["target"]
            self_pairs = torch.eye(len(z), dtype=torch.bool)
            s = (z @ z.T / 0.1).masked_fill(self_pairs, -torch.inf)
            same = (y[:, None] == y) & ~self_pairs
            log_p = s - s.logsumexp(1, keepdim=True)
            terms = torch.where(same, log_p, 0.0).sum(1) / same.sum(1).clamp(min=1)
            loss = -terms.sum() / same.any(1).sum()
        loss.backward()

    return run


def torch_linear(fused: bool, input: np.ndarray, linear_weight: np.ndarray, target: np.ndarray) -> Callable[[], None]:
    x, w, y = (
        torch.tensor(input, requires_grad=True),
        torch.tensor(linear_weight, requires_grad=True),
        torch.tensor(target),
    )
    x.grad, w.grad = torch.zeros_like(x), torch.zeros_like(w)

    def run() -> None:
        (F.linear_cross_entropy(x, w, y) if fused else F.cross_entropy(F.linear(x, w), y)).backward()

    return run


HEADS = (
    "linear_distillation_loss",
    "linear_jensen_shannon_divergence",
    "linear_cosine_distillation_loss",
    "linear_dpo_loss",
)


def torch_head(name: str, arrays: dict[str, np.ndarray]) -> Callable[[], None]:
    """The loss with all scores in memory, and its gradients."""
    given = {k: torch.tensor(a, requires_grad=k in ("input", "linear_weight")) for k, a in arrays.items()}
    x, w = given["input"], given["linear_weight"]
    x.grad, w.grad = torch.zeros_like(x), torch.zeros_like(w)

    def of_pairs() -> Any:
        tokens = F.log_softmax(F.linear(x, w), -1).gather(-1, given["target"][..., None])[..., 0]
        gains = tokens.sum(1) - given["reference_log_prob"]
        return F.softplus(-0.1 * (gains[: len(gains) // 2] - gains[len(gains) // 2 :])).mean()

    def of_teacher() -> Any:
        z, t = F.linear(x, w), F.linear(given["target"], given["target_weight"])
        if name == "linear_cosine_distillation_loss":
            return (1 - F.cosine_similarity(z, t)).mean()
        p, r = F.log_softmax(z, -1), F.log_softmax(t, -1)
        if name == "linear_distillation_loss":
            return F.kl_div(p, r, reduction="batchmean", log_target=True)
        m = torch.logaddexp(p, r) - float(np.log(2.0))
        return sum(F.kl_div(m, a, reduction="batchmean", log_target=True) for a in (p, r)) / 2

    return lambda: (of_pairs() if name == "linear_dpo_loss" else of_teacher()).backward()


def pair_arrays(name: str, n: int, d: int) -> dict[str, np.ndarray]:
    if name == "info_nce_loss":
        return {"query": embeddings(n, d), "positive": embeddings(n, d, 1)}
    if name == "nt_xent_loss":
        return {"view1": embeddings(n // 2, d), "view2": embeddings(n // 2, d, 1)}
    return {"input": embeddings(n, d), "target": np.random.default_rng(2).integers(0, n // 8, n)}


def linear_arrays(n: int, c: int, d: int) -> dict[str, np.ndarray]:
    weight = embeddings(c, d, 1) / np.sqrt(np.float32(d))
    return {"input": embeddings(n, d), "linear_weight": weight, "target": np.random.default_rng(2).integers(0, c, n)}


def head_arrays(name: str, n: int, c: int, d: int) -> dict[str, np.ndarray]:
    arrays = linear_arrays(n, c, d)
    if name != "linear_dpo_loss":
        return arrays | {"target": embeddings(n, d, 3), "target_weight": arrays["linear_weight"][::-1].copy()}
    answers = max(2, n // 256 * 2)
    arrays["input"] = arrays["input"].reshape(answers, -1, d)
    target = arrays["target"].reshape(answers, -1)
    return arrays | {"target": target, "reference_log_prob": np.full(answers, -1000.0, np.float32)}


def our_head(name: str, arrays: dict[str, np.ndarray], threads: int | None = None) -> Callable[[], Any]:
    """The value and the gradients, in new arrays."""
    return partial(getattr(fl, name).value_and_grad, **arrays, n_threads=threads)


def ours(name: str, arrays: dict[str, np.ndarray], threads: int | None = None) -> Callable[[], Any]:
    """The value and the gradients, written to arrays that are there already."""
    loss = getattr(fl, name)
    out = tuple(np.ones_like(a) for a in arrays.values() if a.dtype.kind == "f")
    return partial(loss.value_and_grad, **arrays, out=out if len(out) > 1 else out[0], n_threads=threads)


def _peak(pipe: Any, make: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...]) -> None:
    pipe.send(peak_bytes(make(*arguments)))


def peak_megabytes(make: Callable[..., Callable[[], Any]], *arguments: Any) -> float:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_peak, args=(sender, make, arguments))
    process.start()
    process.join()
    return float(receiver.recv()) / 1e6


def report_products(threads: int, repeats: int) -> None:
    for dtype in (np.float32, np.float64):
        for m, n, k in PRODUCTS:
            a, b = embeddings(m, k).astype(dtype), embeddings(k, n).astype(dtype)
            out = np.zeros((m, n), dtype)
            rates = {"fusedloss": lambda a=a, b=b, out=out: _core.gemm(a, b, out, 1.0, False, threads)}
            if torch:
                of_torch = [torch.tensor(x) for x in (a, b, out)]
                rates["torch"] = lambda t=of_torch: torch.mm(t[0], t[1], out=t[2])
            rates["numpy"] = lambda a=a, b=b, out=out: np.matmul(a, b, out=out)
            text = ", ".join(
                f"{name} {2e-9 * m * n * k / best_time(call, 4 * repeats):.0f}" for name, call in rates.items()
            )
            print(f"{np.dtype(dtype)} {m}x{n}x{k}, {threads} threads, GFLOP/s: {text}")


def report_pairs(n: int, d: int, threads: int, repeats: int) -> None:
    a = embeddings(n, d)
    rate = 2e-9 * n * n * d / best_time(lambda: a @ a.T, 1)
    if torch:
        t, out = torch.tensor(a), torch.empty(n, n)
        rate = 2e-9 * n * n * d / best_time(lambda: torch.mm(t, t.T, out=out), repeats)
    for name in ("info_nce_loss", "nt_xent_loss", "supervised_contrastive_loss"):
        arrays = pair_arrays(name, n, d)
        seconds = best_time(ours(name, arrays, threads), repeats)
        own = 6e-9 * n * n * d / seconds
        text = (
            f"{name} {n}x{d}, {threads} threads: {seconds:.3f} s, {own:.0f} GFLOP/s, {own / rate:.2f} of the product's"
        )
        if torch:
            text += f"; torch {best_time(torch_pairs(name, arrays), max(1, repeats // 2)):.3f} s"
        print(text)


def report_linear(n: int, c: int, d: int, threads: int, repeats: int) -> None:
    arrays = linear_arrays(n, c, d)
    seconds = best_time(ours("linear_cross_entropy", arrays, threads), repeats)
    memory = peak_megabytes(ours, "linear_cross_entropy", arrays)
    print(f"linear_cross_entropy {n}x{c}x{d}: {seconds:.2f} s, {memory:.0f} MB")
    if torch and hasattr(F, "linear_cross_entropy"):
        for fused in (False, True):
            what = "F.linear_cross_entropy" if fused else "F.linear and F.cross_entropy"
            seconds = best_time(torch_linear(fused, *arrays.values()), max(1, repeats // 2))
            print(f"  torch's {what}: {seconds:.2f} s, {peak_megabytes(torch_linear, fused, *arrays.values()):.0f} MB")


def report_heads(n: int, c: int, d: int, threads: int, repeats: int) -> None:
    for name in HEADS:
        arrays = head_arrays(name, n, c, d)
        results = (arrays["input"].nbytes + arrays["linear_weight"].nbytes) / 1e6
        seconds = best_time(our_head(name, arrays, threads), repeats)
        text = f"{name} {n}x{c}x{d}: {seconds:.2f} s, {peak_megabytes(our_head, name, arrays) - results:.0f} MB"
        if torch:
            seconds = best_time(torch_head(name, arrays), max(1, repeats // 2))
            text += f"; torch {seconds:.2f} s, {peak_megabytes(torch_head, name, arrays):.0f} MB"
        print(text)


def report_memory(n: int, d: int) -> None:
    for name in ("info_nce_loss", "nt_xent_loss", "supervised_contrastive_loss"):
        arrays = pair_arrays(name, n, d)
        seconds = best_time(ours(name, arrays), 1)
        print(f"{name} {n}x{d}: {seconds:.2f} s, {peak_megabytes(ours, name, arrays):.0f} MB")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=("products", "pairs", "linear", "heads", "memory"))
    parser.add_argument("--pairs", type=int, nargs=2, default=(8192, 256), metavar=("N", "D"))
    parser.add_argument("--linear", type=int, nargs=3, default=(2048, 32000, 1024), metavar=("N", "C", "D"))
    parser.add_argument("--memory", type=int, nargs=2, default=(32768, 128), metavar=("N", "D"))
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, fl.get_num_threads()}))
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args(arguments)
    wanted = chosen.only or ("products", "pairs", "linear", "heads", "memory")
    for threads in chosen.threads:
        if torch:
            torch.set_num_threads(threads)
        if "products" in wanted:
            report_products(threads, chosen.repeats)
        if "pairs" in wanted:
            report_pairs(*chosen.pairs, threads, chosen.repeats)
    if "linear" in wanted:
        report_linear(*chosen.linear, chosen.threads[-1], chosen.repeats)
    if "heads" in wanted:
        report_heads(*chosen.linear, chosen.threads[-1], chosen.repeats)
    if "memory" in wanted:
        report_memory(*chosen.memory)


if __name__ == "__main__":
    main()
