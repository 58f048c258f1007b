"""The folder of an estimate: what it is of, and the table that its models are trained on."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from mdvae.data.intake import Intake
from mdvae.settings.fields import ConfigError
from mdvae.store.rundir import write_atomic

REQUEST, TABLE, GIVEN, SECONDS = "request.json", "table.npy", "given.npy", "seconds.txt"
# What tells of an estimate to a reader.
REPORT, OPINIONS, FIGURES = "report.md", "estimates.csv", "figures"
# Of classes: their own estimates, and the run of a CVAE that is told them.
CLASSES, CVAE = "classes", "cvae"


def request_of(table: Intake, **settings: Any) -> dict[str, Any]:
    """What an estimate is of, as plain values: a hash of all numbers, and settings."""
    digest = hashlib.sha256(str((table.x.shape, table.x.dtype.str)).encode())
    for part in (table.x, table.labels, table.given):
        digest.update(b"none" if part is None else np.ascontiguousarray(part).data)
    return {"content": digest.hexdigest()[:32], "classes": list(table.classes), **settings}


def claim(path: Path, wanted: dict[str, Any], field: str = "--workdir") -> None:
    """Makes a folder that of a request, or checks that it is.

    Args:
        field: what the user calls the folder.

    Raises:
        ConfigError: where it holds something else, or cannot be written.
    """
    file = path / REQUEST
    try:
        path.mkdir(parents=True, exist_ok=True)
        if file.is_file():
            found = json.loads(file.read_text(encoding="utf-8"))
            for name, value in wanted.items():
                if found.get(name) != value:
                    told = "table" if name in ("content", "classes") else name
                    raise ConfigError(
                        f"{field}: {path} belongs to an estimate of another {told}; give another"
                        " folder"
                    )
        elif any(not each.name.startswith(".") for each in path.iterdir()):
            raise ConfigError(
                f"{field}: {path} holds files but no {REQUEST}; give an empty or a new folder"
            )
        write_atomic(file, json.dumps(wanted, indent=2) + "\n")
    except (UnicodeDecodeError, json.JSONDecodeError, AttributeError) as error:
        raise ConfigError(
            f"{field}: {file} cannot be read ({error}); give another folder"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{field}: {path} cannot be written ({error.strerror}); give a folder that can"
        ) from error


def keep(path: Path, name: str, values: np.ndarray) -> Path:
    """Writes an array into a folder, whole or not at all; what is there already stays."""
    file = path / name
    if not file.is_file():
        temporary = path / f".{name}.tmp.npy"
        np.save(temporary, values)
        temporary.replace(file)
    return file
