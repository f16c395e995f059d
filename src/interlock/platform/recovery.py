"""Taking up what dead processes left behind, as far as this one can go on with it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from interlock.errors import InterlockError

if TYPE_CHECKING:
    from interlock.platform.assembly import House

_log = logging.getLogger("interlock.recover")


class Recovered(list[str]):
    """The runs that were taken up, by id.

    Attributes:
        left: Those that were left as they are, because this process does not know their agents or tools, or because
            what is written about them is damaged, each with the error that says what to do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left: dict[str, InterlockError] = {}


async def recover(house: House) -> Recovered:
    """Have every run go on whose process died; see `Platform.recover`.

    Args:
        house: The parts of this loop.
    """
    found = Recovered()

    async def can_go_on(run_id: str) -> bool:
        try:
            house.equip(await house.engine.load(run_id))
        except InterlockError as error:  # one that is damaged must not keep the others from going on
            found.left[run_id] = error
            _log.warning("%s was not taken up and is left as it is. %s %s", run_id, error.says, error.do)
            return False
        return True

    found += await house.engine.recover(can_go_on)
    return found
