"""Architectures for sound: speech to text, and text to speech."""
