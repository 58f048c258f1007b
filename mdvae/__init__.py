"""mdvae: learn the dimension of a data manifold with (conditional) variational autoencoders."""

from mdvae.store.loading import LoadedRun, load_run

__version__ = "0.1.0"
__all__ = ["LoadedRun", "load_run"]
