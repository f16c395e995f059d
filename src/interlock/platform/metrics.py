"""Metrics and history: figures and lines folded from the rows of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from interlock.records.money import micros_to_usd
from interlock.records.task import TaskStatus
from interlock.stores.journal import RunRow

#: Over how many of the newest runs figures are taken.
WINDOW = 10_000


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank); 0.0 without values."""
    if not sorted_values:
        return 0.0
    rank = max(1, -(-len(sorted_values) * round(share * 1000) // 1000))
    return sorted_values[rank - 1]


def metrics(rows: Sequence[RunRow]) -> dict[str, Any]:
    """Figures over runs; every key is there from the start.

    Args:
        rows: The newest runs, at most `WINDOW`.

    Returns:
        `tasks_executed` (runs that ended), `success_rate` (completed among completed and failed, 1.0 when idle),
        `avg_/p50_/p95_/p99_execution_time` (seconds), `platform_distribution`, `status_distribution`,
        `total_tokens`, `estimated_cost` (USD, known prices only), `runs_of_unknown_cost`, `in_progress`.
    """
    ended = [row for row in rows if row.status.is_final]
    completed = sum(row.status is TaskStatus.COMPLETED for row in ended)
    judged = completed + sum(row.status is TaskStatus.FAILED for row in ended)
    times = sorted(row.seconds for row in ended if row.status in (TaskStatus.COMPLETED, TaskStatus.FAILED))
    return {
        "tasks_executed": len(ended),
        "success_rate": completed / judged if judged else 1.0,
        "avg_execution_time": sum(times) / len(times) if times else 0.0,
        "p50_execution_time": percentile(times, 0.50),
        "p95_execution_time": percentile(times, 0.95),
        "p99_execution_time": percentile(times, 0.99),
        "platform_distribution": dict(Counter(row.platform for row in rows if row.platform)),
        "status_distribution": dict(Counter(row.status.value for row in rows)),
        "total_tokens": sum(row.tokens for row in ended),
        "estimated_cost": sum(row.cost_micros or 0 for row in ended) / 1_000_000,
        "runs_of_unknown_cost": sum(row.cost_micros is None for row in ended),
        "in_progress": len(rows) - len(ended),
    }


def history_line(row: RunRow, now: float) -> dict[str, Any]:
    """One line of the task history; `execution_time` is always a number of seconds."""
    error = f"{row.failure_code}: {row.failure_says}" if row.failure_code else None
    return {
        "id": row.task_id,
        "run_id": row.run_id,
        "title": row.title,
        "status": row.status,
        "execution_time": row.seconds if row.status.is_final else max(0.0, now - row.created_at),
        "cost": micros_to_usd(row.cost_micros),
        "platform": row.platform,
        "agent": row.agent,
        "error": error,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }
