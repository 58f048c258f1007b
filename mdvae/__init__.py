"""mdvae: learn the dimension of a data manifold with (conditional) variational autoencoders."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdvae.estimate import Estimate, EstimateModule
    from mdvae.store.loading import LoadedRun, load_run

    estimate: EstimateModule

__version__ = "0.1.0"
__all__ = ["Estimate", "LoadedRun", "estimate", "load_run"]
# Modules that names come from; `estimate` is one itself, which can be called as a function.
_MODULES = {"Estimate": "mdvae.estimation.answer", "estimate": "mdvae.estimate"}


def __getattr__(name: str) -> Any:
    """Imports what notebooks use when it is asked for.

    A command imports this package first of all, and JAX here would keep it for seconds from
    answering Ctrl-C.
    """
    if name not in __all__:
        raise AttributeError(f"module 'mdvae' has no attribute {name!r}")
    module = importlib.import_module(_MODULES.get(name, "mdvae.store.loading"))
    return module if name == "estimate" else getattr(module, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
