"""Architectures for texts, one file a family."""
