"""The usual way to train one VAE: an eager PyTorch loop. Only the benchmark compares with it."""

import time
from typing import Any

import jax
import numpy as np

from mdvae.data.whitening import fit_whitening
from mdvae.settings.config import SweepConfig
from mdvae.settings.grid import Cell


def _model(torch: Any, cell: Cell, x: np.ndarray) -> Any:
    nn = torch.nn

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            (width,) = cell.networks.hidden
            self.encoder = nn.Sequential(
                nn.Linear(cell.sizes.d, width), nn.ReLU(), nn.Linear(width, 2 * cell.sizes.kappa)
            )
            self.decoder = nn.Sequential(
                nn.Linear(cell.sizes.kappa, width),
                nn.ReLU(),
                nn.Linear(width, cell.sizes.d),
                nn.Sigmoid(),
            )
            self.log_gamma = nn.Parameter(torch.zeros(()))
            whitening = fit_whitening(x.T)
            self.register_buffer("mean", torch.from_numpy(whitening.mean))
            self.register_buffer("matrix", torch.from_numpy(whitening.matrix))

        def forward(self, x: Any) -> Any:
            white = (x - self.mean) @ self.matrix
            mean, logvar = self.encoder(white).chunk(2, dim=1)
            z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
            recon = ((x - self.decoder(z)) ** 2).sum(dim=1)
            kl = 0.5 * (logvar.exp() + mean**2 - 1.0 - logvar).sum(dim=1)
            constant = self.log_gamma + float(np.log(2.0 * np.pi))
            nll = 0.5 * (recon * torch.exp(-self.log_gamma) + cell.sizes.d * constant)
            return (nll + kl).mean()

    return VAE()


def torch_rate(
    config: SweepConfig, cell: Cell, seconds: float, repeats: int, compiled: bool, threads: int = 0
) -> list[float]:
    """Samples per second of one cell's model, batch and optimiser, a value per repeat.

    On JAX's kind of device where PyTorch has it, else on the CPU.

    Args:
        compiled: trains through `torch.compile`.
        threads: of PyTorch; 0 leaves its default.

    Raises:
        ImportError: where PyTorch is not installed.
    """
    import torch  # pyright: ignore[reportMissingImports]  # of the extra `bench`

    torch.manual_seed(0)
    default = torch.get_num_threads()
    torch.set_num_threads(threads or default)
    x = np.random.default_rng(0).uniform(size=(cell.data.n_train, cell.sizes.d)).astype(np.float32)
    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    model = _model(torch, cell, x).to(device)
    loss_of = torch.compile(model) if compiled else model
    optimiser = torch.optim.Adam(model.parameters(), lr=cell.optimiser.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        cell.optimiser.learning_rate,
        total_steps=10_000_000,
        pct_start=cell.optimiser.warmup,
    )
    data = torch.from_numpy(x).to(device)
    offsets = np.random.default_rng(1)

    def train(n_steps: int) -> float:
        started = time.perf_counter()
        for _ in range(n_steps):
            first = int(offsets.integers(cell.data.n_train - cell.batch_size + 1))
            optimiser.zero_grad()
            loss_of(data[first : first + cell.batch_size]).backward()
            optimiser.step()
            schedule.step()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    if compiled:
        torch._dynamo.reset()  # its limit on recompilation counts over all models of a process
    try:
        train(20)
        n_steps = max(1, int(20 * seconds / train(20)))
        return [n_steps * cell.batch_size / train(n_steps) for _ in range(repeats)]
    finally:
        torch.set_num_threads(default)
