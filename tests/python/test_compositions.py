"""Losses composed of others: values, gradients of every argument, types, names and errors."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import fusedloss as fl
import ml_dtypes
import numpy as np
import pytest
from cases_batch import BATCH_CASES, BATCH_REFERENCES
from cases_compositions import CASES as COMPOSITION_CASES
from cases_compositions import REFERENCES as COMPOSITION_REFERENCES

CASES = (*COMPOSITION_CASES, *BATCH_CASES)
REFERENCES = {**COMPOSITION_REFERENCES, **BATCH_REFERENCES}
COMPOSITIONS = {loss.name: loss for loss in fl.losses() if loss.family == "composition"}
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_loss = pytest.mark.parametrize("loss", COMPOSITIONS.values(), ids=COMPOSITIONS)


def arrays_of(value):
    return value if isinstance(value, list) else [value]


def grads_by_name(case, arrays, **options):
    """The gradients of all arguments, each as a tuple of arrays."""
    loss = COMPOSITIONS[case.loss]
    value, grads = loss.value_and_grad(**arrays, **case.params, wrt=loss.inputs, **options)
    grads = grads if len(loss.inputs) > 1 else (grads,)
    return value, {
        name: grad if isinstance(grad, tuple) else (grad,) for name, grad in zip(loss.inputs, grads, strict=True)
    }


def arguments_of(loss):
    """Names of all arrays, targets among them."""
    return tuple(p.name for p in inspect.signature(loss).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD)


def numerical(function, arrays, name, index, step=1e-5):
    """Central differences of a function in one of its arrays."""
    x = arrays_of(arrays[name])[index]
    slope = np.empty_like(x)
    for at in np.ndindex(x.shape):
        kept = x[at]
        sides = []
        for side in (kept + step, kept - step):
            x[at] = side
            sides.append(function(**arrays))
        x[at] = kept
        slope[at] = (sides[0] - sides[1]) / (2 * step)
    return slope


def test_every_composition_has_a_reference_and_cases():
    assert set(REFERENCES) == set(COMPOSITIONS) == {case.loss for case in CASES}
    for loss in COMPOSITIONS.values():
        assert getattr(fl, loss.name) is loss
        tried = {key for case in CASES if case.loss == loss.name for key in case.params}
        assert set(loss.params) <= tried


@each_case
def test_values(case):
    arrays = case.random()
    expected = REFERENCES[case.loss](**arrays, **case.params)
    np.testing.assert_allclose(COMPOSITIONS[case.loss](**arrays, **case.params), expected, rtol=1e-13)


@each_case
def test_gradients_of_every_argument(case):
    arrays = case.random()
    value, grads = grads_by_name(case, arrays)
    assert value == COMPOSITIONS[case.loss](**arrays, **case.params)
    for name, each in grads.items():
        for index, grad in enumerate(each):
            slope = numerical(lambda **a: REFERENCES[case.loss](**a, **case.params), arrays, name, index)
            np.testing.assert_allclose(grad, slope, rtol=1e-7, atol=1e-9, err_msg=name)


@each_case
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32], ids=str)
def test_dtypes_of_floats(case, dtype):
    arrays = case.random(dtype)
    value, grads = grads_by_name(case, arrays)
    wide = {
        name: [a.astype(np.float64) for a in x] if isinstance(x, list) else x.astype(np.float64)
        for name, x in arrays.items()
    }
    exact, slopes = grads_by_name(case, wide)
    # A discriminator's value may cancel; what is rounded has the size of the scores.
    assert value == pytest.approx(exact, rel=1e-6, abs=1e-6)
    for name, each in grads.items():
        for grad, slope in zip(each, slopes[name], strict=True):
            assert grad.dtype == dtype
            rounding = float(ml_dtypes.finfo(dtype).eps)
            np.testing.assert_allclose(grad.astype(np.float64), slope, rtol=4 * rounding, atol=rounding)


@each_case
def test_a_choice_of_gradients(case):
    loss, arrays = COMPOSITIONS[case.loss].bind(**case.params), case.random()
    everything = loss.grad(**arrays, wrt=loss.inputs)
    everything = everything if len(loss.inputs) > 1 else (everything,)
    by_default = [grad for name, grad in zip(loss.inputs, everything, strict=True) if name in loss.trains]
    trained = loss.grad(**arrays)
    trained = trained if len(loss.trains) > 1 else (trained,)
    doubled = loss.backward(2.0, **arrays, wrt=loss.inputs)
    doubled = doubled if len(loss.inputs) > 1 else (doubled,)

    def flat(grads):
        return [a for grad in grads for a in (grad if isinstance(grad, tuple) else (grad,))]

    for one, other in zip(flat(trained), flat(by_default), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(flat(doubled), flat(everything), strict=True):
        np.testing.assert_allclose(one, 2.0 * other, rtol=1e-15)
    for name, grad in zip(loss.inputs, everything, strict=True):
        for one, other in zip(flat([loss.grad(**arrays, wrt=name)]), flat([grad]), strict=True):
            np.testing.assert_array_equal(one, other)


@each_case
def test_bound_pickled_and_copied(case):
    arrays = case.random()
    loss = COMPOSITIONS[case.loss].bind(**case.params)
    for same in (loss, pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), loss.bind()):
        assert same(**arrays) == COMPOSITIONS[case.loss](**arrays, **case.params)
        assert same == loss
        assert hash(same) == hash(loss)


@each_case
def test_integers_lists_strides_and_threads(case):
    if case.params.get("from_logits") is False:
        pytest.skip("probabilities are no integers")
    arrays = case.random()
    whole = {name: [np.rint(3 * a) for a in x] if isinstance(x, list) else np.rint(3 * x) for name, x in arrays.items()}
    value, grads = grads_by_name(case, whole)

    def converted(convert):
        return {name: [convert(a) for a in x] if isinstance(x, list) else convert(x) for name, x in whole.items()}

    for same in (
        converted(lambda a: a.astype(np.int8)),
        converted(np.asfortranarray),
        converted(lambda a: a[::-1][::-1]),
    ):
        other, others = grads_by_name(case, same, n_threads=2)
        assert other == value
        for name in grads:
            for one, two in zip(grads[name], others[name], strict=True):
                assert one.dtype == two.dtype == np.float64
                np.testing.assert_array_equal(one, two)


@each_loss
def test_nan_spreads_to_the_value(loss):
    case = next(case for case in CASES if case.loss == loss.name)
    for name in loss.inputs:
        arrays = case.random()
        arrays_of(arrays[name])[0].flat[0] = np.nan
        assert np.isnan(loss(**arrays))


@each_loss
def test_documentation(loss):
    assert re.fullmatch(r"([a-z][a-z0-9]*_)*(loss|penalty|regularization)", loss.name)
    assert loss.summary.endswith(".")
    assert len(loss.summary) <= 120
    for section in ("formula", "gradient", "domain", "source"):
        assert getattr(loss, section), section
    assert re.search(r"\b(19|20)\d\d\b", loss.source)
    for heading in ("Parameters\n----", "Returns\n----", "Raises\n----"):
        assert heading in loss.__doc__, heading
    documented = set(re.findall(r"^(\w+) : ", loss.__doc__, re.MULTILINE))
    assert set(inspect.signature(loss).parameters) <= documented
    assert set(loss.trains) <= set(loss.differentiable) == set(loss.inputs)
    assert not loss.has_hessian
    assert repr(loss) == f"<loss {loss.name}>"
    for query in (loss.name, *loss.aliases):
        assert loss in fl.losses(query)


class TestErrors:
    @each_loss
    def test_arguments_by_name(self, loss):
        for name in arguments_of(loss):
            for wrong in (np.ma.masked_array([1.0]), None, np.array(["a"]), np.array([1j])):
                with pytest.raises(TypeError, match=rf"^{loss.name}: {name} "):
                    loss.grad(**dict.fromkeys(arguments_of(loss), 1.0) | {name: wrong})

    def test_shapes_by_name(self):
        ones = np.ones(3)
        with pytest.raises(ValueError, match=r"^cycle_consistency_loss: real_a has shape \(3,\), which"):
            fl.cycle_consistency_loss(ones, np.ones(4), ones, ones)
        with pytest.raises(ValueError, match=r"^feature_matching_loss: fake has 2 arrays, real has 1"):
            fl.feature_matching_loss([ones], [ones, ones])
        with pytest.raises(ValueError, match=r"^vae_kl_loss: logvar has shape \(3, 1\), mu has \(3,\)"):
            fl.vae_kl_loss(ones, ones[:, None])

    def test_parameters(self):
        with pytest.raises(ValueError, match=r"^gan_discriminator_loss: real_label must be in"):
            fl.gan_discriminator_loss(1.0, 1.0, real_label=0.0)
        with pytest.raises(
            ValueError, match=r"^gan_generator_loss: reduction must be one of 'mean', 'sum', got 'none'"
        ):
            fl.gan_generator_loss(1.0, reduction="none")
        with pytest.raises(ValueError, match="gamma must not be negative"):
            fl.r1_penalty.bind(gamma=-1.0)
        with pytest.raises(TypeError, match="has no parameter 'colour'"):
            fl.r1_penalty.bind(colour=1.0)

    def test_wrt_and_cotangent(self):
        with pytest.raises(ValueError, match="wrt must be among 'real', 'fake', got 'target'"):
            fl.wgan_discriminator_loss.grad(1.0, 1.0, wrt="target")
        with pytest.raises(ValueError, match="wrt names no argument"):
            fl.wgan_discriminator_loss.grad(1.0, 1.0, wrt=())
        with pytest.raises(ValueError, match=r"grad_output has shape \(2,\), expected a scalar"):
            fl.wgan_discriminator_loss.backward(np.ones(2), 1.0, 1.0)

    def test_evaluation_refuses_them(self):
        with pytest.raises(TypeError, match="wgan_generator_loss"):
            fl.evaluate(fl.wgan_generator_loss, np.ones(3))


class TestEdges:
    def test_nothing(self):
        empty = np.empty(0)
        assert np.isnan(fl.gan_generator_loss(empty))
        assert np.isnan(fl.relativistic_discriminator_loss(np.ones(3), empty))
        assert fl.gan_generator_loss(empty, reduction="sum") == 0.0
        assert fl.gan_generator_loss.grad(empty).shape == (0,)
        assert fl.feature_matching_loss([], []) == 0.0
        assert fl.l2_penalty.grad([]) == ()

    def test_saturated_scores(self):
        far = np.array([1e4, -1e4], np.float32)
        value, (real, fake) = fl.gan_discriminator_loss.value_and_grad(far, far)
        assert value == 1e4
        np.testing.assert_array_equal(real, [0.0, -0.5])
        np.testing.assert_array_equal(fake, [0.5, 0.0])

    def test_hinges_are_inactive_at_their_kinks(self):
        real, fake = fl.hinge_gan_discriminator_loss.grad(np.array([1.0, 0.0]), np.array([-1.0, 0.0]))
        np.testing.assert_array_equal(real, [0.0, -0.5])
        np.testing.assert_array_equal(fake, [0.0, 0.5])

    def test_zero_gradients_have_no_direction(self):
        value, grad = fl.gradient_penalty.value_and_grad(np.zeros((3, 4)))
        assert value == 10.0
        np.testing.assert_array_equal(grad, np.zeros((3, 4)))

    def test_free_bits_of_a_collapsed_code(self):
        mu = np.zeros((5, 3))
        value, (in_mu, in_logvar) = fl.vae_kl_loss.value_and_grad(mu, mu, free_bits=0.25)
        assert value == 0.75
        assert not in_mu.any()
        assert not in_logvar.any()

    def test_one_argument_twice(self):
        x = np.array([1.0, -2.0])
        assert fl.cycle_consistency_loss(x, x, x, x) == 0.0


class TestOrderedScores:
    def test_large_scores_stay_finite(self):
        value, grad = fl.cosent_loss.value_and_grad(np.array([1e4, -1e4, 5e3]), [0.0, 1.0, 1.0])
        assert value == 4e5
        np.testing.assert_array_equal(grad, [20.0, -20.0, 0.0])
        value, grad = fl.cosent_loss.value_and_grad(np.array([-1e4, 1e4]), [0.0, 1.0])
        assert value == 0.0
        assert not grad.any()

    def test_small_losses_keep_their_digits(self):
        value, grad = fl.cosent_loss.value_and_grad(np.array([-1.0, 1.0]), [0.0, 1.0])
        assert value == pytest.approx(np.exp(-40.0), rel=1e-14)
        np.testing.assert_allclose(grad, 20.0 * np.exp(-40.0) * np.array([1.0, -1.0]), rtol=1e-14)

    @pytest.mark.parametrize("target", [[], [1.0], [2.0, 2.0, 2.0]])
    def test_nothing_to_order(self, target):
        value, grad = fl.cosent_loss.value_and_grad(np.arange(len(target), dtype=float), target)
        assert value == 0.0
        assert not grad.any()

    def test_signs_of_zero_are_no_order(self):
        assert fl.cosent_loss([1.0, 0.0], [0.0, -0.0]) == 0.0
        assert fl.cosent_loss([1.0, 0.0], [-1e-300, 0.0]) > 0.0

    def test_many_scores(self):
        generator = np.random.default_rng(0)
        scores, target = generator.normal(size=(2, 3000))
        value, grad = fl.cosent_loss.value_and_grad(scores, target)
        z = 20.0 * scores
        pairs = np.where(target[:, None] < target, z[:, None] - z, -np.inf)
        assert value == pytest.approx(np.logaddexp(0.0, np.logaddexp.reduce(pairs, axis=None)), rel=1e-13)
        shares = np.exp(pairs - value)
        np.testing.assert_allclose(grad, 20.0 * (shares.sum(1) - shares.sum(0)), rtol=1e-9, atol=1e-12)

    def test_shapes_by_name(self):
        with pytest.raises(ValueError, match=r"^cosent_loss: target has shape \(2,\), expected \(3,\)"):
            fl.cosent_loss(np.ones(3), np.ones(2))
        with pytest.raises(ValueError, match=r"^angle_loss: x2 has shape \(3, 2\), expected \(3, 4\)"):
            fl.angle_loss(np.ones((3, 4)), np.ones((3, 2)), np.ones(3))
        with pytest.raises(ValueError, match=r"^cosent_embedding_loss: x1 has shape \(3,\), expected \[N, D\]"):
            fl.cosent_embedding_loss(np.ones(3), np.ones(3), np.ones(3))

    @pytest.mark.parametrize("loss", [fl.cosent_embedding_loss, fl.angle_loss])
    def test_vectors_without_direction_have_no_gradient(self, loss):
        x1, x2 = np.random.default_rng(0).normal(size=(2, 5, 4))
        x1[1] = 0.0
        value, (of_x1, of_x2) = loss.value_and_grad(x1, x2, np.arange(5))
        assert np.isfinite(value)
        assert not of_x1[1].any()
        assert np.isfinite(of_x2).all()
