"""Losses of tensors: what code for torch.nn.functional expects, gradients, torch.compile, and PyTorch's own samples."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import warnings
from importlib import import_module

import fusedloss as fl
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
T = torch.nn.functional
F = import_module("fusedloss.adapters.torch")

# Of torch.nn.functional, but called in another way there: these stay as they are.
OTHERS = tuple(n for n in (loss.name for loss in fl.losses()) if getattr(F, n) is getattr(T, n, None))
IN_TORCH = tuple(loss.name for loss in fl.losses() if hasattr(T, loss.name) and loss.name not in OTHERS)
MODULES = {
    **{"l1_loss": "L1Loss", "mse_loss": "MSELoss", "cross_entropy": "CrossEntropyLoss", "nll_loss": "NLLLoss"},
    **{"kl_div": "KLDivLoss", "binary_cross_entropy": "BCELoss", "huber_loss": "HuberLoss"},
    **{"binary_cross_entropy_with_logits": "BCEWithLogitsLoss", "smooth_l1_loss": "SmoothL1Loss"},
    **{"poisson_nll_loss": "PoissonNLLLoss", "gaussian_nll_loss": "GaussianNLLLoss"},
    **{"hinge_embedding_loss": "HingeEmbeddingLoss", "soft_margin_loss": "SoftMarginLoss"},
    **{"margin_ranking_loss": "MarginRankingLoss", "multi_margin_loss": "MultiMarginLoss"},
    **{"multilabel_margin_loss": "MultiLabelMarginLoss", "multilabel_soft_margin_loss": "MultiLabelSoftMarginLoss"},
    **{"triplet_margin_loss": "TripletMarginLoss", "cosine_embedding_loss": "CosineEmbeddingLoss"},
    **{"triplet_margin_with_distance_loss": "TripletMarginWithDistanceLoss", "ctc_loss": "CTCLoss"},
}
SIMPLE = tuple(
    loss
    for loss in fl.losses()
    if loss.name not in OTHERS
    and (loss.family == "elementwise" or (loss.family == "rows" and loss.inputs == ("input", "target")))
)


def sample(loss, dtype=torch.float64, rows=6, classes=5):
    """Tensors inside every domain, and not at a kink."""
    generator = torch.Generator().manual_seed(1)
    uniform = torch.rand((len(loss.inputs), rows, classes), generator=generator, dtype=torch.float64)
    tensors = [(0.1 + 0.7 * u).to(dtype) for u in uniform]
    if len(loss.inputs) == 3 and "upper" in loss.inputs[2]:
        tensors[2] = tensors[2] + 1.0  # of an interval
    if loss.name == "orpo_loss":
        tensors = [-t for t in tensors]
    if loss.name == "multilabel_margin_loss":
        tensors[1] = torch.arange(rows * classes).reshape(rows, classes) % classes
    if loss.family == "rows" and takes_labels(loss):
        tensors[1] = torch.arange(rows) % (classes - 1)
    if loss.family == "elementwise" and "1 or" in loss.domain + loss.params.get("labels", ""):
        tensors[1] = torch.ones(rows, classes, dtype=dtype)
    return tensors[: len(F._data_names(loss))]


def takes_labels(loss):
    try:
        loss(np.zeros((1, 3)), np.zeros(1, np.int64))
    except (TypeError, ValueError):
        return False
    return True


each_simple_loss = pytest.mark.parametrize("loss", SIMPLE, ids=lambda loss: loss.name)


class TestFunctions:
    @each_simple_loss
    def test_are_the_losses(self, loss):
        tensors = sample(loss)
        wanted = [k for k, name in enumerate(F._data_names(loss)) if name in loss.trains]
        for reduction in ("mean", "none"):
            leaves = [t.clone().requires_grad_(k in wanted) for k, t in enumerate(tensors)]
            defaults = F._AS_TORCH.get(loss.name, {})
            value = getattr(F, loss.name)(*leaves, reduction=reduction)
            expected, grads = loss.value_and_grad(*[t.numpy() for t in tensors], reduction=reduction, **defaults)
            np.testing.assert_array_equal(value.detach().numpy(), expected)
            value.sum().backward()
            for k, grad in zip(wanted, grads if isinstance(grads, tuple) else (grads,), strict=True):
                np.testing.assert_allclose(leaves[k].grad.numpy(), grad, rtol=1e-12)

    @each_simple_loss
    def test_pass_gradcheck(self, loss):
        if loss.name == "beta_nll_loss":
            pytest.skip("its gradient holds a factor constant, by definition")
        tensors = sample(loss, rows=3, classes=3)
        for t, name in zip(tensors, F._data_names(loss), strict=True):
            t.requires_grad_(name in loss.trains)
        for reduction in ("mean", "none"):
            function = getattr(F, loss.name)
            assert torch.autograd.gradcheck(lambda *t: function(*t, reduction=reduction), tensors), reduction  # noqa: B023

    @each_simple_loss
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
    def test_keep_the_dtype(self, loss, dtype):
        if dtype is torch.bfloat16:
            pytest.importorskip("ml_dtypes")
        tensors = sample(loss, dtype)
        leaf = tensors[0] if loss.trains[0] == F._data_names(loss)[0] else tensors[1]
        leaf.requires_grad_()
        value = getattr(F, loss.name)(*tensors, reduction="mean")
        value.backward()
        assert value.dtype is dtype
        assert leaf.grad.dtype is dtype

    @pytest.mark.parametrize("reduction", ["mean", "none"])
    def test_of_compositions(self, reduction):
        real, fake = torch.randn(4, 3), torch.randn(4, 3)
        leaf, cotangent = fake.clone().requires_grad_(), torch.randn(4, 3) if reduction == "none" else torch.tensor(2.0)
        loss = F.relativistic_generator_loss(real, leaf, reduction=reduction)
        (grad,) = torch.autograd.grad(loss, leaf, cotangent)
        expected = fl.relativistic_generator_loss.backward(
            cotangent.numpy(), real.numpy(), fake.numpy(), wrt="fake", reduction=reduction
        )
        torch.testing.assert_close(grad, torch.from_numpy(expected))

    def test_of_lists_of_tensors(self):
        real = [torch.randn(4, 3), torch.randn(2)]
        leaves = [torch.randn(4, 3, requires_grad=True), torch.randn(2, requires_grad=True)]
        grads = torch.autograd.grad(2 * F.feature_matching_loss(real, leaves), leaves)
        arrays = [[t.detach().numpy() for t in each] for each in (real, leaves)]
        expected = fl.feature_matching_loss.grad(*arrays, wrt="fake")
        for ours, exact in zip(grads, expected, strict=True):
            torch.testing.assert_close(ours, 2 * torch.from_numpy(exact))
        compiled = torch.compile(F.feature_matching_loss, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(torch.autograd.grad(2 * compiled(real, leaves), leaves), grads)

    def test_of_lists_of_tensors_that_are_not_reduced(self):
        real, leaves = ([torch.randn(4, 3, requires_grad=k > 0) for _ in range(2)] for k in range(2))
        loss, cotangent = F.feature_matching_loss(real, leaves, norm="l2", reduction="none"), torch.randn(4, 3)
        for grad, leaf, other in zip(torch.autograd.grad(loss, leaves, cotangent), leaves, real, strict=True):
            torch.testing.assert_close(grad, 2 * cotangent * (leaf - other).detach())

    @pytest.mark.parametrize(
        ("name", "reduction"),
        [
            *(("center_loss", "mean"), ("center_loss", "none"), ("clip_loss", "mean")),
            *(("generalized_box_iou_loss", "mean"), ("generalized_box_iou_loss", "none")),
        ],
    )
    def test_of_other_families(self, name, reduction):
        generator = torch.Generator().manual_seed(0)
        x, y = torch.randn((2, 6, 4), generator=generator, dtype=torch.float64)
        tensors = {
            "clip_loss": (x, y, torch.tensor(1.5, dtype=torch.float64)),
            "center_loss": (x, y[:3], torch.tensor([0, 1, 2, 0, 1, 0])),
            "generalized_box_iou_loss": tuple(
                torch.cat([t[:, :2], t[:, :2] + t[:, 2:].abs() + 0.5], 1) for t in (x, y)
            ),
        }[name]
        leaves = [t.clone().requires_grad_(t.is_floating_point()) for t in tensors]

        def loss(*given):
            return getattr(F, name)(*given, reduction=reduction)

        assert torch.autograd.gradcheck(loss, leaves, atol=1e-4)
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(*leaves), loss(*leaves))

    def test_share_memory(self):
        x = torch.arange(4.0)
        assert np.shares_memory(F._array_of(x), x.numpy())
        half = x.to(torch.bfloat16)
        assert F._array_of(half).__array_interface__["data"][0] == half.data_ptr()
        assert F._tensor_of(F._array_of(half)).data_ptr() == half.data_ptr()

    def test_take_any_layout(self):
        x = torch.randn(4, 6, 2)[:, ::2].transpose(0, 1).requires_grad_()
        y = torch.randn(3, 4, 2).neg()
        F.huber_loss(x, y).backward()
        np.testing.assert_allclose(x.grad, fl.huber_loss.grad(x.detach().numpy(), y.numpy()), rtol=1e-6)

    def test_accumulate(self):
        """Gradients of leaves may be added to in place, of the rest not: neither may change what is kept."""
        for through in (lambda t: t, lambda t: t * 1.0):
            x = torch.tensor([1.0, 3.0], requires_grad=True)
            loss = F.mse_loss(through(x), torch.zeros(2))
            for count in (1, 2, 3):
                loss.backward(retain_graph=True)
                assert x.grad.tolist() == [1.0 * count, 3.0 * count]

    def test_scale_with_the_cotangent(self):
        x = torch.tensor([1.0, 3.0], requires_grad=True)
        (3 * F.mse_loss(x, torch.zeros(2)) + F.l1_loss(x, torch.zeros(2))).backward()
        assert x.grad.tolist() == [3.5, 9.5]

    def test_keep_no_gradient_that_is_not_wanted_again(self):
        """A gradient that is added to later is that of the call, unless the graph is kept."""
        x = torch.tensor([1.0, 3.0], requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            loss = 2 * F.mse_loss(x, torch.zeros(2))
        loss.backward(retain_graph=True)
        loss.backward()
        assert x.grad.tolist() == [4.0, 12.0]
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()

    @pytest.mark.parametrize("reduction", ["mean", "none"])
    def test_work_in_functional_transforms(self, reduction):
        x, y = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
        grad = torch.func.grad(lambda z: F.cross_entropy(z, y, reduction=reduction).sum())(x)
        expected = fl.cross_entropy.grad(x.numpy(), y.numpy(), reduction=reduction)
        np.testing.assert_allclose(grad, expected, rtol=1e-6)

    @pytest.mark.parametrize("reduction", ["mean", "none"])
    def test_refuse_a_second_derivative(self, reduction):
        x = torch.randn(3, requires_grad=True)

        def loss(z):
            return F.mse_loss(z, torch.zeros(3), reduction=reduction).sum()

        (grad,) = torch.autograd.grad(loss(x), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once"):
            grad.sum().backward()
        with pytest.raises(RuntimeError, match="once"):
            torch.func.grad(lambda z: torch.func.grad(loss)(z).sum())(x.detach())

    def test_take_memory_as_it_lies(self):
        """Halves, integers, empty tensors, and tensors that PyTorch negates when it reads them."""
        lazy = torch.randn(3, 2, dtype=torch.complex64).conj().imag
        assert lazy.is_neg()
        plain = torch.randn(2, 3)
        for x in (lazy, plain, plain.T, plain.half(), torch.arange(6).reshape(3, 2), torch.zeros(0, 2)):
            for views in (F._arrays_of, lambda tensors: tuple(map(F._array_of, tensors))):
                (array,) = views((x,))
                np.testing.assert_array_equal(array, x.resolve_neg().numpy(), strict=True)

    def test_read_each_call_for_itself(self):
        """Readings are looked up: by dtype, shape, what requires a gradient, and options."""
        for x in (torch.randn(4, 3), torch.randn(2, 3), torch.randn(4, 3).double(), torch.randn(4, 3)):
            y = torch.arange(len(x)) % 3
            for options in ({}, {"reduction": "sum"}, {"weight": torch.rand(3).to(x.dtype)}, {"label_smoothing": 0.1}):
                for leaf in (x, x.clone().requires_grad_()):
                    ours, theirs = F.cross_entropy(leaf, y, **options), T.cross_entropy(leaf, y, **options)
                    torch.testing.assert_close(ours, theirs)
                    assert ours.requires_grad == leaf.requires_grad
        with torch.no_grad():
            assert not F.cross_entropy(leaf, y).requires_grad

    def test_leave_to_torch_what_only_torch_can(self):
        x, t = torch.randn(3), torch.rand(3, requires_grad=True)
        (grad,) = torch.autograd.grad(F.binary_cross_entropy_with_logits(x, t), t)
        torch.testing.assert_close(grad, -x / 3)

    def test_refuse_gradients_that_there_are_not(self):
        weight = torch.ones(3, requires_grad=True)
        with pytest.raises(RuntimeError, match="weight requires a gradient"):
            F.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1]), weight=weight)

    def test_refuse_other_devices(self):
        with pytest.raises(TypeError, match="target is on device meta"):
            F.huber_loss(torch.zeros(2), torch.zeros(2, device="meta"))

    def test_refuse_wrong_calls(self):
        x = torch.zeros(2)
        for arguments, options, says in (
            ((x, x, 1, 2, 3, 4), {}, "positional"),
            ((x, x), {"gamma": 1.0}, "gamma"),
            ((x, x), {"input": x}, "twice"),
            ((x,), {}, "target"),
        ):
            with pytest.raises(TypeError, match=says):
                F.huber_loss(*arguments, **options)
        with pytest.raises(ValueError, match="delta"):
            F.huber_loss(x, x, delta=-1.0)

    def test_compute_with_the_threads_of_torch(self, monkeypatch):
        seen = []
        run = fl.Loss._run

        def spy(self, args, kwargs, *rest):
            seen.append(kwargs.get("n_threads"))
            return run(self, args, kwargs, *rest)

        monkeypatch.setattr(fl.Loss, "_run", spy)
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            F.mse_loss(torch.zeros(3), torch.zeros(3))
        finally:
            torch.set_num_threads(before)
        assert seen == [1]


class TestCodeForTorch:
    @pytest.mark.parametrize("name", IN_TORCH)
    def test_arguments_are_where_torch_has_them(self, name):
        theirs = list(inspect.signature(getattr(T, name)).parameters.values())
        ours = list(inspect.signature(getattr(F, name)).parameters.values())
        for mine, its in zip(ours, theirs, strict=False):
            assert (mine.name, mine.default, mine.kind) == (its.name, its.default, its.kind)
        assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(theirs) :])

    @pytest.mark.parametrize("name", [name for name in IN_TORCH if hasattr(torch.nn, MODULES.get(name, ""))])
    def test_modules_are_named_as_in_torch(self, name):
        theirs = inspect.signature(getattr(torch.nn, MODULES[name])).parameters
        ours = inspect.signature(getattr(F, MODULES[name])).parameters
        assert [n for n in ours if n in theirs] == list(theirs)

    def test_the_rest_is_torch(self):
        assert F.relu is T.relu
        assert "cosine_similarity" in OTHERS
        assert not {"huber_loss", "cross_entropy", "triplet_margin_loss"} & set(OTHERS)
        with pytest.raises(AttributeError):
            _ = F.no_such_function

    def test_options_that_only_torch_has(self):
        """Without them the loss is ours."""
        if "linear_cross_entropy" not in IN_TORCH:
            pytest.skip("PyTorch has no fused head")
        x, w, y = torch.randn(5, 4, requires_grad=True), torch.randn(3, 4), torch.tensor([0, 2, 1, 1, 0])
        for options in ({}, {"options": torch.nn.LinearCrossEntropyOptions()}):
            torch.testing.assert_close(F.linear_cross_entropy(x, w, y, **options), T.cross_entropy(x @ w.T, y))
        torch.testing.assert_close(F.linear_cross_entropy(x[0], w, y[0]), T.cross_entropy(x[0] @ w.T, y[0]))

    def test_positional_arguments(self):
        z, y, w = torch.randn(4, 3), torch.tensor([0, -1, 2, 1]), torch.tensor([1.0, 2.0, 3.0])
        torch.testing.assert_close(
            F.cross_entropy(z, y, w, None, -1, None, "sum", 0.1), T.cross_entropy(z, y, w, None, -1, None, "sum", 0.1)
        )

    def test_size_average_and_reduce(self):
        x, y = torch.randn(3), torch.randn(3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.testing.assert_close(F.mse_loss(x, y, False), T.mse_loss(x, y, False))
            torch.testing.assert_close(F.mse_loss(x, y, reduce=False), T.mse_loss(x, y, reduce=False))

    def test_targets_of_another_shape_are_broadcast_with_a_warning(self):
        x, y = torch.randn(3, 1, requires_grad=True), torch.randn(4)
        with pytest.warns(UserWarning, match="seldom meant"):
            ours = F.mse_loss(x, y)
        with pytest.warns(UserWarning, match="target size"):
            theirs = T.mse_loss(x, y)
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(torch.autograd.grad(ours, x), torch.autograd.grad(theirs, x))

    def test_logarithms_of_probabilities_are_cut_off(self):
        p, t = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
        assert F.binary_cross_entropy(p, t) == T.binary_cross_entropy(p, t) == 100.0

    def test_variance_per_row(self):
        x, y, var = torch.randn(4, 3), torch.randn(4, 3), torch.rand(4) + 0.1
        torch.testing.assert_close(F.gaussian_nll_loss(x, y, var), T.gaussian_nll_loss(x, y, var))
        torch.testing.assert_close(F.gaussian_nll_loss(x, y, 0.5), T.gaussian_nll_loss(x, y, 0.5))


class TestModules:
    def test_options_are_those_of_the_function(self):
        module = F.HuberLoss(delta=0.5, reduction="sum")
        x, y = torch.randn(3), torch.randn(3)
        torch.testing.assert_close(module(x, y), T.huber_loss(x, y, delta=0.5, reduction="sum"))
        assert repr(module) == "HuberLoss(reduction='sum', delta=0.5)"
        assert "huber_loss" in F.HuberLoss.__doc__
        with pytest.raises(TypeError, match="gamma"):
            F.HuberLoss(gamma=2.0)

    def test_tensors_are_buffers(self):
        weight = torch.tensor([1.0, 2.0, 3.0])
        module = F.CrossEntropyLoss(weight)
        z, y = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
        torch.testing.assert_close(module(z, y), T.cross_entropy(z, y, weight))
        assert list(module.state_dict()) == ["weight"]
        assert module.double().weight.dtype is torch.float64

    def test_take_sample_weights(self):
        module = F.SigmoidFocalLoss(gamma=1.0, reduction="mean")
        x, y, w = torch.randn(4), torch.tensor([0.0, 1.0, 1.0, 0.0]), torch.tensor([1.0, 0.0, 2.0, 1.0])
        expected = fl.sigmoid_focal_loss(x.numpy(), y.numpy(), gamma=1.0, reduction="mean", sample_weight=w.numpy())
        assert module(x, y, sample_weight=w).item() == pytest.approx(expected)

    def test_every_loss_has_one(self):
        modules = {name: value for name, value in vars(F).items() if isinstance(value, type) and name[0].isupper()}
        modules = {name: cls for name, cls in modules.items() if issubclass(cls, torch.nn.Module)}
        assert len(modules) == len([loss for loss in fl.losses() if loss.name not in OTHERS])
        for cls in modules.values():
            module = cls()
            for same in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
                assert repr(same) == repr(module)
            assert not {p.name for p in cls._options} & set(dir(torch.nn.Module()))


class TestCompiled:
    @pytest.mark.parametrize("reduction", ["mean", "none"])
    @pytest.mark.parametrize("name", ["cross_entropy", "huber_loss", "sigmoid_focal_loss"])
    def test_operators(self, name, reduction):
        loss = fl.Loss.registry[name]
        tensors = sample(loss, torch.float32)
        tensors[0].requires_grad_()
        text = json.dumps((name, F._data_names(loss), ("input",), {"reduction": reduction}))
        operators = torch.ops.fusedloss
        if reduction == "mean":
            torch.library.opcheck(operators.value_and_grads.default, (tensors, text))
        else:
            cotangent = torch.rand(tensors[0].shape[: tensors[0].dim() - (loss.family == "rows")])
            torch.library.opcheck(operators.value.default, (tensors, text))
            torch.library.opcheck(operators.backward.default, (cotangent, [t.detach() for t in tensors], text))

    @pytest.mark.parametrize("reduction", ["mean", "none"])
    def test_whole_graph(self, reduction):
        module = F.CrossEntropyLoss(label_smoothing=0.1, reduction=reduction)
        y = torch.tensor([0, 1, 2, 1])

        def step(x):
            return module(2 * x, y).sum() + F.sigmoid_focal_loss(x, torch.ones(4, 3), gamma=1.5, reduction="mean")

        x = torch.randn(4, 3, requires_grad=True)
        compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), step(x))
        (expected,) = torch.autograd.grad(step(x), x)
        (grad,) = torch.autograd.grad(compiled(x), x)
        torch.testing.assert_close(grad, expected)

    def test_shape_of_values_of_a_family_without_a_rule(self, monkeypatch):
        loss = fl.huber_loss.bind(reduction="none")
        monkeypatch.setattr(loss, "family", "another")
        call = F._Call(loss, ("input", "target"), ())
        assert F._value_shape(call, [torch.zeros(3, 2), torch.zeros(3, 2)]) == [3, 2]


def train(functional, steps=60):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 5))
    x = torch.randn(256, 8)
    y = (x[:, :5] + 0.3 * torch.randn(256, 5)).argmax(1)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    curve = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve


def test_training_takes_the_same_course():
    ours, theirs = train(F), train(T)
    assert ours[-1] < 0.5 * ours[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def op_samples():
    """PyTorch's own sample inputs of its losses, where the package that makes them is complete."""
    try:
        from torch.testing._internal.common_methods_invocations import op_db
    except ImportError as error:
        pytest.skip(f"PyTorch's sample inputs: {error}")
    names = {f"nn.functional.{name}": name for name in IN_TORCH}
    return {names[op.name]: op for op in op_db if op.name in names}


def steps_from(actual, truth):
    """How many floats lie between, at the most; of the largest entry, where gradients cancel."""
    truth = truth.double()
    scale = np.spacing(np.abs(truth.detach().numpy()).max(initial=1e-30).astype(np.float32))
    own = np.spacing(np.abs(truth.detach().numpy()).astype(np.float32)).astype(np.float64)
    return float(((actual.double() - truth).abs().detach().numpy() / np.maximum(own, scale / 8)).max(initial=0.0))


def has_repeated_labels(target):
    rows = target.reshape(-1, target.shape[-1] if target.dim() else 1).tolist()
    return any(len(set(row)) < len(row) for row in ([label for label in row if label >= 0] for row in rows))


@pytest.mark.parametrize("name", IN_TORCH)
@pytest.mark.filterwarnings("ignore")
def test_samples_of_torch(name):
    op = op_samples().get(name)
    if op is None:
        pytest.skip(f"PyTorch has no samples of {name}")

    def run(function, given, dtype):
        def cast(a):
            moved = isinstance(a, torch.Tensor) and a.is_floating_point()
            return a.detach().to(dtype).requires_grad_(a.requires_grad) if moved else a

        args = [cast(a) for a in (given.input, *given.args)]
        options = {key: cast(a) for key, a in given.kwargs.items()}
        value = function(*args, **options)
        leaves = [a for a in args if isinstance(a, torch.Tensor) and a.requires_grad]
        return [value, *torch.autograd.grad(value.sum(), leaves, allow_unused=True)]

    tried = 0
    for given in op.sample_inputs("cpu", torch.float32, requires_grad=True):
        if name == "multilabel_margin_loss" and has_repeated_labels(given.args[0]):
            continue  # PyTorch counts them again
        truth = run(getattr(T, name), given, torch.float64)
        theirs = run(getattr(T, name), given, torch.float32)
        ours = run(getattr(F, name), given, torch.float32)
        for mine, its, exact in zip(ours, theirs, truth, strict=True):
            if exact is None:
                continue
            assert mine.shape == its.shape
            if not torch.isfinite(exact).all():
                torch.testing.assert_close(mine, its, equal_nan=True)
                continue
            assert steps_from(mine, exact) <= max(4.0, steps_from(its, exact)), given
        tried += 1
    assert tried
