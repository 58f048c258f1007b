"""Words of messages, in every room."""


def counted(count: int, noun: str) -> str:
    """A number and what it is of: "1 row", "3 rows"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
