"""When the machine will stop, out of its last work and what the hub says of idle machines."""


def forecast(work, terms, started, now):
    """What users are shown, as JSON.

    ``state``: "unknown" (the hub has not said), "working", "kept", "idle" or "never" (this machine
    is not stopped for being idle). ``stops_at``: when it stops if nothing happens until then; None
    while it works or if it does not. ``ends_at``: when it is stopped in any case (None: never).
    Moments are unix seconds.
    """
    ends_at = _ends_at(terms, started)
    return {
        "now": now,
        "state": _state(work, terms),
        "signs": [{"kind": sign.kind, "what": sign.what} for sign in work.signs],
        "last_work": work.last_work,
        "stops_at": _stops_at(work, terms, ends_at),
        "ends_at": ends_at,
        "kept_until": work.kept_until if work.kept_until > now else None,
        "timeout_seconds": terms.timeout_seconds if terms else None,
        "keep_seconds": terms.keep_seconds if terms else 0,
        "action": terms.action if terms else None,
    }


def _state(work, terms):
    if terms is None:
        return "unknown"
    if work.signs:
        return "kept" if all(sign.kind == "kept" for sign in work.signs) else "working"
    return "idle" if terms.timeout_seconds else "never"


def _ends_at(terms, started):
    if terms is None or not terms.max_age_seconds:
        return None
    return max(started + terms.max_age_seconds, terms.quiet_until or 0)


def _stops_at(work, terms, ends_at):
    """The earlier of both ends that can be told by now."""
    if terms is None or work.signs or not terms.timeout_seconds:
        return ends_at
    idle_at = max(work.last_work + terms.timeout_seconds, terms.quiet_until or 0)
    return idle_at if ends_at is None else min(idle_at, ends_at)
