"""Networks as pure functions of a params pytree; Flax stays inside this package."""

from mdvae.networks.conditional import conditional_networks, to_standard_prior
from mdvae.networks.mlp import Networks, mlp_networks

__all__ = ["Networks", "conditional_networks", "mlp_networks", "to_standard_prior"]
