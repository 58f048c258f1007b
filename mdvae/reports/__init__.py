"""Reports on run directories: tables, sentences and pictures, by sections."""
