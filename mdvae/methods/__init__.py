"""Methods: what training one run means; a file for each kind."""
