"""Other names of a subcommand, for rules that say no: `npm pub` publishes, `docker container rm` is `docker rm`."""

from __future__ import annotations

#: Commands that npm also knows by these names. Besides, it takes the beginning of any.
_NPM = {
    other: name
    for name, others in {
        "install": "i in ins inst insta instal isnt isnta isntal isntall add",
        "uninstall": "un unlink remove rm r",
        "exec": "x",
        "run": "run-script rum urn",
        "test": "t tst",
        "ci": "clean-install ic install-clean isntall-clean",
        "update": "up upgrade udpate",
        "config": "c",
        "owner": "author",
        "init": "create innit",
        "install-test": "it",
    }.items()
    for other in others.split()
}
#: What stands for a command of one of docker's groups, where it is not called the same without the group.
_GROUPS = {
    "container": {"ls": "ps", "list": "ps", "remove": "rm"},
    "image": {"ls": "images", "list": "images", "rm": "rmi", "remove": "rmi"},
}
_CONTAINERS = frozenset({"docker", "podman"})


def plain_words(program: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """Words from the subcommand on, by its usual name."""
    if program == "npm" and words:
        return (_NPM.get(words[0], words[0]), *words[1:])
    if program in _CONTAINERS and len(words) > 1 and words[0] in _GROUPS:
        return (_GROUPS[words[0]].get(words[1], words[1]), *words[2:])
    return words


def is_same(program: str, given: str, wanted: str) -> bool:
    """Whether a subcommand that was given may be the one a rule is about; both by their usual names."""
    return given == wanted or (program == "npm" and len(given) > 1 and wanted.startswith(given))
