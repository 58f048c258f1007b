"""Published tables, as CSV: what reports compare with."""
