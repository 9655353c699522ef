"""A local EC2 that is killed leaves nothing of its network, whoever is killed with it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from local.clouds import wait_for

from cloudjhub.local import LocalEC2Error
from cloudjhub.local.vpc import Network, leftovers
from cloudjhub.local.vpc.namespace import inside

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="machines that boot need root"),
]

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
#: a namespace that stands for another computer
HOST = "cloudjhub-test-host"
CHILD = """
import sys, time
from pathlib import Path
from cloudjhub.local.vpc import Network

network = Network(Path(sys.argv[1]))
network.open()
network.join("i-1", f"10.{network.number}.0.4", "02:00:00:00:00:01").configure()
print(network._reaper.pid, flush=True)
time.sleep(600)
"""


def traces(folder: Path) -> list[str]:
    """Whatever of this computer's network carries the id of a state folder."""
    vpc_id = leftovers.id_of(folder)
    looked = [["ip", "netns"], ["ip", "link"], ["ip", "route"], ["nft", "list", "tables"]]
    texts = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for command in looked
    ]
    lines = [line for text in texts for line in text.splitlines() if vpc_id in line]
    return lines + [str(path) for path in leftovers.RUN_FOLDER.glob(f"*{vpc_id}*")]


@pytest.fixture
def child(tmp_path: Path):
    """A process with an open network and one machine in it; ``reaper`` is the pid of its reaper."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.reaper = int(process.stdout.readline())
        yield process
        process.kill()
    leftovers.remove_leftovers(tmp_path, 10.0)


def test_its_reaper_cleans_up_after_a_kill(tmp_path: Path, child):
    assert len(traces(tmp_path)) > 4
    child.kill()
    wait_for("nothing to be left", lambda: not traces(tmp_path), 60)


def test_the_next_start_cleans_up_when_the_reaper_was_killed_as_well(tmp_path: Path, child):
    os.kill(child.reaper, signal.SIGKILL)
    child.kill()
    child.wait()
    assert traces(tmp_path)
    network = Network(tmp_path)
    network.open()
    try:
        assert not network.links()
        assert not [line for line in traces(tmp_path) if "i-1" in line]
    finally:
        network.close()
    assert not traces(tmp_path)


def test_nothing_is_taken_from_one_that_lives(tmp_path: Path, child):
    before = traces(tmp_path)
    leftovers.remove_leftovers(tmp_path)
    assert traces(tmp_path) == before


def test_a_network_that_somebody_uses_is_not_taken(tmp_path: Path):
    first, wanted = Network(tmp_path / "a"), Network(tmp_path / "b")
    first.open()
    try:
        second = Network(tmp_path / "c", first.number)
        with pytest.raises(LocalEC2Error, match=f"10.{first.number}"):
            second.open()
        assert not traces(tmp_path / "c")
        wanted.open()
        assert wanted.number != first.number
    finally:
        first.close()
        wanted.close()


# -- forwarding ------------------------------------------------------------------------------------


@pytest.fixture
def other_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A namespace that stands for a host where nothing forwards yet; calls work in it."""
    name = HOST
    monkeypatch.setattr(leftovers, "RUN_FOLDER", tmp_path / "run")
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "add", name], check=True)
    inside(name, lambda: FORWARDING.write_text("0\n"))
    yield lambda work, *arguments: inside(name, lambda: work(*arguments))
    subprocess.run(["ip", "netns", "delete", name], check=True)


def forwards() -> bool:
    return FORWARDING.read_text().strip() == "1"


def test_forwarding_ends_with_the_last_who_needs_it(other_host):
    held = [leftovers.lock(f"id-{vpc_id}", wait=False) for vpc_id in ("first", "second")]
    for vpc_id in ("first", "second"):
        other_host(leftovers.need_forwarding, vpc_id)
    assert other_host(forwards)
    other_host(leftovers.release_forwarding, "first")
    assert other_host(forwards)
    other_host(leftovers.release_forwarding, "second")
    assert not other_host(forwards)
    for lock in held:
        leftovers.unlock(lock)
    assert not list(leftovers.RUN_FOLDER.iterdir())


def test_forwarding_does_not_wait_for_the_dead(other_host):
    for vpc_id in ("dead", "living"):
        other_host(leftovers.need_forwarding, vpc_id)
    other_host(leftovers.release_forwarding, "living")
    assert not other_host(forwards)


def test_forwarding_stays_on_where_it_was_on(other_host):
    other_host(FORWARDING.write_text, "1\n")
    other_host(leftovers.need_forwarding, "one")
    other_host(leftovers.release_forwarding, "one")
    assert other_host(forwards)


# -- firewalls -------------------------------------------------------------------------------------

BEHIND_A_FIREWALL = """
import subprocess, sys
from pathlib import Path
from cloudjhub.local.vpc import Network
from cloudjhub.local.vpc.namespace import inside, listen
from machines.peers import Listener, Place

def rules():
    return subprocess.run(["iptables", "-S"], capture_output=True, text=True, check=True).stdout

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for chain in ("FORWARD", "INPUT"):
    subprocess.run(["iptables", "-P", chain, "DROP"], check=True)
subprocess.run(["iptables", "-A", "INPUT", "-i", "lo", "-j", "ACCEPT"], check=True)
before = rules()
network = Network(Path(sys.argv[1]))
network.open()
listener = Listener(None)
network.admit(listener.port)
uplink = Place(network.namespace)
print(uplink.seen_as(network.host_address, listener.port) == network.addresses.router)
print(rules().count("ACCEPT") - before.count("ACCEPT"))
listener.close()
network.close()
print(rules() == before)
"""


@pytest.mark.skipif(
    shutil.which("iptables", path="/usr/local/sbin:/usr/sbin:/sbin") is None, reason="no iptables"
)
def test_a_firewall_is_passed_and_left_as_it_was(tmp_path: Path, other_host):
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        ["ip", "netns", "exec", HOST, sys.executable, "-c", BEHIND_A_FIREWALL, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["True", "3", "True"], done.stderr
