"""Architectures for tables, one file a family."""
