"""A server of the real command and a real browser, shared by the tests of this folder."""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def address():
    """Where `ridgeline web` listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ridgeline", "web", "--port", "0", "--workers", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    stuck = threading.Timer(60, process.kill)
    stuck.start()
    line = process.stdout.readline()
    stuck.cancel()
    found = re.search(r"http://[\d.]+:\d+", line)
    assert found, line
    # Read on, so that a full pipe never stops the server.
    threading.Thread(target=process.stdout.read, daemon=True).start()
    yield found[0]
    process.terminate()
    process.wait(timeout=20)
    process.stdout.close()


# For a module only: its event loop runs in this thread, where other tests start their own.
@pytest.fixture(scope="module")
def browser():
    """Headless Chromium of this system; CI installs one and says that it must be there."""
    path = next((p for p in map(shutil.which, BROWSERS) if p), None)
    if path is None:
        if os.environ.get("RIDGELINE_BROWSER") == "required":
            pytest.fail("no Chromium is installed")
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, address):
    """A fresh page that fails on any complaint of the console or request to elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened = context.new_page()
    complaints = []
    opened.on("console", lambda m: m.type in ("error", "warning") and complaints.append(m.text))
    opened.on("pageerror", lambda e: complaints.append(str(e)))
    opened.on("request", lambda r: r.url.startswith((address, "blob:", "data:"))
              or complaints.append(f"asked {r.url}"))
    yield opened
    context.close()
    # Chromium notes every refused request; refusals are part of what is tested.
    assert [c for c in complaints if "status of 422" not in c] == []


@pytest.fixture(scope="session")
def shots():
    """Where screenshots are kept."""
    folder = Path(os.environ.get("RIDGELINE_SCREENSHOTS", "build/screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
