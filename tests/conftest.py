"""What all tests share: the data beside the checkout, and reproducible property tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("expunge", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("expunge")

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ``shared`` beside the checkout, or the one that EXPUNGE_SHARED names."""
    folder = Path(os.environ.get("EXPUNGE_SHARED") or CHECKOUT.parent / "shared")
    if folder.is_dir():
        return folder
    reason = f"needs the data folder beside the checkout (or EXPUNGE_SHARED); there is none at {folder}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return CHECKOUT
