"""The sections of reports, a file each; see `reports.base.Section`."""
