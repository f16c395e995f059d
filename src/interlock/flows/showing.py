"""What is shown of the outputs of steps where not all of them has room."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: What all inputs of one step may show an agent together, in characters; above it each is cut to its share.
MAX_INPUTS = 60_000


def shown(inputs: Mapping[str, Any], run_id: str, budget: int = MAX_INPUTS) -> dict[str, Any]:
    """Outputs as far as there is room for them: whole where they are small, else their beginning and end.

    Args:
        inputs: Outputs by step.
        run_id: The run, so that what is cut can be found.
        budget: Characters for all of them together.
    """
    texts = {name: one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for name, one in inputs.items()}
    if sum(map(len, texts.values())) <= budget:
        return dict(inputs)
    left, share = budget, budget
    cut: dict[str, Any] = {}
    for place, (name, text) in enumerate(sorted(texts.items(), key=lambda item: len(item[1]))):
        share = left // (len(texts) - place)  # what the small ones leave over goes to the large ones
        if len(text) <= share:
            cut[name], left = inputs[name], left - len(text)
            continue
        half = share // 2
        cut[name] = {
            "cut": f"{len(text):,} characters; the whole is the output of {name} in run {run_id}",
            "begins": text[:half],
            "ends": text[-half:],
        }
        left -= share
    return {name: cut[name] for name in inputs}
