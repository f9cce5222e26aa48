"""Miners against plain loops over all triplets, and against pytorch-metric-learning."""

from __future__ import annotations

import fusedloss as fl
import numpy as np
import pytest

KINDS = ("all", "hard", "semi_hard", "easy")
MINERS = (fl.batch_hard_miner, fl.semi_hard_miner, fl.triplet_margin_miner, fl.multi_similarity_miner)
MEASURES = [(d, n) for d in ("euclidean", "sqeuclidean", "cosine") for n in (False, True)]
each_measure = pytest.mark.parametrize(("distance", "normalize"), MEASURES)


def batch(n=40, salt=0):
    generator = np.random.default_rng(salt)
    target = generator.integers(0, n // 5, n)
    target[-1] = n  # alone
    return generator.normal(size=(n, 5)), target


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def matrix(x, distance, normalize):
    if distance == "cosine":
        return 1 - unit(x) @ unit(x).T
    x = unit(x) if normalize else x
    squares = ((x[:, None] - x) ** 2).sum(-1)
    return squares if distance == "sqeuclidean" else np.sqrt(squares)


def triplets(target):
    everything = range(len(target))
    return [
        (a, p, n)
        for a in everything
        for p in everything
        for n in everything
        if a != p and target[a] == target[p] and target[a] != target[n]
    ]


def assert_same(found, expected):
    columns = np.array(expected, int).reshape(-1, len(found)).T
    for one, other in zip(found, columns, strict=True):
        assert one.dtype == np.intp
        np.testing.assert_array_equal(one, other)


def test_all_triplets():
    target = batch()[1]
    assert_same(fl.all_triplets(target), triplets(target))


@each_measure
def test_batch_hard(distance, normalize):
    x, target = batch()
    d = matrix(x, distance, normalize)
    by_anchor = {}
    for a, p, n in triplets(target):
        by_anchor.setdefault(a, []).append((p, n))
    expected = [
        (a, max(pairs, key=lambda pn: d[a, pn[0]])[0], min(pairs, key=lambda pn: d[a, pn[1]])[1])
        for a, pairs in by_anchor.items()
    ]
    assert_same(fl.batch_hard_miner(x, target, distance=distance, normalize=normalize), expected)


@each_measure
def test_semi_hard(distance, normalize):
    x, target = batch()
    d = matrix(x, distance, normalize)
    by_pair = {}
    for a, p, n in triplets(target):
        by_pair.setdefault((a, p), []).append(n)
    expected = []
    for (a, p), negatives in by_pair.items():
        beyond = [n for n in negatives if d[a, n] > d[a, p]]
        expected.append((a, p, min(beyond, key=d[a].item) if beyond else max(negatives, key=d[a].item)))
    assert_same(fl.semi_hard_miner(x, target, distance=distance, normalize=normalize), expected)


@pytest.mark.parametrize("kind", KINDS)
@each_measure
def test_triplet_margin(kind, distance, normalize):
    x, target = batch()
    d = matrix(x, distance, normalize)
    kept = {
        "all": lambda gap: gap <= 0.3,
        "hard": lambda gap: gap <= 0,
        "semi_hard": lambda gap: 0 < gap <= 0.3,
        "easy": lambda gap: gap > 0.3,
    }[kind]
    expected = [(a, p, n) for a, p, n in triplets(target) if kept(d[a, n] - d[a, p])]
    found = fl.triplet_margin_miner(x, target, margin=0.3, kind=kind, distance=distance, normalize=normalize)
    assert_same(found, expected)


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.5])
def test_multi_similarity(eps):
    x, target = batch()
    s = unit(x) @ unit(x).T
    same, other = [], []
    for a in range(len(x)):
        positives = [j for j in range(len(x)) if j != a and target[j] == target[a]]
        negatives = [j for j in range(len(x)) if target[j] != target[a]]
        if positives:
            same += [(a, p) for p in positives if s[a, p] - eps < s[a, negatives].max()]
            other += [(a, n) for n in negatives if s[a, n] + eps > s[a, positives].min()]
    found = fl.multi_similarity_miner(x, target, eps=eps)
    assert_same(found[:2], same)
    assert_same(found[2:], other)


def test_mined_triplets_are_those_of_the_losses():
    x, target = batch(300)
    for miner, loss in (
        (fl.batch_hard_miner, fl.batch_hard_triplet_loss),
        (fl.semi_hard_miner, fl.batch_semi_hard_triplet_loss),
    ):
        a, p, n = miner(x, target)
        mined = fl.triplet_margin_loss(x[a], x[p], x[n], margin=1.0, eps=0.0)
        assert mined == pytest.approx(loss(x, target, margin=1.0), rel=1e-12)


def test_distances_keep_their_digits_far_from_the_origin():
    x, target = batch()
    for miner in MINERS[:2]:
        for one, other in zip(miner(x, target), miner(x + 1e4, target), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("miner", MINERS)
def test_nothing_to_mine(miner):
    for x, target in ((np.empty((0, 3)), []), (np.eye(3), [1, 1, 1]), (np.eye(3), [0, 1, 2])):
        assert all(len(found) == 0 and found.dtype == np.intp for found in miner(x, target))


@pytest.mark.parametrize("miner", MINERS)
def test_refusals(miner):
    with pytest.raises(ValueError, match=r"input has shape \(3,\), expected \[N, D\]"):
        miner(np.ones(3), [0, 1, 2])
    with pytest.raises(ValueError, match=r"target has shape \(2,\), expected one number per vector: \(3,\)"):
        miner(np.ones((3, 2)), [0, 1])
    with pytest.raises(TypeError, match="target is None"):
        miner(np.ones((3, 2)), None)
    with pytest.raises(ValueError, match="distance must be one of"):
        fl.batch_hard_miner(np.ones((3, 2)), [0, 1, 2], distance="dot")
    with pytest.raises(ValueError, match="kind must be one of"):
        fl.triplet_margin_miner(np.ones((3, 2)), [0, 1, 2], kind="soft")


class TestParity:
    def theirs(self, name, **options):
        torch = pytest.importorskip("torch", reason="torch is not installed")
        miners = pytest.importorskip(
            "pytorch_metric_learning.miners", reason="pytorch-metric-learning is not installed"
        )
        x, target = batch()
        return [found.numpy() for found in getattr(miners, name)(**options)(torch.tensor(x), torch.tensor(target))]

    def assert_same_set(self, found, expected):
        ordered = (sorted(zip(*(column.tolist() for column in columns), strict=True)) for columns in (found, expected))
        assert next(ordered) == next(ordered)

    def test_batch_hard(self):
        self.assert_same_set(fl.batch_hard_miner(*batch(), normalize=True), self.theirs("BatchHardMiner"))

    @pytest.mark.parametrize("kind", KINDS)
    def test_triplet_margin(self, kind):
        theirs = self.theirs("TripletMarginMiner", type_of_triplets=kind.replace("_", ""))
        self.assert_same_set(fl.triplet_margin_miner(*batch(), kind=kind), theirs)

    def test_multi_similarity(self):
        found, theirs = fl.multi_similarity_miner(*batch()), self.theirs("MultiSimilarityMiner")
        self.assert_same_set(found[:2], theirs[:2])
        self.assert_same_set(found[2:], theirs[2:])
