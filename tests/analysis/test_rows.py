"""Scores as rows: full covariances are counted by the eigenvalues of their mean."""

from types import SimpleNamespace

import numpy as np

from mdvae.analysis.rows import RunScores, Taken, of_run, score_columns
from mdvae.settings.grid import Run


def run_of(kappa, parts=1):
    sizes = SimpleNamespace(kappa=kappa, r=0)
    return Run(SimpleNamespace(sizes=sizes, parts=(None,) * parts), 0)


def test_full_covariances_are_counted_by_their_mean():
    """Samples of one narrow direction each have a small eigenvalue, and their mean has none."""
    rng = np.random.default_rng(0)
    turned = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(400)]
    narrow = [q @ np.diag([0.01, 1.0, 1.0]) @ q.T for q in turned]
    shared = [np.diag([0.01, 1.0, 1.0])] * 400

    def found(covariances):
        # Padded by one latent, as in a group with a larger cell.
        padded = np.zeros((1, 1, 4, 4))
        padded[0, 0] = np.eye(4)
        padded[0, 0, :3, :3] = np.mean(covariances, axis=0)
        blocks = np.repeat(padded[..., None], 5, axis=-1)
        means = {"covariance": padded, "ratio": np.full((1, 1, 4), 0.5)}
        evaluation = SimpleNamespace(means=means, blocks={"covariance": blocks})
        (scores,) = of_run(run_of(3), evaluation, 0)
        assert "covariance" not in scores.means
        np.testing.assert_allclose(scores.blocks["ratio"][:, 2], scores.means["ratio"])
        assert scores.blocks["ratio"].shape == (3, 5)
        return scores.means["ratio"]

    np.testing.assert_allclose(found(shared), [0.01, 1.0, 1.0])
    wanted = np.linalg.eigvalsh(np.mean(narrow, axis=0))
    np.testing.assert_allclose(found(narrow), wanted)
    assert found(narrow)[0] > 0.5


def test_a_covariance_that_is_not_finite_has_no_ratios():
    means = {"covariance": np.full((1, 1, 2, 2), np.nan), "nelbo": np.zeros((1, 1))}
    (scores,) = of_run(run_of(2), SimpleNamespace(means=means, blocks={}), 0)
    assert np.all(np.isnan(scores.means["ratio"]))


def test_what_gamma_allows_the_threshold_is_counted_where_latents_are_enough():
    """Eigenvalues of the mean posterior, of which each coordinate may have some of a flat one."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]

    def allowed(variances, kappa):
        mean = turn @ np.diag(variances) @ turn.T
        means = {"nelbo": 0.0, "ratio": np.full(kappa, 0.5), "resolved_posterior": mean}
        means["resolvable"] = np.array([0.0, 0.0, 0.0, 0.5, 0.5])
        config = SimpleNamespace(analysis=SimpleNamespace(ad_threshold=0.05, ad_min_gap=1.0))
        row = score_columns(RunScores(means, {}), config, Taken(1, 1), left=len(variances))
        assert (row["resolvable"], row["resolvable_share"]) == (3.5, 0.5)
        return row["resolvable_ad"]

    assert allowed([1e-4, 0.01, 0.049, 0.051], 6) == 3
    assert allowed([1e-4, 0.01, 0.049, 0.051], 3) is None
    assert allowed([1e-4, 0.01, 0.01, 0.01], 6) == 4
    assert allowed([np.nan] * 4, 6) is None
