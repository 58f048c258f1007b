"""Random damage to a run directory, of the kinds that disks, editors and strangers do."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

# What stands in for a value of a file.
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    3,
    10**30,
    -(10**400),
    0.5,
    1e308,
    float("nan"),
    float("-inf"),
    "",
    "x",
    "κ\n",
    [],
    [1, "a", None],
    {},
    {"a": []},
)
FIELDS = ("", "x", "-1", "nan", "inf", "1e999", "9" * 500, '"', "κ", "a,b", "0.5", "3", "\x00")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a JSON value, its own apart."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [found for key, each in inner for found in ((*path, key), *places(each, (*path, key)))]


def change_json(draw: random.Random, file: Path) -> str:
    """One value replaced, removed or added."""
    try:
        value = json.loads(file.read_text())
        known = places(value)
    except ValueError:
        return garbage(draw, file)
    if not known:
        return garbage(draw, file)
    # Of long lists no more than of what is written once.
    *above, key = draw.choice(known)
    place = value
    for each in above:
        place = place[each]
    way = draw.choice(("replaced", "replaced", "removed", "added"))
    odd = draw.choice(ODD)
    if way == "removed":
        del place[key]
    elif way == "added":
        place.insert(0, odd) if isinstance(place, list) else place.update({f"{key} ": odd})
    else:
        place[key] = odd
    file.write_text(json.dumps(value))
    return f"{'.'.join(map(str, (*above, key)))} {way}" + ("" if way == "removed" else f": {odd!r}")


def change_lines(draw: random.Random, file: Path) -> str:
    """A line of a table or of metrics removed, doubled, or changed in one place; or a column."""
    lines = file.read_text().split("\n")
    at = draw.randrange(max(1, len(lines) - 1))
    way = draw.choice(("removed", "doubled", "field", "field", "field", "column", "cut"))
    if way == "removed":
        del lines[at]
    elif way == "doubled":
        lines.insert(at, lines[at])
    elif way == "cut":
        lines[at] = lines[at][: draw.randrange(len(lines[at]) + 1)]
    elif file.suffix == ".jsonl":
        row = file.with_suffix(".line")
        row.write_text(lines[at])
        way = change_json(draw, row)
        lines[at] = row.read_text()
        row.unlink()
    else:
        fields = lines[at].split(",")
        chosen = draw.randrange(len(fields))
        if way == "column":
            way = f"column {chosen} removed"
            table = [line.split(",") for line in lines]
            lines = [",".join(line[:chosen] + line[chosen + 1 :]) for line in table]
        else:
            fields[chosen] = draw.choice(FIELDS)
            way = f"field {chosen}: {fields[chosen][:20]!r}"
            lines[at] = ",".join(fields)
    file.write_text("\n".join(lines))
    return f"line {at}: {way}"


def garbage(draw: random.Random, file: Path) -> str:
    """Bytes changed, cut off, or all other ones."""
    whole = file.read_bytes()
    way = draw.choice(("flipped", "cut", "emptied", "other"))
    at = draw.randrange(len(whole)) if whole else 0
    if way == "flipped" and whole:
        changed = bytearray(whole)
        changed[at] ^= 1 << draw.randrange(8)
        file.write_bytes(changed)
    else:
        other = draw.choice((b"\xff\xfe\x00", b"[" * 100_000, b"\x80\x04N.", draw.randbytes(50)))
        file.write_bytes({"cut": whole[:at], "other": other}.get(way, b""))
    return f"{way} at {at} of {len(whole)}"


def _moved(draw: random.Random, place: Path) -> str:
    """A file or a folder that is gone, or the other of the two."""
    way = draw.choice(("gone", "turned"))
    is_folder = place.is_dir()
    shutil.rmtree(place) if is_folder else place.unlink()
    if way == "turned" and is_folder:
        place.write_bytes(b"x")
    elif way == "turned":
        place.mkdir()
    return way


def _added(draw: random.Random, folder: Path) -> str:
    """What nobody expects there."""
    name = draw.choice(("x", "7", "-1", "60.orbax-checkpoint-tmp-1", "κ", "results.csv.tmp", "12a"))
    place = folder / name
    if not place.exists():
        draw.choice((place.mkdir, lambda: place.write_bytes(b"x")))()
    return f"{name} added"


def mutate(draw: random.Random, path: Path) -> list[str]:
    """One or two random changes of a run directory; what they were."""
    told = []
    for _ in range(draw.choice((1, 1, 2))):
        whole = sorted(each for each in path.rglob("*") if not each.is_symlink())
        top = [each for each in whole if each.is_file() and "checkpoints" not in each.parts]
        text = [each for each in top if each.suffix in (".json", ".jsonl", ".csv")]
        deep = [each for each in whole if each.is_file() and "checkpoints" in each.parts]
        folders = [path, *(each for each in whole if each.is_dir())]
        kind = draw.choices(("text", "bytes", "deep", "moved", "added"), (8, 2, 3, 3, 1))[0]
        if kind == "text" and text:
            place = draw.choice(text)
            change = change_json if place.suffix == ".json" else change_lines
            try:
                said = change(draw, place)
            except UnicodeDecodeError:  # changed before
                said = garbage(draw, place)
        elif kind in ("bytes", "deep") and (top if kind == "bytes" else deep):
            place = draw.choice(top if kind == "bytes" else deep)
            said = garbage(draw, place)
        elif kind == "moved" and whole:
            place = draw.choice(whole)
            said = _moved(draw, place)
        else:
            place = draw.choice(folders)
            said = _added(draw, place)
        told.append(f"{place.relative_to(path)}: {said}")
    return told
