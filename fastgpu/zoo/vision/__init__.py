"""Architectures for pictures, one file a family."""
