"""Compression as pure functions on networks: the callbacks and the Learner's verbs only decide when to call them."""
