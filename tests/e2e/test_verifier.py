"""docs/verify.html, the second verifier, in the real browser: it shares no code with the first."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import proof_vectors as published
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

PAGE = Path(__file__).parents[2] / "docs" / "verify.html"
LISTED = json.loads((published.FOLDER / "vectors.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def verifier(browser: Browser) -> Iterator[Page]:
    """The page as an auditor opens it: from the disk, with no network at all."""
    with browser.new_context(offline=True) as context:
        page = context.new_page()
        wrong: list[str] = []
        page.on("console", lambda said: wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: asked.url == PAGE.as_uri() or wrong.append(asked.url))
        page.goto(PAGE.as_uri())
        yield page
        assert wrong == []


def judge(page: Page, path: Path, public_key: str) -> tuple[str, str]:
    """Give the page a key and a file; return the step and the place that it names."""
    page.reload()
    page.get_by_label("public key").fill(public_key)
    page.get_by_label("Proof file").set_input_files(path)
    result = page.get_by_role("status")
    expect(result).to_have_attribute("data-step", re.compile("."))
    heading = "Proved" if result.get_attribute("data-step") == "ok" else "Not proved"
    expect(result.get_by_role("heading", level=2)).to_have_text(heading)
    return result.get_attribute("data-step") or "", result.get_attribute("data-where") or ""


@pytest.mark.parametrize("vector", LISTED, ids=[each["file"] for each in LISTED])
def test_the_second_verifier_finds_what_the_first_one_finds(
    verifier: Page, vector: dict[str, str]
) -> None:
    found = judge(verifier, published.FOLDER / vector["file"], vector["public_key"])
    assert found == (vector["step"], vector["where"])


def test_a_reader_of_the_page_is_told_who_said_what_and_under_which_words(verifier: Page) -> None:
    judge(verifier, published.FOLDER / "whole.json", published.KEY)
    result = verifier.get_by_role("status")
    for words in (
        published.ORIGIN,
        "It held 1000 entries then.",
        "The key that you gave was used.",
        "weekly, updates: consent given",
        "amina@readers.example",
        "2001:db8::7",
        "نكتب إليك كل أسبوع",
    ):
        expect(result).to_contain_text(words)
    judge(verifier, published.FOLDER / "whole.json", "")
    expect(result).to_contain_text("The key that was used stands in the file itself.")


def test_a_key_that_is_none_is_named(verifier: Page) -> None:
    found = judge(verifier, published.FOLDER / "whole.json", "no key")
    assert found == ("public_key", "public_key")


def test_markup_in_a_proof_stays_words(verifier: Page, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.json"
    markup = "<img/src=x/onerror=alert(1)>"
    hostile.write_text(json.dumps({**published.WHOLE, markup: 1}), "utf-8")
    assert judge(verifier, hostile, published.KEY) == ("member", markup)
    expect(verifier.locator("img")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["whole", "forged-state"])
def test_the_page_is_accessible(verifier: Page, scheme: str, name: str) -> None:
    verifier.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    verifier.set_viewport_size({"width": 320, "height": 800})
    judge(verifier, published.FOLDER / f"{name}.json", published.KEY)
    assert Axe().run(verifier).response["violations"] == []
    width = verifier.evaluate("document.documentElement.scrollWidth")
    assert width <= 320


def test_the_page_may_run_its_own_script_and_nothing_else() -> None:
    page = PAGE.read_text("utf-8")
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    hashes = {
        f"{name}-src": base64.b64encode(
            hashlib.sha256(re.findall(rf"<{name}>(.*?)</{name}>", page, re.S)[0].encode()).digest()
        ).decode()
        for name in ("script", "style")
    }
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes['script-src']}'; "
        f"style-src 'sha256-{hashes['style-src']}'; base-uri 'none'; form-action 'none'"
    )
    assert "http" not in page.replace("http-equiv", "")
