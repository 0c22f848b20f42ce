"""The images of mails on our own host."""

from __future__ import annotations

import building as b
from pictures import picture
from starlette.testclient import TestClient

from mailer.feeds import ready_image
from mailer.services.articles.images import ImageKeeper
from mailer.store.models import Article
from mailer.wiring import Parts


def test_an_image_is_served_for_ever_under_the_hash_of_its_bytes(
    client: TestClient, sqlite_parts: Parts
) -> None:
    body = picture()
    article = Article(image={"url": "https://pictures.test/boats.jpg"})
    keeper = ImageKeeper(sqlite_parts.sessions, lambda url, *, seconds: body, lambda: b.NOW)
    keeper.keep([article])
    ready = ready_image(body)
    answer = client.get(f"/img/{ready.file}")
    assert answer.status_code == 200
    assert answer.content == ready.body
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in answer.headers["cache-control"]
    assert "set-cookie" not in answer.headers
    assert client.head(f"/img/{ready.file}").headers["content-length"] == str(len(ready.body))
    known = {"If-None-Match": answer.headers["etag"]}
    unchanged = client.get(f"/img/{ready.file}", headers=known)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    for other in (
        f"{ready.sha256}.png", f"{'0' * 64}.jpg", f"{ready.sha256.upper()}.jpg", ready.sha256,
        f"{ready.sha256}.jpg.html", "..%2fmailer.db", f"{ready.sha256}.svg",
    ):  # fmt: skip
        missing = client.get(f"/img/{other}", headers={"If-None-Match": '"x"'})
        assert missing.status_code == 404
        assert "immutable" not in missing.headers.get("cache-control", "")
    assert client.post(f"/img/{ready.file}").status_code == 405
