"""Words of messages, in every room."""


def counted(count: float, noun: str) -> str:
    """A number and what it is of: "1 row", "3 rows", "2.5 rows"."""
    shown = f"{count:g}" if isinstance(count, float) else str(count)
    return f"{shown} {noun}{'' if count == 1 else 's'}"
