"""``--prune auto``: the strongest of the target's budgets that meets the gate.

They are tried by the closed form, in the target's runtime, on calibration samples that nothing learns from. The held-back
samples can only make the choice milder: compression never is why a gate is not met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .compress.budget import Budget
from .compress.lesson import Lesson
from .compress.sizes import zipped
from .compress.wanted import Wanted
from .errors import GateError, ModelError
from .events import inside, step, warn
from .judge import Judge, Judged, Trial
from .model import Model
from .precision.plan import uniform_plan
from .spec import AUTO, Arrays, Precision
from .workbench import Workbench

NOT_HELD = "did not hold on the held-back samples"


def judged(bench: Workbench, model: Model, plain: Trial) -> tuple[Judge, Judged]:
    """The artifact of the strongest budget, or of a milder one, that holds on the held-back samples as well.

    Args:
        model: the original; it is used up.
        plain: its artifact.
    """
    build, asked = bench.project.build, bench.project.compression
    allowed = () if plain.rows[0].failures else bench.info.auto
    ladder = [Budget.of(amounts) for amounts in allowed]
    with step("choose budget") as choosing, inside(choosing):
        first = chosen(bench, model, ladder)
        choosing.detail = (
            ladder[first].flags if first < len(ladder) else "none: not even the mildest meets the gate"
        )
    for budget in (*ladder[first:], Budget()):
        wanted = budget.on(asked) if budget.amounts else Wanted()
        judge = bench.lowered(wanted, bench.load(), plain)
        try:
            found = judge.judge(build.precision, bench.info.io(build.io), build.take)
        except GateError:  # --precision auto found that not even float will do
            if not budget.amounts:
                raise
            wrong = NOT_HELD
        else:
            wrong = _wrong(bench, judge, found, plain) if budget.amounts else ""
        if not wrong:
            break
        warn(f"{budget.flags} {wrong}; something milder is tried.")
    return judge, found


def _wrong(bench: Workbench, judge: Judge, found: Judged, plain: Trial) -> str:
    """Why an artifact must not ship in the place of the original's; empty where it may."""
    if zipped(found.artifact) >= zipped(plain.artifact):
        return "makes the artifact no smaller"
    return NOT_HELD if found.failures else ""


def strongest(count: int, meets: Callable[[int], bool], another: Callable[[], bool] = lambda: True) -> int:
    """The first of so many budgets, strongest first, that meets the gate, if those behind it do; ``count`` for none.

    Args:
        another: whether one more may be tried; where not, it is the first of those that were.
    """
    first, last = 0, count
    while first < last and another():
        middle = (first + last) // 2
        if meets(middle):
            last = middle
        else:
            first = middle + 1
    return last


def chosen(
    bench: Workbench, model: Model, ladder: Sequence[Budget], another: Callable[[], bool] = lambda: True
) -> int:
    """The place of the strongest budget that meets the gate without learning (see ``strongest``)."""
    looks = Lesson(bench.samples.calibration, model.signature).looks
    expected = [model(inputs) for inputs in looks]
    return strongest(len(ladder), lambda place: _meets(bench, ladder[place], expected), another)


def _meets(bench: Workbench, budget: Budget, expected: Sequence[Arrays]) -> bool:
    """Whether the gate is met on the looks, without learning."""
    build = bench.project.build
    wanted = budget.on(replace(bench.project.compression, recover_minutes=0.0))
    try:
        judge = bench.lowered(wanted, bench.load())
    except (ModelError, GateError):  # the method is not for this model, or not so much of it; another may be
        return False
    looks = Lesson(judge.reference.samples.calibration, judge.reference.model.signature).looks
    # what ships is no rougher
    precision = Precision.FLOAT32 if build.precision == AUTO else build.precision
    plan = replace(uniform_plan(judge.lowering, precision, bench.info.io(build.io)), plain=True)
    return not judge.failures(plan, looks, expected)
