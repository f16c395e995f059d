"""Credentials: every provider's tokens and every place where credentials stand."""

from __future__ import annotations

import base64

import pytest

from interlock.governance.redaction import redact
from tests.governance.fake_secrets import Forge, leaks

FORGE = Forge(21)
TOKENS = FORGE.tokens()


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "Use {} for the request",
        '{{"log":"t=\\"{}\\" x"}}',
        "a=1\\n{}\\nb=2",
        "next%3D{}%26x",
        "<td>{}</td>",
        "\x1b[4m{}\x1b[24m",
        "`{}`, and",
        "é{}",
    ],
)
def test_a_provider_token_goes_wherever_it_stands(name: str, around: str) -> None:
    shown = redact(around.format(TOKENS[name]))
    assert not leaks(TOKENS[name], shown)
    assert "[REDACTED:" in shown


@pytest.mark.parametrize("name", sorted(TOKENS))
def test_a_provider_token_goes_that_begins_where_others_end(name: str) -> None:
    found = redact(TOKENS["telegram"] * 6 + TOKENS[name])
    assert TOKENS[name] not in found
    assert TOKENS["telegram"] not in found


@pytest.mark.parametrize("name", ["github", "openai", "aws", "anthropic"])
def test_a_provider_token_inside_of_base64_goes(name: str) -> None:
    for plain in (TOKENS[name], f"user:{TOKENS[name]}"):
        coded = base64.b64encode(plain.encode()).decode()
        assert not leaks(coded, redact(f"config: {coded} (base64)"))
        assert not leaks(coded.rstrip("="), redact(f"/data/{coded.rstrip('=')}"))
    wide = base64.b64encode(f"export X={TOKENS[name]}".encode("utf-16-le")).decode()
    assert not leaks(wide, redact(f"powershell -EncodedCommand {wide}"))


@pytest.mark.parametrize(
    "around",
    [
        "DB_PASSWORD={}",
        "export PGPASSWORD='{}'",
        '"password": "{}",',
        "passwd: {}",
        "password = {}  # comment",
        "<password>{}</password>",
        '<user name="bob" password="{}" roles="x"/>',
        '<add key="DbPassword" value="{}"/>',
        '{{"name": "DB_PASSWORD", "value": "{}"}}',
        "- name: DB_PASSWORD\n  value: {}\n",
        "define('DB_PASSWORD', '{}');",
        "'password' => '{}',",
        'String password = "{}";',
        "Server=tcp:x;User ID=sa;PWD={};Encrypt=True",
        "jdbc:mysql://h/db?user=x&password={}&ssl=1",
        "postgres://app:{}@db:5432/x",
        "https://bob:{}@git.acme.dev/x.git",
        "mysql -u root -p{} shop",
        "sshpass -p '{}' ssh host",
        "docker login -u bob -p {} r.acme.dev",
        "curl -u bob:{} https://x.acme.dev",
        "redis-cli -a {} ping",
        "tool --password {} --verbose",
        "tool --password={}",
        "echo '{}' | sudo -S id",
        "machine api.acme.dev login bob password {}",
        "db.internal:5432:app:bob:{}",
        "CREATE USER bob IDENTIFIED BY '{}';",
        "the password is {}",
        "**Password:** `{}`",
        "| password | {} |",
        "\x1b[1mpassword:\x1b[0m \x1b[33m{}\x1b[0m",
        '{{\\"password\\":\\"{}\\"}}',
        "&quot;password&quot;:&quot;{}&quot;",
        "apiVersion: v1\nkind: Secret\nstringData:\n  anything: {}\n",
        'wifi: ssid=Office psk="{}"',
    ],
)
def test_a_password_goes_from_every_place_where_passwords_stand(around: str) -> None:
    for _ in range(3):
        password = FORGE.password()
        assert not leaks(password, redact(around.format(password)))


@pytest.mark.parametrize(
    "around",
    [
        "AZURE_OPENAI_API_KEY={}",
        "X-Api-Key: {}",
        "Authorization: Bearer {}",
        "authorization: token {}",
        '"Authorization": "{}"',
        'Authorization: Digest username="bob", response="{}"',
        "https://api.acme.dev/v1?api_key={}&page=2",
        "next=%2Fcb%3Faccess_token%3D{}",
        "Cookie: theme=dark; sessionid={}",
        "Set-Cookie: sid={}; Path=/; HttpOnly",
        "//registry.npmjs.org/:_authToken={}",
        "https://{}@git.acme.dev/x.git",
        "secret_key_base: {}",
        "AccountKey={};EndpointSuffix=x",
        "your api key is {}",
        "config['client_secret'] = '{}'",
    ],
)
def test_a_key_without_a_form_of_its_own_goes_by_its_name(around: str) -> None:
    for key in (FORGE.hex(32), FORGE.letters(40), FORGE.url_base64(30)):
        assert not leaks(key, redact(around.format(key)))


def test_basic_credentials_and_password_hashes_go() -> None:
    basic = base64.b64encode(b"ci:" + FORGE.letters(14).encode()).decode()
    for text in (f"Proxy-Authorization: Basic {basic}", f'{{"auths":{{"r.acme.dev":{{"auth":"{basic}"}}}}}}'):
        assert not leaks(basic, redact(text))
    digest = FORGE.letters(53)
    for text in (f"bob:$2y$10${digest}", f"bob:$apr1$abcdefgh${digest}", f"root:$6$salt${digest}:19700:0:::"):
        assert not leaks(digest, redact(text))


def test_the_secret_that_stands_near_an_aws_key_id_goes_with_it() -> None:
    secret = FORGE.base64(30)
    assert not leaks(secret, redact(f"{TOKENS['aws']},{secret}"))


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_a_private_key_goes_however_it_was_pasted(kind: str) -> None:
    block, body = FORGE.key_block(kind)
    lines = block.split("\n")
    pasted = {
        "plain": block,
        "indented": "\n".join("    " + line for line in lines),
        "quoted mail": "\n".join("> " + line for line in lines),
        "a diff": "\n".join("+" + line for line in lines),
        "escaped": block.replace("\n", "\\n"),
        "on one line": block.replace("\n", " "),
        "with other line ends": block.replace("\n", "\r\n"),
        "cut off at its end": block[: len(block) // 2],
        "cut off at its beginning": block[100:],
    }
    for how, text in pasted.items():
        shown = redact(f"before\n{text}\nbehind")
        assert not [line for line in body if leaks(line, shown) and line in text], how
        assert shown.startswith("before")
        assert shown.endswith("behind")


def test_a_public_key_and_the_name_of_a_private_one_stay() -> None:
    for text in (
        f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{FORGE.letters(40)} bob@host",
        f"-----BEGIN PUBLIC KEY-----\n{FORGE.base64(48)}\n-----END PUBLIC KEY-----",
        "grep -r 'BEGIN RSA PRIVATE" + " KEY' .",
    ):
        assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("DATABASE_URL=mysql://app:{}@db:3306/shop", ["mysql://app:", "@db:3306/shop"]),
        ("Cookie: sessionid={}; theme=dark", ["sessionid=", "; theme=dark"]),
        ("PORT=8080\nREDIS_PASSWORD={}\nLOG_LEVEL=info", ["PORT=8080\n", "\nLOG_LEVEL=info"]),
        ("https://x.acme.dev/v1?token={}&page=2", ["&page=2"]),
        ("docker login -u acme -p {} r.acme.dev", ["docker login -u acme -p ", " r.acme.dev"]),
    ],
)
def test_what_stands_around_a_secret_stays(text: str, kept: list[str]) -> None:
    shown = redact(text.format("x7Kq" + FORGE.letters(14) + "q7"))
    assert all(part in shown for part in kept)
