"""Architectures for sensor series."""
