"""How far a variance ratio is from the prior, and from certainty: its log odds."""

import numpy as np

# From here on a ratio is that of a latent left at the prior. Counts do not change from 0.8 to 0.98:
# in log odds, an active latent is far below any of them.
PRIOR_LEVEL = 0.9


def log_odds(ratios: np.ndarray) -> np.ndarray:
    """log(ratio / (1 - ratio)) of ratios below 1: as far from the prior as from certainty."""
    return np.log(ratios) - np.log1p(-ratios)
