"""Data: sources, splits, columns and loaders."""
