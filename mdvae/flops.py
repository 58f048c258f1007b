"""The true arithmetic of a training step: matrix products at a cell's own sizes, padding apart.

Only products are counted. Activations, normal draws and Adam are work too, but of an order less,
and what is reported as a share of the matrix-product peak should be that of products.
"""

import itertools

from mdvae.grid import Cell


def condition_sizes(cell: Cell) -> list[list[tuple[int, int]]]:
    """Inputs and outputs of the layers on c, network by network: both sides, attention, prior."""
    if cell.model == "vae":
        return []
    width, decoder = cell.hidden[0], (cell.decoder_hidden or cell.hidden[::-1])[0]
    stages: list[tuple[int, ...]] = [
        (cell.c, width, cell.kappa, width),
        (cell.c, decoder, cell.kappa, decoder),
    ]
    if cell.attention:
        stages.append((cell.c, cell.attention_hidden or width, cell.kappa))
    if cell.prior == "learned":
        stages.append((cell.c, width, cell.kappa, 2 * cell.kappa))
    return [list(itertools.pairwise(stage)) for stage in stages]


def layer_sizes(cell: Cell) -> list[tuple[int, int]]:
    """Inputs and outputs of every layer from x to z and back to x, those on c apart."""
    encoder = (cell.d, *cell.hidden, 2 * cell.kappa)
    decoder = (cell.kappa, *(cell.decoder_hidden or cell.hidden[::-1]), cell.d)
    return [*itertools.pairwise(encoder), *itertools.pairwise(decoder)]


def step_flops(cell: Cell) -> int:
    """Floating-point operations of the products of one training step of one run.

    Each layer takes three: its output, the gradient of its kernel, and that of its input; the
    first has no use for the last. An added and a multiplied number count as two.
    """
    sizes = layer_sizes(cell)
    products = 3 * sum(inputs * outputs for inputs, outputs in sizes)
    first_inputs, first_outputs = sizes[0]
    products -= first_inputs * first_outputs
    for layers in condition_sizes(cell):
        products += 3 * sum(inputs * outputs for inputs, outputs in layers)
        products -= layers[0][0] * layers[0][1]
    if cell.encoder_input == "whitened":
        products += cell.d**2
    return 2 * cell.batch_size * products
