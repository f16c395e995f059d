"""The guide's graceful shutdown in a process of its own: `python -m tests.guides.production_executor RUN_ID`.

Each step writes a line when it begins and one when it ends, and takes a while.
"""

import signal
import sys
import time

from interlock import Executor, Plan, Step, tool


class ProductionExecutor:
    def __init__(self):
        self.executor = Executor()
        self.running_tasks = set()

        # Register signal handlers
        signal.signal(signal.SIGTERM, self.shutdown)
        signal.signal(signal.SIGINT, self.shutdown)

    def shutdown(self, signum, frame):
        """Graceful shutdown - save state before exit."""
        print("Shutting down gracefully...")

        # Wait for running tasks to checkpoint
        for task_id in self.running_tasks:
            print(f"Saving state for {task_id}")
            # State is automatically saved by StepChain

        sys.exit(0)


@tool
def work(number: int) -> str:
    """Take a while."""
    print(f"begun {number}", flush=True)
    time.sleep(0.3)
    print(f"ended {number}", flush=True)
    return f"result {number}"


def chain() -> Plan:
    """Four steps, one after the other."""
    return Plan(
        "chain",
        [
            Step(f"s{n}", tool="work", tool_input={"number": n}, dependencies=[f"s{n - 1}"] if n else [])
            for n in range(4)
        ],
        tools=[work],
    )


if __name__ == "__main__":
    production = ProductionExecutor()
    production.running_tasks.add(sys.argv[1])
    results = production.executor.execute_plan(chain(), run_id=sys.argv[1], resume=True)
    print([result.output for result in results])
