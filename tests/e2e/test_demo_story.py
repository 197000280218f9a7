"""The demo as people run it: real daemons, the real table in small, the page in a real browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from shared import ROOT, unavailable

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("demo") / "run"
    command = [sys.executable, "-P", "-m", "parley.demo", "--folder", str(folder), "--rows", "1200", "--trees", "2"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=280, stdin=subprocess.DEVNULL)
    return folder, ran


@pytest.mark.timeout(300)
def test_the_demo_ends_well_and_leaves_nothing_running(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    import psutil

    folder, ran = demo
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "NOT AS IT SHOULD BE" not in ran.stdout
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]
    assert left == []


@pytest.mark.timeout(300)
def test_no_secret_key_lies_open_in_any_home(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = demo
    for home in (folder / "homes").iterdir():
        assert (home.stat().st_mode & 0o077) == 0
    logs = list((folder / "homes").rglob("*.log"))
    assert logs
    ids = [line.split(",")[0] for line in (folder / "inputs/lender/table.csv").read_text().splitlines()[1:200]]
    for log in logs:
        text = log.read_text(errors="replace")
        assert not any(i in text for i in ids), f"{log.name} shows record ids"


@pytest.mark.timeout(300)
def test_the_page_opens_in_a_browser(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = demo
    if not CHROMIUM.exists():
        unavailable("chromium is not installed (on Debian or Ubuntu: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    requests: list[str] = []
    problems: list[str] = []
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM))
        page = browser.new_page(viewport={"width": 1200, "height": 1500})
        page.on("request", lambda r: requests.append(r.url))
        page.on("console", lambda m: problems.append(m.text))
        page.goto((folder / "report.html").as_uri())
        assert page.inner_text("#state") == "succeeded"
        assert abs(float(page.inner_text("#auc")) - float(page.inner_text("#central-auc"))) <= 1e-3
        assert page.locator("svg#roc polyline").count() == 2
        assert page.locator("#disclosures tbody tr").count() >= 8
        out = ROOT / "build" / "report.png"
        out.parent.mkdir(exist_ok=True)
        page.screenshot(path=str(out), full_page=True)
        browser.close()
    assert len(requests) == 1, requests
    assert problems == []
    assert out.stat().st_size > 20_000
