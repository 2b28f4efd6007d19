"""The report of a run: one page, self-contained, from plain facts. Nothing here knows the learner or Lightning."""
