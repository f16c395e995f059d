"""Command lines: passwords that programs take as arguments, under options too short to say what they are."""

from __future__ import annotations

from collections.abc import Iterator

from interlock.governance.redaction.findings import Finding
from interlock.governance.redaction.linear import linear
from interlock.governance.redaction.names import Secrecy
from interlock.governance.redaction.values import convinces

#: Programs, and behind which of their options a password stands: after a blank, after `=`, or at once.
_TOOLS = (
    (rb"mysql\w*|mariadb(?:-\w+)?", rb"-p"),
    (rb"sshpass", rb"-p[ ]?"),
    (rb"(?:docker|podman|nerdctl|helm|oras|crane|skopeo|buildah)[^\n|;&]*? login", rb"-p[ =]|--pass[ =]"),
    (rb"(?:oc|cf|az|heroku|npm|vault|kubelogin) login|az ad", rb"-p[ =]"),
    (rb"twine upload|mongo\w*|vsce|ovsx|rabbitmqadmin|ncftp\w*|lftp|cqlsh", rb"-p[ =]?"),
    (rb"xfreerdp|wlfreerdp|rdesktop", rb"-p[ ]|/p:"),
    (rb"evil-winrm|crackmapexec|nxc|impacket-\w+", rb"-p[ ]"),
    (rb"ldap\w+", rb"-w[ ]"),
    (rb"redis-cli|valkey-cli", rb"-a[ ]|--pass[ =]"),
    (rb"sqlcmd|bcp|osql|tsql|unzip|zip", rb"-P[ =]?"),
    (rb"7z\w? [a-z]", rb"-p"),
    (rb"keytool|jarsigner|apksigner", rb"-(?:store|key|new)pass[ ]"),
    (rb"gpg2?|openssl|restic|borg|cryptsetup|ansible\w*", rb"--passphrase[ =]|-k[ ]"),
    (rb"net use|cmdkey|runas|psexec", rb"/user:\S+ |/pass:|-p[ ]"),
    (rb"rabbitmqctl (?:add_user|change_password) \S+|htpasswd -\w*b\w* (?:\S+ )?\S+", rb""),
    (rb"gh secret set", rb"--body[ =]|-b[ ]"),
    (rb"chpasswd\w*", rb"<<< *[\"']?[\w.-]+:"),
)
_BEGINS = rb"(?:^|[\s\"'`(;|&/$])"
_ARGUMENT = rb"(?:\"([^\"\n]{3,})|'([^'\n]{3,})|([^\s\"'-][^\s\"']{2,}))"
_USER_PASSWORD = (
    _BEGINS + rb"(?:curl|wget|https?|httpie|xh|aria2c|smbclient|rpcclient|lftp)[ \t](?:[^\n]*?[ \t])?"
    rb"(?:-u|--user|--proxy-user|-U|-a|--auth)[ =]?[\"']?[^\s:%,\"'=-][^\s:%,\"']*[:%,]([^\s\"']{3,})"
)
_PIPED = (
    rb"(?i)\becho[ \t]+(?:-n[ \t]+)?[\"']?(?:[\w.-]+:)?([^\s\"'|:]{4,})[\"']?[ \t]*\|[ \t]*"
    rb"(?:sudo[ \t]+(?:-\w+[ \t]+)*(?:-S|--stdin|chpasswd)|chpasswd|passwd[ \t]+--stdin|docker[ \t]login|cryptsetup)"
)


_OPTIONS = (
    _BEGINS
    + rb"(?:"
    + b"|".join(b"(?:" + tools + rb")\b[^\n|;]*?[ \t](?:" + options + b")" for tools, options in _TOOLS)
    + rb")"
)
#: One of these is in every text with such a password.
SIGNS = b"|".join(b"(?:" + sign + b")" for sign in (_OPTIONS, _USER_PASSWORD, _PIPED))


def find_in_command_lines(raw: bytes) -> Iterator[Finding]:
    """All passwords among the arguments of programs that are known to take one."""
    for pattern in (linear(_OPTIONS + _ARGUMENT), linear(_USER_PASSWORD), linear(_PIPED)):
        for match in pattern.finditer(raw):
            start, end = max(match.span(group) for group in range(1, match.re.groups + 1))
            if convinces(raw[start:end].decode("latin-1"), Secrecy.STRONG, quoted=True):
                yield Finding(start, end, "password")
