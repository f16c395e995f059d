"""Well-formed secrets that were never anybody's, put together at run time so that no scanner takes them for real."""

from __future__ import annotations

import base64
import random
import string

LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


class Forge:
    """Makes secrets of every form; the same ones for the same seed."""

    def __init__(self, seed: int = 7) -> None:
        self.dice = random.Random(seed)

    def of(self, alphabet: str, length: int) -> str:
        """Random characters."""
        return "".join(self.dice.choice(alphabet) for _ in range(length))

    def letters(self, length: int) -> str:
        """Letters of both cases, and digits."""
        return self.of(LETTERS, length)

    def hex(self, length: int) -> str:
        """Hexadecimal digits."""
        return self.of(HEX, length)

    def upper(self, length: int) -> str:
        """Capitals and digits."""
        return self.of(string.ascii_uppercase + string.digits, length)

    def base64(self, octets: int) -> str:
        """Base64 of so many random bytes."""
        return base64.b64encode(self.dice.randbytes(octets)).decode()

    def url_base64(self, octets: int) -> str:
        """The same for URLs, without padding."""
        return base64.urlsafe_b64encode(self.dice.randbytes(octets)).decode().rstrip("=")

    def uuid(self) -> str:
        """A UUID."""
        digits = self.hex(32)
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def password(self) -> str:
        """A password as a manager makes it."""
        return self.letters(9) + self.dice.choice("!$#%^*-_+?") + self.letters(5)

    def key_block(self, kind: str = "RSA ", lines: int = 6) -> tuple[str, list[str]]:
        """A private key in PEM, and the lines of its body."""
        body = [self.base64(48) for _ in range(lines)]
        edge = "-----{} " + kind + "PRIVATE" + " KEY-----"
        return "\n".join((edge.format("BEGIN"), *body, edge.format("END"))), body

    def card(self, prefix: str, length: int) -> str:
        """A card number with its check digit."""
        digits = prefix + self.of(string.digits, length - 1 - len(prefix))
        total = sum(sum(divmod(int(digit) * (2 - at % 2), 10)) for at, digit in enumerate(reversed(digits)))
        return digits + str(-total % 10)

    def iban(self, country: str, length: int) -> str:
        """An account number with its check digits."""
        account = self.of(string.digits, length - 4)
        number = int("".join(str(int(character, 36)) for character in account + country + "00"))
        return f"{country}{98 - number % 97:02d}{account}"

    def tokens(self) -> dict[str, str]:
        """A token of each provider, by a name for it."""
        return {
            "anthropic": "sk-" + "ant-api03-" + self.url_base64(70) + "AA",
            "openai": "sk-" + "proj-" + self.url_base64(90),
            "openai, old": "sk-" + self.letters(20) + "T3BlbkFJ" + self.letters(20),
            "google": "AI" + "za" + self.letters(35),
            "openrouter": "sk-" + "or-v1-" + self.hex(64),
            "huggingface": "hf" + "_" + self.letters(34),
            "groq": "gsk" + "_" + self.letters(52),
            "langfuse": "sk-" + "lf-" + self.uuid(),
            "aws": "AK" + "IA" + self.upper(16),
            "azure": "abc" + "8Q~" + self.letters(34),
            "digitalocean": "dop" + "_v1_" + self.hex(64),
            "fly": "FlyV1 " + "fm2_" + self.base64(120),
            "github": "gh" + "p_" + self.letters(36),
            "github, fine": "github" + "_pat_" + self.letters(22) + "_" + self.letters(59),
            "gitlab": "gl" + "pat-" + self.letters(20),
            "npm": "npm" + "_" + self.letters(36),
            "pypi": "py" + "pi-AgEIcHlwaS5vcmc" + self.url_base64(80),
            "crates": "ci" + "o" + self.letters(32),
            "slack": "xo" + "xb-" + self.of("123456789", 12) + "-" + self.of("123456789", 12) + "-" + self.letters(24),
            "slack hook": "https://hooks."
            + f"slack.com/services/T{self.upper(10)}/B{self.upper(10)}/{self.letters(24)}",
            "discord": "MT" + self.letters(22) + "." + self.letters(6) + "." + self.letters(38),
            "telegram": self.of("123456789", 10) + ":A" + "A" + self.letters(33),
            "twilio": "S" + "K" + self.hex(32),
            "sendgrid": "S" + "G." + self.letters(22) + "." + self.letters(43),
            "mailchimp": self.hex(32) + "-us" + "12",
            "stripe": "sk" + "_live_" + self.letters(24),
            "shopify": "shp" + "at_" + self.hex(32),
            "braintree": "access" + "_token$production$" + self.hex(16) + "$" + self.hex(32),
            "linear": "lin" + "_api_" + self.letters(40),
            "terraform": self.letters(14) + ".atlas" + "v1." + self.letters(64),
            "vault": "hv" + "s." + self.url_base64(60),
            "age": "AGE-SECRET" + "-KEY-1" + self.upper(58),
            "1password": "ops" + "_eyJ" + self.url_base64(160),
            "jwt": "ey" + "J" + self.letters(30) + ".ey" + "J" + self.letters(60) + "." + self.letters(43),
            "some other": "acme" + "_live_" + self.letters(32),
        }


def leaks(secret: str, text: str) -> bool:
    """Whether the secret, or a run of half of it and at least eight characters, is in the text."""
    run = max(8, len(secret) // 2)
    return any(secret[at : at + run] in text for at in range(max(1, len(secret) - run + 1)))
