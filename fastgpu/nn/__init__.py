"""Blocks that two or more families of the zoo share."""
