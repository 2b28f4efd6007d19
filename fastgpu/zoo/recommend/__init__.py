"""Architectures for recommendation, one file a family."""
