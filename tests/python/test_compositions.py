"""Losses composed of others: their errors, and the ends of their ranges."""

from __future__ import annotations

import fusedloss as fl
import numpy as np
import pytest


class TestErrors:
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
        with pytest.raises(ValueError, match=r"^uniformity_loss: reduction must be one of 'mean', got 'none'"):
            fl.uniformity_loss(np.eye(2), reduction="none")
        with pytest.raises(ValueError, match=r"^vae_kl_loss: reduction 'none' needs free_bits = 0"):
            fl.vae_kl_loss(np.eye(2), np.eye(2), free_bits=0.5, reduction="none")
        with pytest.raises(ValueError, match="gamma must not be negative"):
            fl.r1_penalty.bind(gamma=-1.0)

    def test_arrays_of_different_shapes_have_no_sum_by_element(self):
        real, fake = np.ones(3), np.ones((2, 2))
        assert fl.wgan_discriminator_loss(real, fake) == 0.0
        with pytest.raises(ValueError, match=r"^wgan_discriminator_loss: reduction 'none' .* got \(3,\) and \(2, 2\)$"):
            fl.wgan_discriminator_loss(real, fake, reduction="none")
        with pytest.raises(ValueError, match=r"^wgan_discriminator_loss: sample_weight has shape \(3,\), which"):
            fl.wgan_discriminator_loss(real, fake, sample_weight=[1, 2, 3])

    def test_evaluation_refuses_them(self):
        for losses in (fl.wgan_generator_loss, [fl.mse_loss, fl.wgan_generator_loss]):
            with pytest.raises(TypeError, match="wgan_generator_loss is composed of other losses"):
                fl.evaluate(losses, np.ones(3), np.ones(3))
        with pytest.raises(TypeError, match="wgan_generator_loss: a composition of losses has no one sum"):
            fl.wgan_generator_loss.partial(np.ones(3))


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

    def test_what_halves_cannot_hold_is_infinite(self):
        value, grad = fl.lsgan_generator_loss.value_and_grad(
            np.array([6e4, 1.0], np.float16), scale=2.0, reduction="none"
        )
        np.testing.assert_array_equal(value, np.array([np.inf, 0.0], np.float16))
        np.testing.assert_array_equal(grad, np.array([np.inf, 0.0], np.float16))

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


class TestGuides:
    vectors = np.random.default_rng(0).normal(size=(4, 40, 5))

    def test_shapes_by_name(self):
        a, p, g, h = self.vectors
        with pytest.raises(ValueError, match=r"^gist_embed_loss: positive has shape \(39, 5\), expected \(40, 5\)"):
            fl.gist_embed_loss(a, p[1:], g, h)
        with pytest.raises(ValueError, match=r"^gist_embed_loss: guide_positive has shape \(39, 5\), expected"):
            fl.gist_embed_loss(a, p, g, h[1:])
        with pytest.raises(ValueError, match=r"^gist_embed_loss: guide_negatives needs negatives"):
            fl.gist_embed_loss(a, p, g, h, guide_negatives=g)
        with pytest.raises(TypeError, match=r"^gist_embed_loss: guide_negatives is None"):
            fl.gist_embed_loss(a, p, g, h, negatives=a)

    def test_equals_of_the_positive_are_no_false_negatives(self):
        a, p, g, _ = self.vectors
        everywhere = np.broadcast_to(g[:1], g.shape)
        options = {"contrast_anchors": False, "contrast_positives": False, "temperature": 0.1}
        ranked = fl.multiple_negatives_ranking_loss(a, p, scale=10.0)
        assert fl.gist_embed_loss(a, p, g, everywhere, **options) == pytest.approx(ranked, rel=1e-12)
        assert fl.gist_embed_loss(a, p, g, everywhere, margin=1e-3, **options) == 0.0

    def test_values_and_gradients_by_blocks(self):
        a, p, g, h = np.random.default_rng(1).normal(size=(4, 1500, 3))
        value, (of_a, _) = fl.gist_embed_loss.value_and_grad(a, p, g, h, temperature=0.5, margin=-3.0)
        both = np.concatenate([a, p]) / np.linalg.norm(np.concatenate([a, p]), axis=1, keepdims=True)
        s = 2.0 * both @ both.T
        np.fill_diagonal(s, -np.inf)
        rows = np.hstack([s[:1500, 1500:], s[:1500, :1500], s[1500:, 1500:]])
        assert value == pytest.approx((np.logaddexp.reduce(rows, axis=1) - np.diag(rows[:, :1500])).mean(), rel=1e-12)
        direction = np.random.default_rng(2).normal(size=a.shape)
        sides = [fl.gist_embed_loss(a + t * direction, p, g, h, temperature=0.5, margin=-3.0) for t in (1e-5, -1e-5)]
        assert (of_a * direction).sum() == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-6)


def test_shapes_of_tokens():
    q, d = np.ones((3, 2, 4)), np.ones((3, 5, 4))
    loss = fl.multi_vector_ranking_loss
    with pytest.raises(ValueError, match=r"^multi_vector_ranking_loss: document has shape \(2, 5, 4\), expected one"):
        loss(q, d[:2])
    with pytest.raises(ValueError, match=r"^multi_vector_ranking_loss: document has shape \(3, 5, 3\), expected \["):
        loss(q, d[..., :3])
    with pytest.raises(ValueError, match=r"^multi_vector_ranking_loss: query_mask has shape \(3,\), expected \(3, 2\)"):
        loss(q, d, query_mask=np.ones(3))
    assert loss(q, d) == pytest.approx(np.log(3.0), rel=1e-14)


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


class TestSecondMoments:
    """Losses of products of all columns, in the precision of the vectors."""

    LOSSES = (fl.vicreg_loss, fl.barlow_twins_loss, fl.global_orthogonal_regularization)

    @staticmethod
    def views(n, width, dtype=np.float32):
        x1, x2 = np.random.default_rng(n).normal(3.0, 1.0, (2, n, width))
        return x1.astype(dtype), (x1 + 0.5 * x2).astype(dtype)

    # Products are cut into blocks of 252 rows, and cosines are those of rows where these are fewer than columns.
    @pytest.mark.parametrize(("n", "width"), [(70, 300), (300, 70), (64, 513), (5, 3)])
    @pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
    def test_shapes_of_all_kinds(self, loss, n, width):
        views = self.views(n, width)[: len(loss.inputs)]
        value, grads = loss.value_and_grad(*views)
        exact, slopes = loss.value_and_grad(*(x.astype(np.float64) for x in views))
        assert value == pytest.approx(exact, rel=2e-6)
        for grad, slope in zip(grads, slopes, strict=True) if len(views) > 1 else ((grads, slopes),):
            assert grad.dtype == np.float32
            np.testing.assert_allclose(grad, slope, rtol=0.0, atol=2e-6 * abs(slope).max())

    def test_double_precision_at_the_size_of_blocks(self):
        x1, x2 = self.views(40, 260, np.float64)
        moments = np.cov(x1.T)
        apart = ((moments - np.diag(np.diagonal(moments))) ** 2).sum() / 260
        found = fl.vicreg_loss(x1, x1, invariance=0.0, variance=0.0)
        assert found == pytest.approx(2 * apart, rel=1e-13)
        a, b = ((x - x.mean(0)) / (x.std(0, ddof=1) + 1e-6) for x in (x1, x2))
        c = a.T @ b / 40
        expected = ((1 - np.diagonal(c)) ** 2).sum() + 0.1 * ((c - np.diag(np.diagonal(c))) ** 2).sum()
        assert fl.barlow_twins_loss(x1, x2, redundancy=0.1) == pytest.approx(expected, rel=1e-13)

    @pytest.mark.parametrize("size", [1e-30, 1e20])
    def test_covariances_beyond_the_range_of_floats(self, size):
        x1, x2 = (x * np.float32(size) for x in self.views(20, 5))
        value = fl.vicreg_loss(x1, x2)
        assert value == pytest.approx(fl.vicreg_loss(x1.astype(np.float64), x2.astype(np.float64)), rel=1e-6)

    def test_one_view_alone(self):
        x1, x2 = self.views(20, 5)
        for loss in self.LOSSES[:2]:
            both = loss.grad(x1, x2)
            for name, grad in zip(("x1", "x2"), both, strict=True):
                np.testing.assert_array_equal(loss.grad(x1, x2, wrt=name), grad)

    def test_columns_that_do_not_vary(self):
        x1, x2 = self.views(20, 5)
        x1[:, 2] = 1.0
        for loss in self.LOSSES[:2]:
            value, grads = loss.value_and_grad(x1, x2)
            assert np.isfinite(value)
            assert all(np.isfinite(grad).all() for grad in grads)


class TestVerification:
    def test_a_single_number_for_all(self):
        generator = np.random.default_rng(0)
        x, others, same = generator.normal(size=(5, 4)), generator.normal(size=(5, 3, 4)), np.arange(5) % 2
        value, (of_x, of_others, of_weight, of_bias) = fl.te2e_loss.value_and_grad(x, others, 10.0, -5.0, same)
        each = fl.te2e_loss.value_and_grad(x, others, np.full(5, 10.0), np.full(5, -5.0), same)
        assert value == each[0]
        np.testing.assert_array_equal(of_x, each[1][0])
        np.testing.assert_array_equal(of_others, each[1][1])
        assert of_weight.shape == of_bias.shape == ()
        assert of_weight == pytest.approx(each[1][2].sum(), rel=1e-14)
        assert of_bias == pytest.approx(each[1][3].sum(), rel=1e-14)

    def test_shapes_by_name(self):
        x, others = np.ones((2, 3)), np.ones((2, 4, 3))
        with pytest.raises(ValueError, match=r"^te2e_loss: enrolment has shape \(2, 3\), expected \(2, M, 3\)"):
            fl.te2e_loss(x, x, 1.0, 0.0, np.ones(2))
        with pytest.raises(ValueError, match=r"^te2e_loss: weight has shape \(3,\), expected a single number"):
            fl.te2e_loss(x, others, np.ones(3), 0.0, np.ones(2))
