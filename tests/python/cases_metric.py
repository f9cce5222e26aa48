"""What to try the losses of metric learning on: arrays, parameters, and the reference of each.

A `MetricCase` draws float64 arrays by argument name; its reference gives, for such arrays, the values of the rows and
how many terms each of them sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import references_metric as ref

Array = np.ndarray
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class MetricCase:
    """A loss with one set of parameters."""

    loss: str
    params: Mapping[str, Any]
    draw: Callable[[np.random.Generator, int], dict[str, Array]]
    reference: Callable[..., tuple[Array, Array]]
    frozen: str = ""  # the argument whose value, as it was, the weights of the reference are taken at
    trains: tuple[str, ...] = field(default=("input",))

    def __str__(self) -> str:
        shown = "-".join(f"{key}={value}" for key, value in self.params.items())
        return f"{self.loss}-{shown}" if shown else self.loss


def unit(x: Array) -> Array:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def cosines(a: Array, b: Array) -> Array:
    return unit(a) @ unit(b).T


def distances(x: Array, distance: str, normalize: bool) -> Array:
    if distance == "cosine":
        return 1 - cosines(x, x)
    x = unit(x) if normalize else x
    squares = ((x[:, None] - x[None]) ** 2).sum(-1)
    return squares if distance == "sqeuclidean" else np.sqrt(squares + np.where(np.eye(len(x)), 1.0, 0.0))


def batch(generator: np.random.Generator, n: int, dimensions: int = 6, classes: int | None = None) -> dict[str, Array]:
    """Embeddings and labels, one of which is alone."""
    target = generator.integers(0, classes or max(2, n // 4), n)
    target[-1] = target.max() + 1
    return {"input": generator.normal(size=(n, dimensions)), "target": target}


def sets(target: Array) -> tuple[Array, Array]:
    same = target[:, None] == target
    return same & ~np.eye(len(target), dtype=bool), ~same


def on_cosines(row: Callable[..., Any], **names: str) -> Callable[..., Any]:
    """A reference over cosines; `names` translates parameters."""

    def reference(input, target, *, at=None, degrees=False, **params):
        params = {names.get(key, key): value for key, value in params.items()}
        if degrees:
            params["margin"] = math.radians(params["margin"])
        if at is not None:
            params["at"] = cosines(at, at)
        return row(cosines(input, input), *sets(target), **params)

    return reference


def on_distances(row: Callable[..., Any], normalize: bool, default: str = "euclidean", **names: str) -> Any:
    def reference(input, target, *, beta=None, normalize=normalize, distance=default, at=None, **params):
        params = {names.get(key, key): value for key, value in params.items()}
        if at is not None:
            params["at"] = distances(at, distance, normalize)
        if beta is not None:
            params["beta"] = beta[target][:, None] if np.ndim(beta) else beta
        return row(distances(input, distance, normalize), *sets(target), **params)

    return reference


def head(input, weight, target, **params):
    m = {"margin": 0.5, "scale": 64.0, **params}
    beyond = "cosine" if m.get("easy_margin") else "line"
    margin = math.radians(m["margin"]) if m.get("degrees") else m["margin"]
    return ref.margin_softmax(cosines(input, weight), target, scale=m["scale"], m2=margin, beyond=beyond), counted(
        target
    )


def counted(target: Array) -> Array:
    return np.ones(len(target))


def cosface(input, weight, target, *, margin=0.35, scale=64.0):
    return ref.margin_softmax(cosines(input, weight), target, scale=scale, m2=0.0, m3=margin), counted(target)


def sphereface(input, weight, target, *, margin=4.0, scale=1.0):
    lengths = np.linalg.norm(input, axis=1)
    c = cosines(input, weight)
    return ref.margin_softmax(
        c, target, scale=scale, m1=margin, m2=0.0, beyond="falls", norm=lengths
    ), counted(target)  # fmt: skip


def large_margin(input, weight, target, *, margin=4.0, scale=1.0):
    lengths = np.linalg.norm(input, axis=1)[:, None] * np.linalg.norm(weight, axis=1)
    c, rows = cosines(input, weight), np.arange(len(input))
    own = ref.turned(c[rows, target], margin, 0.0, 0.0, "falls")
    return ref.label_softmax(scale * lengths * c, target, scale * lengths[rows, target] * own), counted(target)


def p2sgrad(input, weight, target):
    onehot = np.arange(len(weight)) == target[:, None]
    return ((cosines(input, weight) - onehot) ** 2).sum(1), counted(target)


def combined(input, weight, target, *, m1=1.0, m2=0.3, m3=0.2, scale=64.0):
    beyond = "line" if m1 == 1.0 else "falls"
    c = cosines(input, weight)
    return ref.margin_softmax(c, target, scale=scale, m1=m1, m2=m2, m3=m3, beyond=beyond), counted(target)


def normalized_softmax(input, weight, target, *, temperature=0.05, normalize_input=True):
    norm = None if normalize_input else np.linalg.norm(input, axis=1)
    c = cosines(input, weight)
    return ref.margin_softmax(c, target, scale=1 / temperature, m2=0.0, norm=norm), counted(target)


def adaface(input, weight, target, *, at=None, **params):
    norm = np.linalg.norm(input if at is None else at, axis=1)
    return ref.adaface(cosines(input, weight), target, norm, **params), counted(target)


def magface(input, weight, target, **params):
    return ref.magface(cosines(input, weight), target, np.linalg.norm(input, axis=1), **params), counted(target)


def curricularface(input, weight, target, **params):
    return ref.curricularface(cosines(input, weight), target, **params), counted(target)


def centred(input, weight, target, *, gamma, **params):
    s = np.einsum("nd,ckd->nck", unit(input), unit(weight))
    return ref.centre_softmax(s, target, gamma=gamma, **params), counted(target)


def sub_center(input, weight, target, *, margin=0.5, scale=64.0, degrees=False):
    margin = math.radians(margin) if degrees else margin
    return centred(input, weight, target, gamma=0.0, m2=margin, scale=scale)


def soft_triple(input, weight, target, *, scale=20.0, gamma=0.1, margin=0.01):
    return centred(input, weight, target, gamma=gamma, m2=0.0, m3=margin, scale=scale)


def proxy_nca(input, proxies, target, *, scale=1.0, denominator="all", normalize=True):
    a, b = (unit(input), unit(proxies)) if normalize else (input, proxies)
    z = -scale * ((a[:, None] - b[None]) ** 2).sum(-1)
    own = np.arange(len(proxies)) == target[:, None]
    chosen = np.full_like(own, True) if denominator == "all" else ~own
    return ref.log_sum_exp(z, chosen) - z[own], counted(target)


def proxy_anchor(input, proxies, target, *, margin=0.1, scale=32.0):
    same = np.arange(len(proxies))[:, None] == target
    share = len(proxies) / same.any(1).sum()
    s = cosines(proxies, input)
    return ref.proxy_anchor(s, same, ~same, scale=scale, margin=margin, positive_share=share)


def mega_batch(anchor, positive, **params):
    same = np.eye(len(anchor), dtype=bool)
    return ref.mega_batch_margin(cosines(anchor, positive), same, ~same, **params)


def ge2e(input, weight, bias, *, variant="softmax"):
    speakers, utterances, _ = input.shape
    values = np.zeros((speakers, utterances))
    for j, i in np.ndindex(speakers, utterances):
        centroids = input.mean(1)
        centroids[j] = np.delete(input[j], i, axis=0).mean(0)
        s = weight * cosines(input[j, i][None], centroids)[0] + bias
        other = np.delete(s, j)
        if variant == "softmax":
            values[j, i] = np.logaddexp.reduce(s) - s[j]
        else:
            values[j, i] = 1 - 1 / (1 + np.exp(-s[j])) + (1 / (1 + np.exp(-other))).max()
    return values.ravel(), np.ones(values.size)


def uttered(generator, n):
    return {
        "input": generator.normal(size=(n // 2, 3, 6)),
        "weight": generator.uniform(2, 8, ()),
        "bias": generator.normal(size=()),
    }


def classified(name: str, *shape: int) -> Callable[..., Any]:
    def draw(generator, n):
        target = generator.integers(0, shape[0], n)
        return {"input": generator.normal(size=(n, 6)), name: generator.normal(size=(*shape, 6)), "target": target}

    return draw


def with_beta(*shape: int) -> Callable[..., Any]:
    def draw(generator, n):
        arrays = batch(generator, n, classes=3)
        return {"input": arrays["input"], "beta": generator.uniform(0.6, 1.4, shape), "target": arrays["target"]}

    return draw


def one_beta(reference: Callable[..., Any]) -> Callable[..., Any]:
    return lambda beta, **arguments: reference(**arguments, beta=beta[0])


def paired(generator, n):
    anchor = generator.normal(size=(n, 6))
    return {"anchor": anchor, "positive": anchor + generator.normal(size=(n, 6))}


def _cases():
    heads = ("input", "weight")
    few, many = classified("weight", 5), classified("weight", 90)
    for draw in (few, many):
        yield MetricCase("arcface_loss", {}, draw, head, trains=heads)
        yield MetricCase("arcface_loss", {"scale": 8.0, "easy_margin": True, "margin": 0.25}, draw, head, trains=heads)
        yield MetricCase("cosface_loss", {"scale": 16.0, "margin": 0.25}, draw, cosface, trains=heads)
        yield MetricCase("sphereface_loss", {}, draw, sphereface, trains=heads)
        yield MetricCase("large_margin_softmax_loss", {}, draw, large_margin, trains=heads)
        yield MetricCase("p2sgrad_loss", {}, draw, p2sgrad, trains=heads)
    yield MetricCase("arcface_loss", {"margin": 28.5, "degrees": True, "scale": 8.0}, few, head, trains=heads)
    yield MetricCase("sphereface_loss", {"margin": 1.5, "scale": 2.0}, few, sphereface, trains=heads)
    yield MetricCase("large_margin_softmax_loss", {"margin": 1.5, "scale": 0.5}, few, large_margin, trains=heads)
    yield MetricCase("combined_margin_loss", {}, few, combined, trains=heads)
    combination = {"m1": 1.5, "m2": 0.25, "m3": 0.125, "scale": 8.0}
    yield MetricCase("combined_margin_loss", combination, few, combined, trains=heads)
    yield MetricCase("normalized_softmax_loss", {}, few, normalized_softmax, trains=heads)
    raw = {"temperature": 0.5, "normalize_input": False}
    yield MetricCase("normalized_softmax_loss", raw, few, normalized_softmax, trains=heads)
    norms = {"norm_mean": 2.25, "norm_std": 0.5}
    lengths = {"lower_norm": 2.0, "upper_norm": 3.0, "norm_weight": 4.0, "scale": 8.0}
    for draw in (few, many):
        yield MetricCase("adaface_loss", {**norms, "scale": 8.0}, draw, adaface, "input", heads)
        yield MetricCase("magface_loss", lengths, draw, magface, trains=heads)
        yield MetricCase("curricularface_loss", {"curriculum": 0.25, "scale": 8.0}, draw, curricularface, trains=heads)
    steep = {**norms, "margin": 1.5, "concentration": 2.0}
    yield MetricCase("adaface_loss", steep, few, adaface, "input", heads)
    yield MetricCase("adaface_loss", {}, few, adaface, "input", heads)
    falling = {**lengths, "easy_margin": False, "lower_margin": 1.0, "upper_margin": 0.25, "norm_weight": 0.0}
    yield MetricCase("magface_loss", falling, few, magface, trains=heads)
    yield MetricCase("magface_loss", {}, few, magface, trains=heads)
    yield MetricCase("curricularface_loss", {"margin": 1.25}, few, curricularface, trains=heads)
    for shape in ((5, 3), (10, 8), (90, 2), (5, 1)):
        draw = classified("weight", *shape)
        yield MetricCase("sub_center_arcface_loss", {"scale": 8.0}, draw, sub_center, trains=heads)
        yield MetricCase("soft_triple_loss", {}, draw, soft_triple, trains=heads)
    draw = classified("weight", 5, 3)
    degrees = {"margin": 10.0, "degrees": True}
    yield MetricCase("sub_center_arcface_loss", degrees, draw, sub_center, trains=heads)
    softer = {"scale": 4.0, "gamma": 0.5, "margin": 0.25}
    yield MetricCase("soft_triple_loss", softer, draw, soft_triple, trains=heads)
    proxies, trains = classified("proxies", 5), ("input", "proxies")
    yield MetricCase("proxy_nca_loss", {}, proxies, proxy_nca, trains=trains)
    yield MetricCase("proxy_nca_loss", {"scale": 4.0, "denominator": "others"}, proxies, proxy_nca, trains=trains)
    yield MetricCase("proxy_nca_loss", {"normalize": False, "scale": 0.5}, proxies, proxy_nca, trains=trains)
    yield MetricCase("proxy_anchor_loss", {}, proxies, proxy_anchor, trains=trains)
    more = classified("proxies", 70)
    yield MetricCase("proxy_anchor_loss", {"scale": 4.0, "margin": 0.25}, more, proxy_anchor, trains=trains)

    similarity = on_cosines(ref.multi_similarity)
    yield MetricCase("multi_similarity_loss", {}, batch, similarity)
    yield MetricCase("multi_similarity_loss", {"alpha": 4.0, "beta": 8.0, "base": 0.25}, batch, similarity)
    circle = on_cosines(ref.circle)
    yield MetricCase("circle_loss", {}, batch, circle, frozen="input")
    yield MetricCase("circle_loss", {"margin": 0.25, "scale": 8.0, "detach": False}, batch, circle)
    nca = on_distances(ref.nca, True, "sqeuclidean")
    yield MetricCase("nca_loss", {}, batch, nca)
    yield MetricCase("nca_loss", {"scale": 0.5, "normalize": False}, batch, nca)
    lifted, generalized = (on_distances(row, True) for row in (ref.lifted_structure, ref.generalized_lifted))
    margins = {"positive_margin": 0.125, "negative_margin": 0.75}
    for name, reference in (("lifted_structure_loss", lifted), ("generalized_lifted_structure_loss", generalized)):
        yield MetricCase(name, {}, batch, reference)
        yield MetricCase(name, {**margins, "normalize": False, "distance": "sqeuclidean"}, batch, reference)
        yield MetricCase(name, {"distance": "cosine"}, batch, reference)
    tuplet = on_cosines(ref.tuplet_margin)
    yield MetricCase("tuplet_margin_loss", {}, batch, tuplet)
    yield MetricCase("tuplet_margin_loss", {"margin": 5.5, "degrees": True, "scale": 8.0}, batch, tuplet)
    smooth = on_cosines(ref.smooth_ap)
    yield MetricCase("smooth_ap_loss", {"temperature": 0.125}, batch, smooth)
    yield MetricCase("smooth_ap_loss", {}, batch, smooth)
    ranks = on_cosines(ref.pnp)
    for variant in ref.COSTS:
        yield MetricCase("pnp_loss", {"variant": variant, "temperature": 0.125}, batch, ranks)
    own = {"variant": "Dq", "alpha": 2.5, "include_self": True}
    yield MetricCase("pnp_loss", own, batch, ranks)
    yield MetricCase("pnp_loss", {"variant": "Ib", "b": 4.0, "temperature": 0.125}, batch, ranks)
    ranked = on_distances(ref.ranked_list, True)
    yield MetricCase("ranked_list_loss", {}, batch, ranked, frozen="input")
    through = {"detach": False, "eps": 1e-5, "positive_temperature": 2.0, "imbalance": 0.25}
    yield MetricCase("ranked_list_loss", through, batch, ranked)
    wide = {"normalize": False, "boundary": 3.0, "margin": 1.0, "positive_temperature": 0.5}
    yield MetricCase("ranked_list_loss", wide, batch, ranked, frozen="input")
    apart = {"distance": "cosine", "boundary": 0.75, "detach": False}
    yield MetricCase("ranked_list_loss", apart, batch, ranked)
    fast = on_distances(ref.fast_ap, True, "sqeuclidean")
    yield MetricCase("fast_ap_loss", {}, batch, fast)
    yield MetricCase("fast_ap_loss", {"bins": 25}, batch, fast)
    margin, beta = on_distances(ref.margin_pairs, True), ("input", "beta")
    yield MetricCase("margin_loss", {}, with_beta(), margin, trains=beta)
    yield MetricCase("margin_loss", {"alpha": 0.5, "normalize": False}, with_beta(9), margin, trains=beta)
    yield MetricCase("margin_loss", {"distance": "cosine"}, with_beta(1), one_beta(margin), trains=beta)
    yield MetricCase("margin_loss", {"distance": "sqeuclidean"}, with_beta(), margin, trains=beta)
    hard = on_distances(ref.batch_hard, False, soft_margin="soft", skip_invalid="valid_only")
    yield MetricCase("batch_hard_triplet_loss", {}, batch, hard)
    yield MetricCase("batch_hard_triplet_loss", {"soft_margin": True, "normalize": True}, batch, hard)
    yield MetricCase("batch_hard_triplet_loss", {"margin": 0.5, "skip_invalid": False}, batch, hard)
    yield MetricCase("batch_hard_triplet_loss", {"margin": 0.25, "distance": "cosine"}, batch, hard)
    yield MetricCase("batch_hard_triplet_loss", {"margin": 2.0, "distance": "sqeuclidean"}, batch, hard)
    for name, row in (("batch_all_triplet_loss", ref.batch_all), ("batch_semi_hard_triplet_loss", ref.batch_semi_hard)):
        reference = on_distances(row, False)
        yield MetricCase(name, {}, batch, reference)
        yield MetricCase(name, {"margin": 0.25, "normalize": True}, batch, reference)
        yield MetricCase(name, {"margin": 0.25, "distance": "cosine"}, batch, reference)
        yield MetricCase(name, {"margin": 2.0, "distance": "sqeuclidean"}, batch, reference)
    for variant in ("softmax", "contrast"):
        yield MetricCase("ge2e_loss", {"variant": variant}, uttered, ge2e, trains=("input", "weight", "bias"))
    views = ("anchor", "positive")
    yield MetricCase("mega_batch_margin_loss", {}, paired, mega_batch, trains=views)
    both = {"positive_margin": 0.5, "negative_margin": -0.25}
    yield MetricCase("mega_batch_margin_loss", both, paired, mega_batch, trains=views)


METRIC_CASES = tuple(_cases())
