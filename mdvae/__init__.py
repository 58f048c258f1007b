"""mdvae: learn the dimension of a data manifold with (conditional) variational autoencoders."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdvae.store.loading import LoadedRun, load_run

__version__ = "0.1.0"
__all__ = ["LoadedRun", "load_run"]


def __getattr__(name: str) -> Any:
    """Imports what notebooks use when it is asked for.

    A command imports this package first of all, and JAX here would keep it for seconds from
    answering Ctrl-C.
    """
    if name not in __all__:
        raise AttributeError(f"module 'mdvae' has no attribute {name!r}")
    from mdvae.store import loading

    return getattr(loading, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
