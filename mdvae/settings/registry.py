"""Kinds of data, methods, networks, optimisers and analyses, found by name.

A kind is whatever its room's `base` says (`data.base.DataKind`, `methods.base.MethodKind`, ...);
all that this room knows is that it has `settings`, the class of its section of a config. A file of
a kind ends in a line such as `DATA.add("manifold", DataKind(...))`. All files of a room are
imported before the first look-up, so that a new kind is a new file and nothing else.

A kind outside this package is named "module:name", such as "my_models:deep_sets"; the module is
imported, and adds it under its plain name.
"""

import importlib
import pkgutil
from typing import Any

from mdvae.settings.fields import ConfigError, shown


class Registry:
    """The kinds of one section.

    Attributes:
        section: the name of the section of a config.
        default: the kind of a config that names none.
        packages: whose modules add kinds, or modules that do.
    """

    def __init__(self, section: str, package: str, default: str, *others: str):
        self.section, self.default, self.packages = section, default, (package, *others)
        self._kinds: dict[str, Any] = {}
        self._complete = False

    def add(self, name: str, kind: Any) -> None:
        """Adds a kind under a name; a module that is imported again replaces its own."""
        self._kinds[name] = kind

    def find(self, name: Any, path: str = "") -> Any:
        """The kind of a name.

        Args:
            path: what the user calls the value, for the message.

        Raises:
            ConfigError: where there is none.
        """
        path = path or f"{self.section}.kind"
        known = self.names()
        module, _, plain = str(name).rpartition(":")
        if module:
            try:
                importlib.import_module(module)
            except Exception as error:  # it is the user's own code
                why = " ".join(str(error).split())
                raise ConfigError(f"{path}: {shown(name)} cannot be imported ({why})") from error
        if plain not in self._kinds:
            raise ConfigError(
                f"{path}: {shown(name)} is not usable; it must be one of {', '.join(known)},"
                " or module:name"
            )
        return self._kinds[plain]

    def names(self) -> list[str]:
        """The names of all kinds that are known, sorted."""
        if not self._complete:
            for name in self.packages:
                package = importlib.import_module(name)
                for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
                    importlib.import_module(f"{name}.{module.name}")
            self._complete = True
        return sorted(self._kinds)


# What trained sweeps say of their data is data too, of a room that may read them.
DATA = Registry("data", "mdvae.data", "manifold", "mdvae.stages.latents")
METHODS = Registry("method", "mdvae.methods", "vae")
NETWORKS = Registry("networks", "mdvae.networks", "mlp")
OPTIMISERS = Registry("optimiser", "mdvae.methods", "adam")
ANALYSES = Registry("analysis", "mdvae.analysis", "dimensions")

SECTIONS = {
    registry.section: registry for registry in (DATA, METHODS, NETWORKS, OPTIMISERS, ANALYSES)
}
