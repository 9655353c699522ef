"""When a machine last worked: what was seen goes in, one moment comes out. It has no clock."""

from collections import deque, namedtuple

# What counts as busy. The averages are taken over busy_seconds, or over half of the time after
# which an idle machine is stopped (timeout_seconds, 0: never) if that is shorter: work that has
# begun is seen before its machine is stopped.
Limits = namedtuple("Limits", "cpu_percent gpu_percent busy_seconds timeout_seconds")
USUAL = Limits(cpu_percent=50.0, gpu_percent=10.0, busy_seconds=300.0, timeout_seconds=3600.0)

# What one look at a machine found. acted: when somebody last did something through the server
# (unix seconds). kernels, terminals, sessions: names of busy kernels, of programs that run in
# terminals, of open SSH sessions. cpu_seconds: processor time used since some beginning.
# gpu_percent: how busy the busiest GPU is. None: not known, or there is none.
Seen = namedtuple(
    "Seen",
    "acted kernels terminals sessions cpu_seconds gpu_percent",
    defaults=(None, (), (), (), None, None),
)

# kind: kernel, terminal, ssh, cpu, gpu or kept; what: a name, a percentage, or a moment.
Sign = namedtuple("Sign", "kind what")

# Looks that lie further apart than this had a sleeping machine (or a moved clock) between them.
GAP_SECONDS = 120.0


class Work:
    """The last moment of work of one machine.

    ``last_work`` and ``kept_until`` are moments of the caller's clock in seconds (0: not kept);
    ``signs`` is what the last look found. A machine begins with work: somebody started it.
    """

    def __init__(self, now, limits=USUAL, gap_seconds=GAP_SECONDS):
        self.limits = limits
        self.last_work = now
        self.kept_until = 0.0
        self.signs = ()
        self._gap_seconds = gap_seconds
        self._wake(now)

    def look(self, now, seen):
        """Take in what was seen at a moment; returns the signs of work, none of them: idle."""
        if not 0 <= now - self._looked <= self._gap_seconds:
            self._wake(now)
        window = self._window()
        cpu = self._cpu.percent(now, seen.cpu_seconds, window)
        gpu = self._gpu.percent(now, self._gpu_seconds(now, seen.gpu_percent), window)
        self._looked = now
        self.signs = tuple(self._found(now, seen, cpu, gpu))
        if self.signs:
            self.last_work = now
        elif seen.acted is not None:
            self.last_work = max(self.last_work, min(seen.acted, now))
        return self.signs

    def keep(self, until):
        """Count as work until a moment, whatever is seen; 0 ends it."""
        self.kept_until = until

    def _wake(self, now):
        """After a sleep the clocks begin anew, and time asleep is no time without work."""
        self.last_work = now
        self._looked = now
        self._cpu = _Average()
        self._gpu = _Average()
        self._gpu_total = 0.0

    def _window(self):
        half = self.limits.timeout_seconds / 2.0
        return min(self.limits.busy_seconds, half) if half else self.limits.busy_seconds

    def _gpu_seconds(self, now, percent):
        """Busy seconds of the busiest GPU, so that it is averaged as processors are."""
        if percent is None:
            return None
        self._gpu_total += percent / 100.0 * (now - self._looked)
        return self._gpu_total

    def _found(self, now, seen, cpu, gpu):
        for kind, names in (
            ("kernel", seen.kernels),
            ("terminal", seen.terminals),
            ("ssh", seen.sessions),
        ):
            for name in names:
                yield Sign(kind, name)
        if cpu is not None and cpu >= self.limits.cpu_percent:
            yield Sign("cpu", round(cpu))
        if gpu is not None and gpu >= self.limits.gpu_percent:
            yield Sign("gpu", round(gpu))
        if now < self.kept_until:
            yield Sign("kept", self.kept_until)


class _Average:
    """Percent of a counter of busy seconds over the last window; None before one has passed."""

    def __init__(self):
        self._total = 0.0
        self._counter = None
        self._samples = deque()

    def percent(self, now, counter, window):
        if counter is None:
            return None
        if self._counter is not None:
            # Processes that ended unseen take their time with them.
            self._total += max(0.0, counter - self._counter)
        self._counter = counter
        samples = self._samples
        samples.append((now, self._total))
        while len(samples) > 1 and samples[1][0] <= now - window:
            samples.popleft()
        begun, total = samples[0]
        if now - begun < window or now == begun:
            return None
        return (self._total - total) / (now - begun) * 100.0
