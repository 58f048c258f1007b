"""The published ResNet-block VAE of images as an eager PyTorch loop, for the benchmark alone."""

import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from mdvae.settings.grid import Cell
from mdvae.settings.registry import DATA

# Units of the dense layer between the encoder's pooled features and its heads.
DENSE = 32
# Steps of the one-cycle schedule: more than any timing takes, for it stops at its last.
SCHEDULE_STEPS = 10_000_000


def image_model(torch: Any, shape: tuple[int, ...], kappa: int, channels: int) -> Any:
    """The published net as a module: uint8 images, [batch, colours, side, side] -> mean loss.

    It has the parts `encoder` and `decoder`, and the parameter `log_gamma`. Weights start as
    PyTorch has them by default, and so did the published ones.

    Args:
        torch: the package, which is imported late because few have it.
        shape: (side, side, colours) of an image; the side is a multiple of 4.
        kappa: width of the latent z.
        channels: base channels, C.
    """
    nn = torch.nn
    side, _, colours = shape
    small = side // 4

    def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[Any]:
        layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
        return [layer, nn.BatchNorm2d(outputs)]

    class Halving(nn.Module):
        """Two convolutions beside a shortcut; half as many pixels a side."""

        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            first = [*conv(inputs, outputs, stride=2), nn.PReLU()]
            self.body = nn.Sequential(*first, *conv(outputs, outputs))
            self.shortcut = nn.Sequential(*conv(inputs, outputs, size=1, stride=2))
            self.activation = nn.PReLU()

        def forward(self, x: Any) -> Any:
            return self.activation(self.body(x) + self.shortcut(x))

    class Doubling(nn.Module):
        """A convolution that is added to its input, then twice as many pixels a side."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.body = nn.Sequential(*conv(width, width), nn.PReLU())
            grow = nn.ConvTranspose2d(width, width, 4, 2, padding=1)
            self.grow = nn.Sequential(grow, nn.BatchNorm2d(width), nn.PReLU())

        def forward(self, x: Any) -> Any:
            return self.grow(x + self.body(x))

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(
                *conv(colours, channels),
                nn.PReLU(),
                Halving(channels, channels),
                Halving(channels, 2 * channels),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(2 * channels, DENSE),
                nn.PReLU(),
                nn.Linear(DENSE, 2 * kappa),
            )
            self.decoder = nn.Sequential(
                nn.Linear(kappa, channels * small**2),
                nn.ReLU(),
                nn.Unflatten(1, (channels, small, small)),
                Doubling(channels),
                Doubling(channels),
                *conv(channels, colours),
                nn.PReLU(),
                nn.Sigmoid(),
            )
            self.log_gamma = nn.Parameter(torch.zeros(()))

        def forward(self, images: Any) -> Any:
            x = images.float() / 255.0
            mean, logvar = self.encoder(x).chunk(2, dim=1)
            z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
            recon = ((x - self.decoder(z)) ** 2).sum(dim=(1, 2, 3))
            kl = 0.5 * (logvar.exp() + mean**2 - 1.0 - logvar).sum(dim=1)
            constant = self.log_gamma + float(np.log(2.0 * np.pi))
            nll = 0.5 * (recon * torch.exp(-self.log_gamma) + side**2 * colours * constant)
            return (nll + kl).mean()

    return VAE()


def torch_image_rate(
    cell: Cell, seconds: float, repeats: int, channels_last: bool = False, threads: int = 0
) -> list[float]:
    """Samples per second of one cell's net, batch and optimiser, a value per repeat.

    On JAX's kind of device where PyTorch has it, else on the CPU. Images are random bytes, of as
    many as the cell has: no operation of the net is faster or slower for what they show. They lie
    on the device, in a new order every epoch, whose samples beyond whole batches are left out.

    Args:
        cell: of images, with networks kind "resnet".
        seconds: of one timing, about.
        repeats: timings.
        channels_last: keeps weights and activations with channels innermost, which many
            convolutions of PyTorch are faster in; otherwise its default layout.
        threads: of PyTorch; 0 leaves its default.

    Raises:
        ImportError: where PyTorch is not installed.
    """
    import torch  # pyright: ignore[reportMissingImports]  # of the extra `bench`

    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    side, _, colours = shape = cell.sizes.shape
    n, _ = DATA.find(cell.data.kind).samples(cell.data)
    random = np.random.default_rng(0)
    images = random.integers(256, size=(n, colours, side, side), dtype=np.uint8)
    data = torch.from_numpy(images).to(device).contiguous(memory_format=layout)
    model = image_model(torch, shape, cell.networks.kappa, cell.networks.channels)
    model = model.to(device, memory_format=layout).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=cell.optimiser.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        cell.optimiser.learning_rate,
        total_steps=SCHEDULE_STEPS,
        pct_start=cell.optimiser.warmup,
    )

    def batches() -> Iterator[Any]:
        while True:
            order = torch.randperm(n, device=device)
            for first in range(0, n - cell.batch_size + 1, cell.batch_size):
                yield data[order[first : first + cell.batch_size]]

    stream = batches()

    def train(n_steps: int) -> float:
        started = time.perf_counter()
        for _ in range(n_steps):
            optimiser.zero_grad()
            model(next(stream).contiguous(memory_format=layout)).backward()
            optimiser.step()
            schedule.step()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    default = torch.get_num_threads()
    torch.set_num_threads(threads or default)
    try:
        train(2)  # the first steps choose algorithms
        n_steps, took = 1, train(1)
        while took < 0.5 * seconds:  # find how many steps take the time
            n_steps = max(n_steps + 1, int(n_steps * 0.8 * seconds / took))
            took = train(n_steps)
        return [n_steps * cell.batch_size / train(n_steps) for _ in range(repeats)]
    finally:
        torch.set_num_threads(default)
