"""Two trained stages as one model: from u to z to x, and what each part of that gives by itself."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdvae.stages.latents import first_of, latents_of
from mdvae.store.loading import LoadedRun, load_run
from mdvae.store.models import Model
from mdvae.store.posteriors import draw_latents


class TwoStages(NamedTuple):
    """A VAE and a second one on its latents.

    Samples x are [n, ...] in the units of the data, latents z [n, kappa], those of the second stage
    u [n, kappa of that].

    Attributes:
        first, second: the trained models, of the same seed.
    """

    first: Model
    second: Model

    def generate(self, n: int = 1_000, *, noise: bool = True, draw: int = 0) -> np.ndarray:
        """u ~ N(0, I), z of the second decoder, x of the first one's mean: [n, ...].

        Args:
            noise: adds the second decoder's own noise to z, as in TwoStage.
            draw: another number gives other samples.
        """
        return self.first.decode(self.second.generate(n, noise=noise, draw=draw))

    def generate_first(self, n: int = 1_000, *, draw: int = 0) -> np.ndarray:
        """Samples of the first stage alone, z ~ N(0, I): [n, ...]."""
        return self.first.generate(n, draw=draw)

    def reconstruct(self, x: np.ndarray, *, sampled: bool = True, draw: int = 0) -> np.ndarray:
        """Samples through z ~ q(z | x) and back, [n, ...]; their means with `sampled` False.

        Of held-out samples, this is what a perfect second stage would generate: z comes from the
        aggregate posterior itself.
        """
        mean, logvar = self.first.encode(x)
        if sampled:
            mean = draw_latents(mean, np.exp(0.5 * logvar), self.first.seed, draw)
        return self.first.decode(mean)


class Stages:
    """A finished second stage, opened with its first one; see `load_stages`.

    Attributes:
        first, second: the two `LoadedRun`s.
    """

    def __init__(self, path: Path):
        self.second: LoadedRun = load_run(path)
        self.first: LoadedRun = first_of(self.second.config.data, path)

    def pair(self, cell: str, seed: int) -> TwoStages:
        """The two models of a run of the second stage."""
        first = self.second.cell(cell).data.cell
        return TwoStages(self.first.model(first, seed), self.second.model(cell, seed))

    def latents(
        self, cell: str, seed: int, n: int = 10_000, split: str = "eval"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the first stage's q(z | x), [n, kappa] each."""
        return latents_of(self.first, self.second.cell(cell).data.cell, seed, n, split)


def load_stages(path: str | Path) -> Stages:
    """Opens the run directory of a second stage together with that of its first one.

    Raises:
        ConfigError: where one of the two is not there, or not finished.
    """
    return Stages(Path(path))
