"""Networks as pure functions of params and stats; Flax stays inside this package."""
