"""The same Inception v3 written once more, by calls of PyTorch on the weights as PyTorch has them.

It shares nothing with `inception`, so that features which both agree on were not computed wrongly
by either: a step that is run once, when weights are converted.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

# Added to variances by batch normalisation.
EPSILON = 1e-3


def torch_features(state: Mapping[str, Any], images: np.ndarray, resize: bool = True) -> np.ndarray:
    """The features of images [n, height, width, 1 or 3] in [0, 1], [n, 2048]; needs PyTorch.

    Args:
        state: tensors by name, such as Mixed_5b.branch1x1.conv.weight.
        resize: scales images to 299 x 299, as the FID is defined.
    """
    import torch  # pyright: ignore[reportMissingImports]  # of the extra `bench`

    F = torch.nn.functional

    def conv(x: Any, name: str, **how: Any) -> Any:
        x = F.conv2d(x, state[f"{name}.conv.weight"], **how)
        mean, variance = state[f"{name}.bn.running_mean"], state[f"{name}.bn.running_var"]
        weight, bias = state[f"{name}.bn.weight"], state[f"{name}.bn.bias"]
        return F.relu(F.batch_norm(x, mean, variance, weight, bias, eps=EPSILON))

    def mean_pool(x: Any) -> Any:
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)

    def block_a(x: Any, name: str) -> Any:
        five = conv(conv(x, f"{name}.branch5x5_1"), f"{name}.branch5x5_2", padding=2)
        three = conv(conv(x, f"{name}.branch3x3dbl_1"), f"{name}.branch3x3dbl_2", padding=1)
        three = conv(three, f"{name}.branch3x3dbl_3", padding=1)
        pooled = conv(mean_pool(x), f"{name}.branch_pool")
        return torch.cat([conv(x, f"{name}.branch1x1"), five, three, pooled], 1)

    def block_b(x: Any, name: str) -> Any:
        twice = conv(conv(x, f"{name}.branch3x3dbl_1"), f"{name}.branch3x3dbl_2", padding=1)
        twice = conv(twice, f"{name}.branch3x3dbl_3", stride=2)
        once = conv(x, f"{name}.branch3x3", stride=2)
        return torch.cat([once, twice, F.max_pool2d(x, 3, stride=2)], 1)

    def block_c(x: Any, name: str) -> Any:
        once = conv(x, f"{name}.branch7x7_1")
        once = conv(once, f"{name}.branch7x7_2", padding=(0, 3))
        once = conv(once, f"{name}.branch7x7_3", padding=(3, 0))
        twice = conv(x, f"{name}.branch7x7dbl_1")
        for i, padding in enumerate([(3, 0), (0, 3), (3, 0), (0, 3)], start=2):
            twice = conv(twice, f"{name}.branch7x7dbl_{i}", padding=padding)
        pooled = conv(mean_pool(x), f"{name}.branch_pool")
        return torch.cat([conv(x, f"{name}.branch1x1"), once, twice, pooled], 1)

    def block_d(x: Any, name: str) -> Any:
        three = conv(conv(x, f"{name}.branch3x3_1"), f"{name}.branch3x3_2", stride=2)
        seven = conv(x, f"{name}.branch7x7x3_1")
        seven = conv(seven, f"{name}.branch7x7x3_2", padding=(0, 3))
        seven = conv(seven, f"{name}.branch7x7x3_3", padding=(3, 0))
        seven = conv(seven, f"{name}.branch7x7x3_4", stride=2)
        return torch.cat([three, seven, F.max_pool2d(x, 3, stride=2)], 1)

    def crossed(x: Any, name: str) -> list[Any]:
        return [conv(x, f"{name}a", padding=(0, 1)), conv(x, f"{name}b", padding=(1, 0))]

    def block_e(x: Any, name: str, pooled: Any) -> Any:
        once = crossed(conv(x, f"{name}.branch3x3_1"), f"{name}.branch3x3_2")
        twice = conv(conv(x, f"{name}.branch3x3dbl_1"), f"{name}.branch3x3dbl_2", padding=1)
        last = conv(pooled, f"{name}.branch_pool")
        first = conv(x, f"{name}.branch1x1")
        return torch.cat([first, *once, *crossed(twice, f"{name}.branch3x3dbl_3"), last], 1)

    with torch.no_grad():
        x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32))
        if resize:
            x = F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
        x = 2.0 * x.expand(-1, 3, -1, -1) - 1.0
        x = conv(x, "Conv2d_1a_3x3", stride=2)
        x = conv(conv(x, "Conv2d_2a_3x3"), "Conv2d_2b_3x3", padding=1)
        x = F.max_pool2d(x, 3, stride=2)
        x = conv(conv(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3")
        x = F.max_pool2d(x, 3, stride=2)
        for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = block_a(x, name)
        x = block_b(x, "Mixed_6a")
        for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = block_c(x, name)
        x = block_d(x, "Mixed_7a")
        x = block_e(x, "Mixed_7b", mean_pool(x))
        x = block_e(x, "Mixed_7c", F.max_pool2d(x, 3, stride=1, padding=1))
        return F.adaptive_avg_pool2d(x, (1, 1)).flatten(1).numpy()
