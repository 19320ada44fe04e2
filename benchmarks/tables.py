"""What a scenario gives: a table, and the ratios that are held against a bound."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Check:
    """A ratio (or another figure) and its target."""

    text: str
    value: float
    bound: float
    at_most: bool = True
    unit: str = "x"

    @property
    def holds(self) -> bool:
        """Whether the target is met."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def target(self) -> str:
        """What the figure is held against."""
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}"

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "MISSED"
        return f"{self.text}: {self.value:.3g} {self.unit} ({self.target}): {verdict}"


@dataclass(slots=True)
class Table:
    """One scenario's figures: cells are texts, the first column names the contestant."""

    name: str
    title: str
    columns: Sequence[str]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    chart: list[tuple[str, float]] = field(default_factory=list)
    """Bars: (contestant, value); lower is better."""
    chart_unit: str = ""
    left_out: list[str] = field(default_factory=list)
    """What could not run here, and why."""

    def markdown(self) -> str:
        """As it stands in the document."""
        lines = [f"### {self.title}", ""]
        lines += ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        lines += ["", *(f"- {check}" for check in self.checks)]
        lines += [f"- left out: {text}" for text in self.left_out]
        lines += [f"- ERROR: {text}" for text in self.errors[:5]]
        return "\n".join([*lines, ""])

    def text(self) -> str:
        """For the terminal."""
        widths = [max(len(row[at]) for row in [tuple(self.columns), *self.rows]) for at in range(len(self.columns))]
        lines = [self.title]
        for row in [tuple(self.columns), *self.rows]:
            cells = [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
            lines.append("  " + "  ".join(cells))
        lines += [f"  {check}" for check in self.checks]
        lines += [f"  left out: {text}" for text in self.left_out]
        lines += [f"  ERROR: {text}" for text in self.errors[:5]]
        return "\n".join([*lines, ""])


def over_runs(runs: Sequence[Sequence[Table]]) -> Table:
    """Each target with its figure in each run, and whether it held in all of them."""
    columns = ("", "target", *(f"run {number}" for number in range(1, len(runs) + 1)), "held in all")
    table = Table("targets", f"The targets in {len(runs)} runs in a row; the tables below are the last run's", columns)
    found: dict[tuple[str, str], list[Check]] = {}
    for each in (each for tables in runs for each in tables):
        for check in each.checks:
            found.setdefault((each.title, check.text), []).append(check)
    for (title, text), checks in found.items():
        held = len(checks) == len(runs) and all(check.holds for check in checks)
        figures = [f"{check.value:.3g} {check.unit}" for check in checks]
        figures += ["not measured"] * (len(runs) - len(checks))
        table.rows.append((f"{title}: {text}", checks[0].target, *figures, "yes" if held else "**NO**"))
    return table


def bars(title: str, values: Sequence[tuple[str, float]], unit: str) -> str:
    """A bar chart as SVG."""
    width, bar, left, gap = 720, 22, 210, 10
    height = 46 + len(values) * (bar + gap)
    most = max((value for _, value in values), default=1.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">',
        "<style>text{font:13px sans-serif;fill:#777}.t{font-weight:bold}rect{fill:#3b7dd8}.o{fill:#9aa5b1}</style>",
        f'<text class="t" x="8" y="20">{title} ({unit}; less is better)</text>',
    ]
    for at, (name, value) in enumerate(values):
        y = 34 + at * (bar + gap)
        length = max(value / most * (width - left - 110), 1)
        kind = "" if name.startswith("gateway") else ' class="o"'
        parts.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{name}</text>')
        parts.append(f'<rect{kind} x="{left}" y="{y}" width="{length:.1f}" height="{bar}"/>')
        parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 16}">{value:,.4g}</text>')
    return "\n".join([*parts, "</svg>", ""])
