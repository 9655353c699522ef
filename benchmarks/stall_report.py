"""How late a hub's loop was and whose code made it so, as text."""

from meter_file import Lateness

_SHOWN = 5  # stalls and stacks that are printed; more only repeat


def late(lateness: Lateness) -> str:
    """The longest stall, and what 99 of 100 moments stay below, ms."""
    return f"{1000 * lateness.longest:.0f} / {1000 * lateness.p99:.0f}"


def by_us(lateness: Lateness) -> str:
    """The longest step of our code, its CPU, and the longest wait for our threads, ms."""
    step = lateness.longest_step
    said = "< 50"
    if step is not None:
        cpu = max(0.0, step.loop - step.collected) * step.ours_share
        said = f"{1000 * step.by_us:.0f} ({1000 * cpu:.0f})"
    return f"{said} / {1000 * lateness.longest_behind_threads:.0f}"


def stall_lines(lateness: Lateness) -> list[str]:
    """How late the loop was, the worst stalls, where the loop was found."""
    lines = [
        f"the hub's loop was late by at most {1000 * lateness.longest:.0f} ms, "
        f"p99 {1000 * lateness.p99:.0f} ms; {len(lateness.stalls)} times by more than 50 ms, "
        f"{sum(stall.late for stall in lateness.stalls):.1f} s in all, of which our code took "
        f"{lateness.by_us:.2f} s",
        f"our code's longest step (of it CPU) / our threads in one stall: {by_us(lateness)} ms; "
        f"garbage collections over 10 ms: {len(lateness.collections)}, "
        f"{1000 * max(lateness.collections, default=0):.0f} ms at most, "
        f"{sum(lateness.collections):.1f} s in all",
    ]
    for stall in sorted(lateness.stalls, key=lambda stall: -stall.by_us)[:_SHOWN]:
        lines.append(
            f"  {1000 * stall.late:.0f} ms: {1000 * stall.by_us:.0f} ours (loop "
            f"{1000 * stall.loop:.0f}, threads {1000 * stall.threads:.0f}, waiting for a core "
            f"{1000 * stall.queued:.0f}) {next(iter(stall.stacks), '')}"
        )
    for step in sorted(lateness.steps, key=lambda step: -step.by_us)[:_SHOWN]:
        if step.by_us:
            place = next(iter(step.stacks), "")
            lines.append(
                f"  a step of {1000 * step.took:.0f} ms ({1000 * step.loop:.0f} CPU): "
                f"{1000 * step.by_us:.0f} ours {place}"
            )
    lines += [f"  {count} looks: {stack}" for stack, count in lateness.stacks(_SHOWN)]
    return lines
