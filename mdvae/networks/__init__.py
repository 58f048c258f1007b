"""Networks as pure functions of a params pytree; Flax stays inside this package."""

from mdvae.networks.mlp import Networks, mlp_networks

__all__ = ["Networks", "mlp_networks"]
