"""Headless Chromium for the tests of pages."""

import shutil

import pytest


@pytest.fixture(scope="session")
def chromium():
    """A browser; the tests are skipped where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install .[dev])"
    )
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no `chromium` program is there (Debian's package chromium)")
    with playwright.sync_playwright() as driver:
        # Without a sandbox it also runs as root, as in a container.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
