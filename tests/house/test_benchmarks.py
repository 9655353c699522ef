"""The benchmarks of a class run, leave nothing behind and count what there is to count.

How long anything took is not looked at, but that it was measured.
"""

import json
import subprocess
import sys
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

USERS = 3


@pytest.fixture
def meter_file(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    """The module that reads what a meter wrote."""
    monkeypatch.syspath_prepend(str(checkout / "benchmarks"))
    import meter_file

    return meter_file


def run(checkout: Path, benchmark: str, *arguments: str) -> str:
    """What a benchmark prints."""
    done = subprocess.run(
        [sys.executable, str(checkout / "benchmarks" / benchmark), "--markdown", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing was left running" in done.stdout, done.stdout
    return done.stdout


def tables(printed: str) -> list[dict[str, dict[str, str]]]:
    """Every Markdown table: first cell of the row -> head -> cell."""
    found, head = [], None
    for line in printed.splitlines():
        if not line.startswith("|"):
            head = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if head is None:
            head = cells
            found.append({})
        elif set("".join(cells)) != {"-"}:
            found[-1][cells[0]] = dict(zip(head[1:], cells[1:], strict=True))
    return found


OURS, UNBATCHED, NOTHING = "ours", "ours, one call per user", "a spawner that does nothing"


@pytest.mark.slow
def test_a_surge_is_measured_three_ways(checkout: Path):
    brief = ("--boot-seconds", "0.5", "--patience-seconds", "0", "--kind", "stopped")
    ways, calls = tables(run(checkout, "surge.py", "--users", str(USERS), *brief))
    assert list(ways) == [OURS, UNBATCHED, NOTHING]
    for way in ways.values():
        assert way["ready"] == f"{USERS} (100%)"
        assert 0 <= float(way["p50"]) <= float(way["p99"]) <= float(way["max, s"])
        assert float(way["hub CPU, s"]) >= 0
        assert 50 < float(way["hub peak, MiB"]) < 2000
        longest, p99 = map(float, way["stalls max / p99, ms"].split(" / "))
        assert longest >= p99 >= 0
    assert float(ways[OURS]["max, s"]) > 0.5, "the machines' boot"
    for way in (ways[OURS], ways[UNBATCHED]):
        assert (way["SSH"], way["on wrong machines"]) == (str(USERS), "0")
    assert calls["StartInstances"][UNBATCHED] == f"{USERS} (0)"
    assert 1 <= int(calls["StartInstances"][OURS].split()[0]) <= USERS
    # The machines were there, with all their tags.
    assert not {"RunInstances", "CreateTags", "CreateVolume"} & set(calls)


@pytest.mark.slow
def test_servers_at_rest_are_watched_and_survive_the_hub(checkout: Path):
    brief = ("--seconds", "2", "--settle-seconds", "1", "--ways", "ours")
    (ways,) = tables(run(checkout, "steady.py", "--users", str(USERS), *brief))
    ours = ways[OURS]
    assert ours["ready in the end"] == f"{USERS} of {USERS}"
    assert ours["SSH"] == "0"
    assert float(ours["restart until all are taken up, s"]) > 0
    assert 50 < float(ours["hub at rest, MiB"]) < 2000


# One function is compiled as if it stood in the package: by that our own code is known. Each stalls
# the loop until it was looked at so often that it counts, however slow the computer is.
STALLED_LOOP = """
import asyncio, json, sys, time
from pathlib import Path
import cloudjhub
import hub_meter

STALL = '''
def stall():
    looks = hub_meter._meter._looks
    before = len(looks)
    while len(looks) < before + 10:
        time.sleep(0.01)
'''
file = Path(sys.argv[1])
package = Path(cloudjhub.__file__).parent
scopes = []
for path in (package / "stalls.py", Path("elsewhere.py")):
    scopes.append({"time": time, "hub_meter": hub_meter})
    exec(compile(STALL, str(path), "exec"), scopes[-1])

def steps():
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [step for line in lines if line.endswith("\\n") for step in json.loads(line)["steps"]]

async def main():
    hub_meter.install(str(file))
    loop = asyncio.get_running_loop()
    for scope in scopes:
        await asyncio.sleep(0.05)
        loop.call_soon(scope["stall"])
    deadline = time.monotonic() + 60
    while len(steps()) < 2:
        assert time.monotonic() < deadline, file.read_text()
        await asyncio.sleep(0.05)

asyncio.run(main())
"""


def test_the_meter_knows_whose_code_stalls_a_loop(checkout: Path, tmp_path: Path, meter_file):
    file = tmp_path / "meter.jsonl"
    folder = str(checkout / "benchmarks")
    done = subprocess.run(
        [sys.executable, "-c", STALLED_LOOP, str(file)],
        env={"PYTHONPATH": f"{folder}:{checkout}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    found = meter_file.read(file, 0.0, lines[-1]["at"])
    ours = next(step for step in found.steps if any("stalls.py" in s for s in step.stacks))
    theirs = next(step for step in found.steps if any("elsewhere.py" in s for s in step.stacks))
    assert ours.ours_share > 0.5 and ours.took > 0.05
    assert theirs.ours_share == 0.0 and theirs.took > 0.05
    assert found.longest_step == ours and ours.took >= ours.loop >= 0
    assert len(found.stalls) >= 2 and found.longest >= 0.09


def test_the_steps_of_a_start_bear_the_names_that_are_timed(checkout: Path, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / "benchmarks"))
    import hub_steps

    for module, name in hub_steps.STEPS.values():
        assert callable(reduce(getattr, name.split("."), import_module(module)))


def test_tables_find_their_place_in_the_readme(checkout: Path, tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / "benchmarks"))
    import readme_block

    page = tmp_path / "README.md"
    page.write_text((checkout / "benchmarks/README.md").read_text())
    for name in [
        f"surge {n} {kind}" for n in (30, 300, 1000) for kind in ("new", "stopped", "pool")
    ]:
        readme_block.put(name, f"the table of {name} \\1", page)
    for users in (30, 300, 1000):
        readme_block.put(f"steady {users}", "| at rest |", page)
    readme_block.put("cost", "| a week |", page)
    assert page.read_text().count("the table of surge 300 pool \\1\n") == 1
    assert page.read_text().count("<!-- end -->") == 13
    with pytest.raises(LookupError, match="surge 31 new"):
        readme_block.put("surge 31 new", "", page)


@pytest.mark.parametrize(
    ("lates", "seconds", "p99"),
    [
        ([], 100.0, 0.0),
        ([0.5, 0.5], 100.0, 0.0),  # one moment in a hundred is in a stall, and all of it
        ([2.0], 100.0, 1.0),  # in its first second one waits longer than a second
        ([2.0, 2.0], 100.0, 1.5),
        ([3.0, 1.0], 100.0, 2.0),
        ([4.0, 3.5], 100.0, 3.25),
    ],
)
def test_the_lateness_of_99_moments_in_100(meter_file, lates, seconds, p99):
    assert meter_file.Lateness(seconds, lates, [], []).p99 == pytest.approx(p99)
