"""The losses of overlaps of masks against MONAI and segmentation-models-pytorch, on their conventions."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types

import fusedloss as fl
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

N, C, SPACE = 3, 4, (9, 11)

# MONAI warns of what it will change.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def monai():
    return pytest.importorskip("monai.losses", reason="MONAI is not installed")


@pytest.fixture(scope="module")
def smp():
    """Its losses alone: the package itself imports encoders, and with them packages that no loss needs."""
    name = "segmentation_models_pytorch"
    spec = importlib.util.find_spec(name)
    if spec is None:
        pytest.skip("segmentation-models-pytorch is not installed")
    parent = types.ModuleType(name)
    parent.__path__ = list(spec.submodule_search_locations or ())
    before = {key: module for key, module in sys.modules.items() if key.partition(".")[0] == name}
    for key in before:
        del sys.modules[key]
    sys.modules[name] = parent
    yield importlib.import_module(f"{name}.losses")
    for key in [key for key in sys.modules if key.partition(".")[0] == name]:
        del sys.modules[key]
    sys.modules.update(before)


def arrays(classes=C):
    """Scores and labels; the last class is absent from the first image."""
    generator = np.random.default_rng(5)
    labels = generator.integers(0, max(classes, 2), (N, *SPACE))
    if classes > 2:
        labels[0][labels[0] == classes - 1] = 0
    return 2.0 * generator.normal(size=(N, classes, *SPACE)), labels


def compare(theirs, loss, z, target, rtol=1e-10):
    """Value and gradient in the scores; `theirs` takes a tensor of scores."""
    scores = torch.tensor(z, requires_grad=True)
    value = theirs(scores)
    value.backward()
    ours, gradient = loss.value_and_grad(z, target)
    assert ours == pytest.approx(value.item(), rel=rtol)
    expected = scores.grad.numpy()
    np.testing.assert_allclose(gradient, expected, rtol=1e3 * rtol, atol=10 * rtol * np.abs(expected).max())


def one_hot(labels, classes=C):
    return torch.nn.functional.one_hot(torch.tensor(labels), classes).movedim(-1, 1).double()


class TestMonai:
    """Masks of all classes, which its losses turn scores into by themselves."""

    @pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
    @pytest.mark.parametrize(
        ("name", "options", "loss"),
        [
            ("DiceLoss", {}, fl.dice_loss),
            ("DiceLoss", {"batch": True, "include_background": False}, fl.dice_loss),
            ("DiceLoss", {"squared_pred": True}, fl.dice_loss.bind(form="squared")),
            # Theirs counts the intersection twice but smooths it once.
            ("DiceLoss", {"jaccard": True}, fl.jaccard_loss.bind(smooth_nr=5e-6, smooth_dr=5e-6)),
            ("DiceLoss", {"weight": [0.5, 1.0, 2.0, 3.0]}, fl.dice_loss.bind(weight=[0.5, 1.0, 2.0, 3.0])),
            ("GeneralizedDiceLoss", {}, fl.generalized_dice_loss),
            ("GeneralizedDiceLoss", {"w_type": "simple", "batch": True}, fl.generalized_dice_loss),
            ("TverskyLoss", {"alpha": 0.3, "beta": 0.7}, fl.tversky_loss.bind(alpha=0.3, beta=0.7)),
        ],
        ids=lambda value: "" if isinstance(value, fl.Loss) else str(value),
    )
    def test_overlap(self, monai, activation, name, options, loss):
        z, labels = arrays()
        same = {key: value for key, value in options.items() if key in loss.params and key != "weight"}
        if "w_type" in options:
            same["weight_type"] = options["w_type"]
        theirs = getattr(monai, name)(**{activation: True}, **options)
        rtol = 1e-6 if name == "GeneralizedDiceLoss" else 1e-10  # its weights are float32
        compare(lambda s: theirs(s, one_hot(labels)), loss.bind(activation=activation, **same), z, labels, rtol)

    def test_dice_and_cross_entropy(self, monai):
        z, labels = arrays()
        factors = {"lambda_dice": 0.7, "lambda_ce": 0.4}
        theirs = monai.DiceCELoss(softmax=True, **factors)
        compare(lambda s: theirs(s, one_hot(labels)), fl.dice_ce_loss.bind(**factors), z, labels)
        z, labels = arrays(1)
        theirs, target = monai.DiceCELoss(sigmoid=True, **factors), torch.tensor(labels[:, None]).double()
        compare(lambda s: theirs(s, target), fl.dice_ce_loss.bind(activation="sigmoid", **factors), z, labels)

    @pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
    def test_dice_and_focal(self, monai, activation):
        """Theirs is computed in float32, and its mean is over the classes too."""
        z, labels = arrays()
        theirs = monai.DiceFocalLoss(**{activation: True}, lambda_focal=0.4)
        theirs.focal.use_softmax = activation == "softmax"
        share = C if activation == "softmax" else 1
        loss = fl.dice_focal_loss.bind(activation=activation, lambda_focal=0.4 / share)
        compare(lambda s: theirs(s, one_hot(labels)), loss, z, labels, 1e-6)

    def test_matthews(self, monai):
        z, labels = arrays(1)
        theirs, target = monai.MCCLoss(sigmoid=True, smooth_nr=0, smooth_dr=0), torch.tensor(labels[:, None]).double()
        compare(lambda s: theirs(s, target), fl.mcc_loss.bind(activation="sigmoid", smooth=0.0), z, labels)

    def test_unified_focal(self, monai):
        """Theirs takes probabilities, and limits them."""
        z, labels = arrays(1)
        theirs, target = monai.AsymmetricUnifiedFocalLoss(), torch.tensor(labels[:, None]).double()
        loss = fl.asymmetric_unified_focal_loss.bind(smooth_nr=1e-7, smooth_dr=1e-7)
        compare(lambda s: theirs(torch.sigmoid(s), target), loss, z, labels, 1e-7)

    def test_hausdorff(self, monai):
        z, labels = arrays()
        theirs = monai.HausdorffDTLoss(softmax=True, include_background=True)
        probabilities, target = torch.softmax(torch.tensor(z), 1), one_hot(labels)
        fields = [
            torch.cat([theirs.distance_field(part[:, [j]]) for j in range(C)], 1).float().double() ** theirs.alpha
            for part in (probabilities, target)
        ]
        compare(lambda s: theirs(s, target), fl.hausdorff_dt_loss.bind(distance=sum(fields).numpy()), z, labels, 1e-6)

    def test_wasserstein(self, monai):
        z, labels = arrays()
        cost = np.array([[0, 1, 1, 1], [1, 0, 0.3, 0.5], [1, 0.3, 0, 0.2], [1, 0.5, 0.2, 0]])
        theirs = monai.GeneralizedWassersteinDiceLoss(cost)
        loss = fl.generalized_wasserstein_dice_loss.bind(cost=cost)
        compare(lambda s: theirs(s, torch.tensor(labels)), loss, z, labels)


class TestSegmentationModels:
    """Sums over all images, an absent class counts for nothing, and no smoothing to speak of."""

    @pytest.mark.parametrize("mode", ["multiclass", "multilabel", "binary"])
    @pytest.mark.parametrize(
        ("name", "options", "loss"),
        [
            ("DiceLoss", {}, fl.dice_loss),
            ("DiceLoss", {"log_loss": True}, fl.dice_loss.bind(log_loss=True, eps=1e-7)),
            ("JaccardLoss", {}, fl.jaccard_loss),
            ("JaccardLoss", {"smooth": 0.5}, fl.jaccard_loss.bind(smooth_nr=0.5, smooth_dr=0.5)),
            (
                "TverskyLoss",
                {"alpha": 0.3, "beta": 0.7, "gamma": 0.75},
                fl.focal_tversky_loss.bind(alpha=0.3, beta=0.7, gamma=0.75, reduce_first=True),
            ),
        ],
        ids=lambda value: "" if isinstance(value, fl.Loss) else str(value),
    )
    def test_overlap(self, smp, mode, name, options, loss):
        z, labels = arrays(1 if mode == "binary" else C)
        target = one_hot(labels) if mode == "multilabel" else torch.tensor(labels)
        theirs = getattr(smp, name)(mode, **options)
        smooth = {} if "smooth" in options else {"smooth_nr": 0.0, "smooth_dr": 0.0}
        ours = loss.bind(
            activation="softmax" if mode == "multiclass" else "sigmoid",
            # Theirs takes the smaller of p and t.
            form="minimum",
            batch=True,
            absent="zero",
            **smooth,
        )
        compare(lambda s: theirs(s, target.double() if mode != "multiclass" else target), ours, z, labels, 1e-9)

    def test_mcc(self, smp):
        z, labels = arrays(1)
        theirs = smp.MCCLoss()
        ours = fl.mcc_loss.bind(activation="sigmoid", batch=True)
        compare(lambda s: theirs(torch.sigmoid(s), torch.tensor(labels[:, None])), ours, z, labels)

    def test_lovasz(self, smp):
        """Theirs knows float32 alone."""
        for classes, mode, loss in ((1, "binary", fl.lovasz_hinge_loss), (C, "multiclass", fl.lovasz_softmax_loss)):
            z, labels = arrays(classes)
            theirs, target = smp.LovaszLoss(mode), torch.tensor(labels if classes > 1 else labels[:, None])
            compare(lambda s: theirs(s.float(), target).double(), loss.bind(batch=True), z, labels, 1e-5)  # noqa: B023

    def test_soft_binary_cross_entropy(self, smp):
        z, labels = arrays(1)
        target = labels[:, None].astype(float)
        compare(
            lambda s: smp.SoftBCEWithLogitsLoss()(s, torch.tensor(target)),
            fl.binary_cross_entropy_with_logits,
            z,
            target,
        )
