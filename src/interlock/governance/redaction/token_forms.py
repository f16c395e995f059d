"""Token forms: how the credentials of each provider look, as their provider documents it, and the signs of them."""

from __future__ import annotations

import re
from functools import cache

#: A token begins where a word begins, also behind an escape whose last letter touches it.
_ESCAPE = rb"%[0-9A-Fa-f]{2}|\\+[nrtbf]|\\+u[0-9A-Fa-f]{4}|\x1b\[[0-9;]*m"
BEGINS = rb"(?:" + _ESCAPE + rb"|[^0-9A-Za-z]|\A)"
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

#: kind: forms. `\w` is a letter, digit or underscore. Forms that others could have by chance are looked at again.
FORMS: dict[str, tuple[str, ...]] = {
    "anthropic-key": (r"sk-ant-[\w-]{16,}",),
    "openai-key": (r"sk-(?:proj|svcacct|admin|service|None)-[\w-]{20,}", r"sk-[A-Za-z0-9]{20,}", r"sess-\w{40}"),
    "openrouter-key": (r"sk-or-[\w-]{20,}",),
    "langfuse-key": (rf"sk-lf-{_UUID}",),
    "google-key": (r"AIza[\w-]{35}", r"AQ\.A[\w-]{30,}", r"GOCSPX-[\w-]{20,}", r"ya29\.[\w.-]{20,}", r"1//0[\w-]{30,}"),
    "google-code": (r"4/0A[\w-]{30,}", r"GOOG1?[A-Z0-9]{20,}", r"AAAA[\w-]{7}:[\w-]{120,}"),
    "huggingface-token": (r"hf_\w{30,}", r"api_org_\w{30,}"),
    "model-key": (
        r"gsk_\w{20,}",
        r"xai-[\w-]{40,}",
        r"pplx-\w{32,}",
        r"r8_\w{30,}",
        r"fw_\w{20,}",
        r"fpk_\w{20,}",
        r"tgp_v\d_[\w-]{30,}",
        r"csk-\w{30,}",
        r"nvapi-[\w-]{30,}",
        r"lsv2_(?:pt|sk)_\w{32,}",
        r"ls__\w{32}",
        r"sk_[0-9a-f]{40,}",
        r"pa-[\w-]{40,}",
        r"esecret_\w{20,}",
        r"pcsk_\w{40,}",
        r"tvly-[\w-]{20,}",
        r"jina_[\w-]{40,}",
        r"e2b_\w{36,}",
        r"rpa_\w{36,}",
        r"flp_\w{30,}",
        r"fc-[0-9a-f]{32}",
        r"apify_api_\w{30,}",
        r"wandb_v\d_\w{30,}",
        r"key_[0-9a-f]{64}",
        r"crsr_\w{32,}",
        r"bb_live_\w{20,}",
        r"hl_sk_\w{20,}",
        r"pylf_v\d_\w{30,}",
        r"phx_\w{36,}",
        r"m0-\w{40}",
        r"app-\w{24}",
    ),
    "interlock-token": (r"ilk_[\w-]{51,}",),
    "aws-key": (r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}\b", r"ABSK[A-Za-z0-9+/]{60,}=*"),
    "aws-session": (
        r"(?:FwoGZXIvYXdz|IQoJb3JpZ2lu|FQoGZXIvYXdz)[\w/+=-]{60,}",
        r"bedrock-api-key-[\w/+=-]{40,}",
        rf"amzn\.mws\.{_UUID}",
        r"da2-[a-z0-9]{26}",
    ),
    "cloud-key": (
        r"LTAI[A-Za-z0-9]{12,}",
        r"AKID[A-Za-z0-9]{30,}",
        r"AQVN[\w-]{35,}",
        r"t1\.[\w-]+=*\.[\w-]{80,}=*",
        r"y[0-3]_[\w-]{50,}",
        r"do[opr]_v1_[0-9a-f]{40,}",
        r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}",
        r"cf(?:ut|at|k|uat)_\w{30,}",
        r"HRKU-[\w-]{32,}",
        r"FlyV1 [\w+/=,.-]{40,}",
        r"fm[12][a-z]?_[\w+/=-]{40,}",
        r"fo1_[\w-]{40,}",
        r"vc[pioakr]_\w{20,}",
        r"nf[pcbou]_\w{36,}",
        r"rnd_\w{20,}",
        r"SCW[A-Z0-9]{17}\b",
        r"pscale_\w{2,6}_[\w.=-]{30,}",
        r"napi_\w{40,}",
        r"npg_\w{12,}",
        r"sb[pa]_[0-9a-f]{40}",
        r"sb_secret_[\w-]{20,}",
        r"mdb_sa_sk_[\w-]{30,}",
        r"xau_\w{30,}",
        r"CCDB1_\w{60,}",
        r"AVNS_[\w-]{15,}",
        r"cflt[\w/+]{56,}",
        r"dapi[0-9a-f]{32}(?:-\d)?",
        r"(?:dkea|dose)[0-9a-f]{32}",
        r"essu_[\w+/=]{40,}",
        r"pn[ub]_\w{36}",
        r"pul-[0-9a-f]{40}",
        r"tskey-[a-z]+-[\w-]{16,}",
        r"hcp\.[\w-]{40,}",
    ),
    "vault-token": (
        r"hv[sbr]\.[\w-]{20,}",
        r"[sbr]\.[A-Za-z0-9]{24}\b",
        r"dp\.(?:pt|st|ct|sa|scim|audit|said)\.[\w.-]{36,}",
        r"ops_eyJ[\w+/=-]{40,}",
        r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}",
        r"AGE-SECRET-KEY-1[A-Z0-9]{40,}",
        r"AGE-PLUGIN-[A-Z0-9-]+-1[A-Z0-9]{30,}",
        rf"st\.{_UUID}\.\w{{20,}}\.\w{{20,}}",
    ),
    "github-token": (r"gh[pousrv]_\w{20,}", r"github_pat_\w{22,}"),
    "gitlab-token": (
        r"gl(?:pat|ptt|dt|rt|rtr|cbt|ft|soat|imt|agent|oas|ffct|wt)-[\w.-]{16,}",
        r"GR1348941[\w-]{20}",
    ),
    "bitbucket-token": (r"ATBB[\w=.-]{20,}", r"ATCTT3[\w=.-]{40,}"),
    "atlassian-token": (r"AT(?:ATT|STT)3[\w=.-]{30,}", r"ATTA[0-9a-f]{60,}"),
    "registry-token": (
        r"npm_\w{30,}",
        r"pypi-[\w-]{50,}",
        r"rubygems_[0-9a-f]{40,}",
        r"oy2[a-z0-9]{43}",
        r"cio[A-Za-z0-9]{32}\b",
        r"crates\.io-\w{30,}",
        r"dckr_(?:pat|oat)_[\w-]{20,}",
        r"AKC[a-zA-Z0-9]{60,}",
        r"cmVmdGtu[A-Za-z0-9]{40,}",
        r"packagist_\w{3}_[0-9a-f]{40,}",
        r"CLOJARS_[a-z0-9]{50,}",
    ),
    "build-token": (
        r"CCI(?:PAT|PRJ)_\w{40,}",
        r"bk(?:ua|ct|aj|pt)_[0-9a-f]{32,}",
        r"sq[apu]_[0-9a-f]{40}",
        rf"(?:api|sdk)-{_UUID}",
        r"API-[A-Z0-9]{25,}\b",
        r"pat\.[\w-]{22}\.[0-9a-f]{24}\.\w{20}",
        r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
        r"PMAT-[A-Z0-9]{26}",
        r"rdme_[a-z0-9]{60,}",
        r"sgp_(?:[0-9a-f]{16}_|local_)?[0-9a-f]{40}",
        r"slk_[0-9a-f]{64}",
        r"v2\.local\.[\w-]{60,}",
    ),
    "monitoring-token": (
        r"glsa_\w{32,}",
        r"glc_[\w+/=]{32,}",
        r"eyJrIjoi[\w+/=]{30,}",
        r"NR(?:AK|AA|II|IQ|BR|JS|RA)-[\w-]{19,}",
        r"hc[a-z]{2,4}_[a-z0-9]{50,}",
        r"sntry[su]_[\w+/=]{40,}",
        r"dt0[a-z]\d{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
        rf"xa[aip]t-{_UUID}",
    ),
    "slack-token": (
        r"xox[a-z](?:\.xox[a-z])?-[\w%+/.-]{10,}",
        r"xapp-\d-[\w-]{20,}",
        r"xwfp-[\w-]{20,}",
    ),
    "webhook": (
        r"https://hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[\w+/-]{16,}",
        r"discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d+/[\w-]{20,}",
        r"webhook\.office\.com/webhookb2/[\w@/-]{40,}",
        r"https://hooks\.zapier\.com/hooks/catch/[\w/-]{6,}",
        r"https://hook\.[a-z]{2}\d\.make\.com/\w{20,}",
        r"https://maker\.ifttt\.com/trigger/[\w-]+/(?:json/)?with/key/[\w-]{10,}",
        r"https://outlook\.office\.com/webhook/[\w@/-]{40,}",
    ),
    "discord-token": (r"mfa\.[\w-]{60,}",),
    "mail-token": (
        r"SK[0-9a-f]{32}\b",
        r"SG\.[\w-]{16,32}\.[\w-]{16,64}",
        r"key-[0-9a-f]{32}\b",
        r"md-[\w-]{22}\b",
        r"x(?:key|smtp)sib-[0-9a-f]{50,}-\w{16}",
        r"re_\w{8}_\w{20,}",
        r"mlsn\.[0-9a-f]{60,}",
    ),
    "message-token": (
        r"syt_\w+_\w{20}_\w{6}",
        r"dG9rOi[\w+/=]{40,}",
        r"sec-c-[\w-]{36,}",
        r"os_v2_(?:app|org)_\w{40,}",
    ),
    "crm-token": (
        rf"pat-(?:na|eu|ap)\d-{_UUID}",
        r"00D\w{12,15}![\w.]{60,}",
        r"3MVG9[\w.]{60,}",
    ),
    "payment-key": (
        r"[sr]k_(?:live|test|prod|sbox)_\w{10,}",
        r"whsec_[\w+/=]{20,}",
        r"access_token\$\w+\$\w{16}\$[0-9a-f]{32}",
        r"sq0[a-z]{3}-[\w-]{22,}",
        r"EAAA[\w-]{60}\b",
        r"shp[a-z]{2}_[0-9a-fA-F]{32}",
        r"rzp_(?:live|test)_\w{14,}",
        rf"access-(?:sandbox|development|production)-{_UUID}",
        r"AQE\whm[fx][\w+/=*.-]{40,}",
        r"(?:live|test)_\w{30,}",
        r"FLW(?:SEC|PUB)K(?:_TEST)?-[0-9a-zA-Z]{32}-X",
        r"EZ[AT]K\w{54}",
        r"shippo_(?:live|test)_[0-9a-f]{40}",
        r"duffel_(?:live|test)_[\w=-]{40,}",
        r"pdl_\w{4}_apikey_\w{40,}",
        r"xnd_(?:production|development)_\w{40,}",
        r"Mid-server-[\w-]{20,}",
        r"skey_(?:test_)?\w{19}",
        r"polar_\w{3}_\w{30,}",
    ),
    "saas-token": (
        r"lin_(?:api|oauth|wh)_\w{30,}",
        r"fig(?:d|o[hru]|u)_[\w-]{30,}",
        r"ntn_\w{40,}",
        r"secret_[A-Za-z0-9]{40,}",
        r"\d/1\d{12,}(?:/\d{13,})?:[0-9a-f]{32}",
        r"pk_\d{6,}_[A-Z0-9]{32}",
        r"CFPAT-[\w-]{40,}",
        r"sk\.eyJ[\w-]+\.[\w-]+",
        r"tfp_[\w.-]{40,}",
        r"sl\.(?:u\.)?[\w-]{60,}",
        r"EAA[A-Za-z0-9]{60,}",
        r"IGQ[\w-]{60,}",
        r"AAAAAAAAAAAAAAAAAAAA[A-Za-z0-9%]{60,104}\b",
        r"oauth:[a-z0-9]{30}\b",
        r"p8e-[\w-]{32,}",
        r"SSWS [\w-]{30,}",
        r"secret-(?:test|live)-[\w=-]{30,}",
        r"ico-\w{32}",
    ),
    "wallet-key": (r"[xyz]prv[1-9A-HJ-NP-Za-km-z]{90,}", r"nsec1[a-z0-9]{50,}"),
    "jwt": (r"eyJ[\w-]{10,}(?:\.|%2[Ee])[\w-]{6,}(?:(?:\.|%2[Ee])[\w-]*){0,3}",),
    "password-hash": (
        r"\$(?:1|2[abxy]?|5|6|7|y|gy|sha1|md5|apr1|P|H|argon2\w*|scrypt|pbkdf2[\w-]*)\$[\w./$=,+-]{20,}",
        r"\{(?:S?SHA\d*|S?MD5|CRYPT|PBKDF2[\w-]*|ARGON2)\}[\w./$=+-]{16,}",
        r"(?:pbkdf2|argon2|scrypt|bcrypt)[\w]*\$[\w./$=,+-]{30,}",
    ),
    "token": (r"sk[-_][a-z0-9]+[-_][\w-]{20,}",),
}

#: Forms that may begin with anything, and what must be in the text before we look: mark, kind, form.
MARKED: tuple[tuple[bytes, str, str], ...] = (
    (b"Q~", "azure-key", r"[\w.~-]{3}\dQ~[\w.~-]{31,34}"),
    (b"JQQJ9", "azure-key", r"[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{20,}"),
    (b"AZDO", "azure-key", r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}"),
    (b".atlasv1.", "cloud-key", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}"),
    (b"NRAL", "monitoring-token", r"[0-9a-f]{36}NRAL"),
    (b"-", "mail-token", r"[0-9a-f]{32}-(?:us\d{1,2}|[0-9a-f]{8}-[0-9a-f]{8})\b"),
    (b":A", "telegram-token", r"(?:bot)?\d{8,10}:A[\w-]{34}"),
    (b".", "discord-token", r"[MNO][\w-]{22,28}\.[\w-]{6,7}\.[\w-]{27,}"),
    (b".", "saas-token", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    (b"_", "opaque-token", r"[a-z][a-z0-9]+_[A-Za-z0-9]{34,}\b"),
    (b"_", "token", r"[a-z][a-z0-9]+[-_](?:live|test|prod|secret|pat|sk|api|key|tok|token)[-_]\w{20,}"),
)

#: Beginnings that other things have as well, so that the rest must look random; so must it behind any short one.
_DOUBTFUL = ("(?:live|test)_", "secret_", "oauth:", "[sr]k_(?:live|test|prod|sbox)_", "api_org_")
_DISTINCT = 5
_CERTAIN = ("SCW", "SK", "A3-", "00D", "cio")

#: One character, class or group of a form.
_ATOM = r"\\.|\[[^\]]*\]|\(\?:(?:[^()\\]|\\.)*\)|[^\\\[(]"


def head_of(form: str) -> str:
    """The part of a form before anything that repeats, which is what to look for first."""
    atom, at = re.compile(_ATOM), 0
    while (found := atom.match(form, at)) and form[found.end() : found.end() + 1] not in ("{", "+", "*", "?"):
        at = found.end()
    return form[:at]


def is_doubtful(head: str) -> bool:
    """Whether other things than tokens begin like this."""
    return head in _DOUBTFUL or (len(head) < _DISTINCT and head not in _CERTAIN)


@cache
def token_signs() -> bytes:
    """What is in every text with a token."""
    marks = {mark for mark, _, _ in MARKED if len(mark.strip(b"-_.:")) > 1}
    signs = {_sign(form) for forms in FORMS.values() for form in forms}
    signs |= {form for mark, _, form in MARKED if mark not in marks}
    return BEGINS + b"(?:" + "|".join(sorted(signs)).encode() + b")|" + b"|".join(map(re.escape, sorted(marks)))


def _sign(form: str) -> str:
    """The head of a form, and as much of what repeats behind it as makes a token likely."""
    head = head_of(form)
    repeats = re.match(rf"({_ATOM})(?:\+|\{{(\d+))", form[len(head) :])
    if repeats is None or (len(head) >= _DISTINCT and head not in _DOUBTFUL):
        return head
    least = int(repeats[2] or 1)
    return f"{head}{repeats[1]}{{{least if head in _DOUBTFUL else min(least, 8)}}}"
