"""`python -m benchmarks [SCENARIO…]`: runs scenarios, prints their tables, writes docs/performance.md.

Exit code 1 where a target is missed or an error occurred.
"""

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import document
from benchmarks.profiling import profile
from benchmarks.scenarios import SCENARIOS, Effort
from benchmarks.tables import Table, over_runs
from benchmarks.targets import Bench

_PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_EXPLAINED = Path(__file__).parent / "missed.md"
"""What the page says about targets that are missed."""
QUICK = Effort(0.15, 1)


def all_scenarios() -> Mapping[str, Callable[[Bench, Effort], Table]]:
    """By name; those with real mail servers need the tests' dependencies."""
    from benchmarks.real_mtas import REAL

    return {**SCENARIOS, **REAL}


def main() -> int:
    """Run what the command line asks for."""
    scenarios = all_scenarios()
    known = {**scenarios, "profile": profile}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"of {', '.join(known)}; all but profile without one")
    parser.add_argument("--quick", action="store_true", help="few messages, one round: rough figures")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each scenario (3)")
    parser.add_argument("--runs", type=int, default=1, help="runs of all of it; a target must hold in each (1)")
    parser.add_argument("--write", action="store_true", help=f"write docs/{_PAGE.name} and its charts")
    options = parser.parse_args()
    unknown = set(options.scenario) - set(known)
    if unknown:
        parser.error(f"unknown scenario: {', '.join(sorted(unknown))}")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    effort = QUICK if options.quick else Effort(1.0, options.rounds)
    chosen = [known[name] for name in options.scenario or scenarios]
    runs = [run(chosen, effort) for _ in range(options.runs)]
    checks = [check for tables in runs for table in tables for check in table.checks]
    errors = sum(len(table.errors) for tables in runs for table in tables)
    held = sum(check.holds for check in checks)
    shown = runs[-1] if options.runs == 1 else [over_runs(runs), *runs[-1]]
    if options.runs > 1:
        sys.stdout.write(shown[0].text() + "\n")
    sys.stdout.write(f"{held} of {len(checks)} targets hold, {errors} errors\n")
    if options.write:
        document.write(shown, _PAGE, _EXPLAINED.read_text() if held < len(checks) else "")
    return 0 if held == len(checks) and not errors else 1


def run(scenarios: Sequence[Callable[[Bench, Effort], Table]], effort: Effort) -> list[Table]:
    """Run one after the other; nothing of one runs on while the next is measured."""
    tables = []
    for scenario in scenarios:
        with tempfile.TemporaryDirectory(prefix="milter-bench-") as scratch:
            Path(scratch).chmod(0o755)
            bench = Bench(Path(scratch))
            try:
                table = scenario(bench, effort)
            finally:
                bench.close()
        sys.stdout.write(table.text() + "\n")
        sys.stdout.flush()
        tables.append(table)
    return tables


if __name__ == "__main__":
    sys.exit(main())
