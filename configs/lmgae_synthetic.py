"""Figures 3 and 5 of LMGAE: latents in use, and distance of what is generated, against kappa.

    python -m mdvae.sweep --config configs/lmgae_synthetic.py
    python -m mdvae.sweep --config configs/lmgae_synthetic.py --config.scale=gpu
    python -m mdvae.sweep --config configs/lmgae_synthetic.py --config.scale=sensitivity \
        --workdir runs/lmgae_sensitivity
    python -m mdvae.sweep --config configs/lmgae_synthetic.py --config.scale=gpu \
        --config.protocol=authors

The paper says that n = 8 has 9 latents in use of 16 and n = 16 has 16 of 32, and that both methods
generate best at kappa = n, LMGAE as well beyond it. It does not say d, how many samples there are,
nor what the distance of vectors is. Here d = 100, there are 20,000 samples, and all three distances
of a report; the scale "sensitivity" has other data (`mdvae.data.random_net` says what is chosen).
The scale "gpu" has all published values of kappa; the authors' protocol has the networks and the
schedule of their code for MNIST, 4 x 1024 units and 500,000 steps: for these data there are none.

Measured, seeds 0 to 2, with 8,000 steps: of 15 runs with kappa of 16 or more of n = 16, 8 have
within one of 16 latents in use, of 12 with kappa of 8 or more of n = 8, 6 within one of 8; with
fewer latents than n all are in use in 6 of 6. Near n the count is mostly right, far above n it is
not: docs/lmgae.md has it by kappa. WAE and distances were looked at on seed 100 alone.

Run time: about half an hour on a 2-core CPU.

How the recipe was sought: 8,000 steps on seed 100, latents in use at kappa = 8, 16, 32 of n = 8
and, where there are two more, at 16 and 64 of n = 16. Theta starts uniform between two values; w is
the weight of polarisation when the mask begins to move, times kappa, doubled after every tenth of
the steps.

    start 0-5, no waiting, w = 0.02 (rate 0.002)         4  8 14
    the same, variance penalty 10; 1                     6  8 15;  7 10 18
    the same, raw x for the encoder; one-cycle rate      5  8 11;  5  9 15
    start 1-1.5; 1-2.5                                   2  6  6;  5  8  8
    start 1-2, waiting 0.25, w = 0.08                    8  8  9   masks of 0.5, gap of laws 1.0
    the same, rates of critic and generator x 5          7 11 22   Recon up to four times as large
    start 1-2, waiting 0.25, w = 0.4; 2; 8               8  8  8;  8  8  8;  7  8  9
    start 1-2, waiting 0.4, w = 2                        8  -  8 15 16   masks of 0.4 to 0.9
    the same, w = 4; 8                                   8  -  9 15 17;  8  -  9 14 16
    the same, w = 32; 64                                 8  - 15 15 26;  8  - 16 15 34
    start 2-3, waiting 0.3, w = 2; 8                     8  - 15 16 36;  8  - 24 16 52
    the same, mask rate x 3, w = 1                       8  -  5 16 12
    the same, mask rate x 3, w = 4                       8  -  9 15 15   <- kept
    the same, one-cycle rate up to 0.004                 8  -  7 16 12

On the seeds reported above it was not as good. A second round on seed 101, at kappa = 8, 16, 32 and
16, 32, 78; w no longer times kappa (polarise_power 0), waiting 0.15:

    start 2-6, mask rate x 1, w = 0.01; 0.03             8 13 25 16 24 57;  8 13 25 16 27 62
    start 2-5, mask rate x 4, w = 0.02                   8  8  8  - 11  8
    the same, mask rate x 10                             8  4  6  -  5  7
    mask rate x 4, variance decay 40                     8 14 20 16 16 24
    the same, mask rate x 8; x 14                        8  -  4 16  -  8;  8  -  5 16  -  8
    x 4, decay 40, mask's loss on the whole batch        8  -  5 16  -  7
    the same, w = 0.08                                   8  - 17 15  - 51
    x 4, decay 40, w = 0.08; 0.16, doubled from 0.8 on   8  - 13 14  - 13;  8  - 16 14  - 44

A mask that starts low is lost, needed or not. While masks are between 0.6 and 0.9 the variance
penalty holds codes back from N(0, I), so that waiting is of use from 0.9 on; with a variance decay
of 40 that is from 0.4 on, and at kappa = n the gap of the laws is 0 until masks fall below. From a
high start the mask has far to go, and has to be faster than its polarisation, which otherwise fixes
what it has not decided yet; and slower than that for latents that are needed, which wander by the
noise of the critic. At this length no recipe here has the two at every kappa. Two lines need code
that was of no use and not kept: the loss of the mask on the whole batch, and doubling from 0.8 on.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import published_critic

METHODS = ("lmgae", "wae")
# What the paper does not say, one by one other than the default.
OTHERS = {"d": (50, 200), "net_bias": (0.5,), "net_output": ("leaky",), "net_slope": (0.01,)}
# The published values of kappa, and fewer.
EVERY = {8: tuple(range(2, 33, 2)), 16: tuple(range(2, 79, 2))}
FEW = {8: (4, 8, 12, 16, 32), 16: (8, 16, 24, 32, 64, 78)}


def grid_of(kappas: dict[int, tuple[int, ...]]) -> ConfigDict:
    """Both methods at each kappa, by the dimension of the data."""
    return ConfigDict(
        {
            f"n{r}": {"method": METHODS, "kappa": own, "d": (100,), "r": (r,)}
            for r, own in kappas.items()
        }
    )


def other_data() -> ConfigDict:
    """LMGAE at kappa = 32 on data of 8 dimensions that are made otherwise."""
    usual = {"method": ("lmgae",), "kappa": (32,), "d": (100,), "r": (8,)}
    return ConfigDict({name: {**usual, name: values} for name, values in OTHERS.items()})


def get_config() -> ConfigDict:
    """n = 8 and n = 16, three seeds; on a CPU fewer values of kappa."""
    config = default_config(data="random_net", method="lmgae", optimiser="rmsprop")
    config.name = "lmgae_synthetic"
    config.grid = grid_of(EVERY)
    config.scale = "cpu"
    config.scales = ConfigDict(
        {
            "cpu": {"grid": grid_of(FEW)},
            "sensitivity": {"seeds": 2, "grid": {"n8": None, "n16": None, **other_data()}},
            "gpu": {},
        }
    )
    config.seeds = 3
    config.data.n_train = 20_000
    config.data.n_eval = 2_000
    config.method.critic_hidden = (64, 64)
    config.networks.hidden = (128, 128)
    config.networks.heads = "point"
    config.networks.initial = "glorot"
    config.networks.output = "linear"
    config.steps = 8_000
    # Pieces of 63 samples for the eight updates of LMGAE, and of 72 for the seven of WAE.
    config.batch_size = 504
    config.optimiser.learning_rate = 0.002
    config.log_every = config.eval_every = 500
    config.save_every = 4_000
    config.analysis.ad_threshold = 0.9
    config.analysis.compare = True
    config.analysis.generated = 2_000
    config.protocols.authors = published_critic(batch_size=504)
    return config
