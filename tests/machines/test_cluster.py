"""The whole life of a cluster, as its operator, admin and students live it; in that order.

One cluster is launched in one go. A second one, beside it in the same VPC, is launched by a command
that is killed after each of its steps, and keeps its users in PostgreSQL.
"""

import json
import re
from collections.abc import Iterator

import pytest
from machines.clouds import BootedCloud, need_root
from machines.clusters import ADMIN, USERLIST, Cluster
from machines.databases import PORT, postgresql
from machines.laptops import Laptop
from machines.outside import open_ports, world
from machines.windows import Window, chromium
from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(1200)]

ADA, BOB = "ada", "bob"
PASSWORD = "a password long enough"
IDLE_SECONDS = 60
#: launches before the policies are looked at; each checks first
CHECKS = 2
OPERATOR_CALLS = {
    "AllocateAddress",
    "AssociateAddress",
    "AuthorizeSecurityGroupIngress",
    "CreateImage",
    "CreateInstanceProfile",
    "CreateRole",
    "CreateSecurityGroup",
    "ImportKeyPair",
    "PutRolePolicy",
    "RunInstances",
    "TerminateInstances",
}
HUB_CALLS = {"CreateTags", "DescribeImages", "DescribeInstances", "RunInstances"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def laptop(cloud: BootedCloud, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    need_root()
    made = Laptop(tmp_path_factory.mktemp("laptop"), cloud.ec2.endpoint_url)
    made.set_up()
    (made.checkout / "userlist").write_text(USERLIST)
    return made


@pytest.fixture(scope="module")
def stranger(cloud: BootedCloud) -> dict[str, str]:
    """Things in the same VPC that belong to no cluster."""
    group = cloud.api.create_security_group(
        GroupName="stranger", Description="not ours", VpcId=cloud.ec2.engine.backend.seeded["vpc"]
    )["GroupId"]
    return {
        "instance": cloud.launch(SecurityGroupIds=[group])[0],
        "volume": cloud.new_volume(),
        "group": group,
    }


@pytest.fixture(scope="module")
def class1(cloud: BootedCloud, laptop: Laptop, stranger: dict[str, str]) -> Cluster:
    """Launched with what a user must give, and a list of users."""
    cloud.ec2.reset_calls()
    made = Cluster(cloud, laptop, "class1")
    made.launch("--userlist", "userlist")
    return made


@pytest.fixture(scope="module")
def class2(cloud: BootedCloud, laptop: Laptop) -> Iterator[Cluster]:
    """Beside the first one, with a database of its own. Not launched yet."""
    cloud.ec2.admit(PORT)
    with postgresql(cloud.ec2.host_address) as url:
        yield Cluster(cloud, laptop, "class2", {"DB_URL": url})


@pytest.fixture(scope="module")
def short_limit(class1: Cluster) -> None:
    """A shorter idle limit for those who run. What it leads to takes its minutes meanwhile."""
    path = "/etc/jupyterhub/server_config.json"
    config = json.loads(class1.on_manager(f"cat {path}"))
    config["JUPYTER_NOTEBOOK_TIMEOUT"] = IDLE_SECONDS
    class1.on_manager(f"cat > {path} <<'END'\n{json.dumps(config)}\nEND")


def student(browser: Browser, cluster: Cluster, name: str) -> Window:
    return Window(browser, cluster.url, name, f"{PASSWORD} of {name}")


# -- the launch ------------------------------------------------------------------------------------


def test_a_launch_ends_with_an_address_and_a_login(class1: Cluster) -> None:
    assert class1.steps[-1] == "health of the hub"
    assert class1.url.startswith("https://")
    assert class1.one_time_password
    assert "Browsers will warn" in class1.said
    assert not class1.instances("builder")
    assert class1.roles() == ["cloudjhub-class1-manager", "cloudjhub-class1-manager"]


def test_what_was_made_is_closed_and_encrypted(class1: Cluster) -> None:
    manager = class1.manager()
    assert manager["MetadataOptions"]["HttpTokens"] == "required"
    assert manager["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    volumes = class1.cloud.api.describe_volumes(VolumeIds=class1.tagged()["volume"])["Volumes"]
    assert all(volume["Encrypted"] for volume in volumes)
    key = json.loads(class1.on_manager("cat /etc/jupyterhub/server_config.json"))["WORKER_KEY_FILE"]
    secret = f"/etc/jupyterhub/server_config.json {key} /var/lib/jupyterhub/jupyterhub.sqlite"
    assert class1.on_manager(f"stat -c '%a %U' {secret}").split() == ["600", "jupyterhub"] * 3


def test_the_same_launch_again_makes_nothing(class1: Cluster) -> None:
    before = class1.tagged()
    said = class1.run("./launch_cluster/launch.py", *class1.arguments, exit_code=2)
    assert "class1" in said and "Nothing was created or changed." in said
    assert class1.tagged() == before


# -- the class -------------------------------------------------------------------------------------


def test_an_admin_adds_students_who_work_on_their_own_machines(
    class1: Cluster, browser: Browser
) -> None:
    admin = Window(browser, class1.url, ADMIN, PASSWORD)
    admin.choose_password(class1.one_time_password)
    admin.add_users(BOB, "carol")
    admin.close()
    names = {}
    for name in (ADA, BOB):  # one of userlist, one of the admin page
        window = student(browser, class1, name)
        window.sign_up(class1.signup_word)
        window.log_in()
        window.start_server()
        window.new_notebook()
        code = f"import socket; open('kept.txt', 'w').write('{name}'); print(socket.gethostname())"
        names[name] = window.run_cell(code)
        window.shoot(f"{name}-works")
        window.close()
    addresses = {
        name: class1.machine_of(name)["PrivateIpAddress"].replace(".", "-") for name in names
    }
    assert names == {name: f"ip-{address}" for name, address in addresses.items()}


def test_students_machines_carry_no_role_and_ask_for_tokens(class1: Cluster) -> None:
    for name in (ADA, BOB):
        machine = class1.machine_of(name)
        assert "IamInstanceProfile" not in machine and "PublicIpAddress" not in machine
        assert machine["MetadataOptions"]["HttpTokens"] == "required"
        assert machine["MetadataOptions"]["HttpPutResponseHopLimit"] == 1


_LOOK = """
import json, socket, urllib.error, urllib.request
from concurrent.futures import ThreadPoolExecutor
def reaches(host, port):
    try:
        socket.create_connection((host, port), 10).close()
    except OSError:
        return False
    return True
def reached(host):
    with ThreadPoolExecutor(len(PORTS)) as threads:
        answers = list(threads.map(reaches, [host] * len(PORTS), PORTS))
    return [port for port, answer in zip(PORTS, answers) if answer]
def asks(path, method="GET", **headers):
    request = urllib.request.Request("http://169.254.169.254/latest/" + path, method=method)
    for name, value in headers.items():
        request.add_header("X-aws-ec2-metadata-" + name.replace("_", "-"), value)
    try:
        return urllib.request.urlopen(request, timeout=30).read().decode()
    except urllib.error.HTTPError as error:
        return error.code
token = asks("api/token", "PUT", token_ttl_seconds="60")
print(json.dumps({
    "peer": reached(PEER),
    "manager": reached(MANAGER),
    "without a token": asks("meta-data/"),
    "own id": asks("meta-data/instance-id", token=token),
    "role": asks("meta-data/iam/security-credentials/", token=token),
    "user data": asks("user-data", token=token),
}))
"""
PORTS = (22, 80, 443, 2019, 5432, 8000, 8001, 8081, 8888)


def test_a_students_machine_reaches_the_hub_and_nobody_else(class1: Cluster) -> None:
    mine, other = class1.machine_of(ADA), class1.machine_of(BOB)
    names = {
        "PORTS": PORTS,
        "PEER": other["PrivateIpAddress"],
        "MANAGER": class1.manager()["PrivateIpAddress"],
    }
    told = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    machine = class1.cloud.ec2.machines.get(mine["InstanceId"])
    printed = machine.run(["runuser", "-u", "jupyter", "--", "python3", "-I", "-c", told + _LOOK])
    saw = json.loads(printed)
    # The hub's public side is everybody's; of the rest, its API only.
    assert saw["peer"] == []
    assert saw["manager"] == [80, 443, 8081]
    assert saw["without a token"] == 401
    assert saw["own id"] == mine["InstanceId"]
    assert (saw["role"], saw["user data"]) == (404, 404)


def test_from_outside_there_is_the_web_server_only(class1: Cluster) -> None:
    with world() as outside:
        assert open_ports(outside, class1.public_address, PORTS) == [80, 443]


def test_a_restart_of_the_hub_disturbs_nobody(class1: Cluster, browser: Browser) -> None:
    window = student(browser, class1, ADA)
    window.log_in()
    window.new_notebook()
    window.run_cell("x = 6 * 7; print(x)")
    class1.on_manager("systemctl restart jupyterhub")
    assert window.run_cell("print(x + 1)") == "43"
    window.close()


def test_every_call_was_within_the_least_policies(class1: Cluster) -> None:
    calls = class1.cloud.ec2.authorized_calls()
    asked = {
        kind: {each.action for each in calls if each.allowed and f":{kind}/" in each.principal}
        for kind in ("user", "assumed-role")
    }
    assert asked["user"] >= OPERATOR_CALLS
    assert asked["assumed-role"] >= HUB_CALLS
    refused = [each for each in calls if not each.allowed]
    assert [each for each in refused if ":user/" not in each.principal] == []
    # The check before a launch tries what cannot be allowed yet, by dry runs, and says so.
    assert {each.action for each in refused} <= {"RunInstances"}
    assert len(refused) <= 2 * CHECKS


# -- a second cluster, whose launch is killed again and again --------------------------------------


def test_a_launch_that_is_killed_after_each_step_ends_in_one_cluster(
    class1: Cluster, class2: Cluster, short_limit: None
) -> None:
    for step in class1.steps[:-1]:
        class2.launch_killed_after(step, "--userlist", "userlist")
    class2.launch("--userlist", "userlist")
    found, once = class2.tagged(), class1.tagged()
    for kind in ("group", "image", "address", "key"):
        assert len(found[kind]) == len(once[kind]), (kind, found)
    assert len(class2.instances("manager")) == 1 and not class2.instances("builder")
    assert len(found["volume"]) == 1
    assert class2.roles() == ["cloudjhub-class2-manager", "cloudjhub-class2-manager"]


def test_the_second_hub_keeps_its_users_in_postgresql(class2: Cluster, browser: Browser) -> None:
    admin = Window(browser, class2.url, ADMIN, PASSWORD)
    admin.choose_password(class2.one_time_password)
    admin.close()
    assert class2.on_manager("ls /var/lib/jupyterhub").find("sqlite") < 0


# -- idle, and back --------------------------------------------------------------------------------


def test_a_shorter_limit_takes_effect_and_idle_machines_stop(
    class1: Cluster, short_limit: None
) -> None:
    for name in (ADA, BOB):
        class1.wait_machine(name, "stopped", seconds=600)


def test_who_comes_back_finds_the_same_machine_and_files(class1: Cluster, browser: Browser) -> None:
    before = class1.machine_of(ADA)["InstanceId"]
    window = student(browser, class1, ADA)
    window.log_in()
    window.start_server()
    window.new_notebook()
    assert window.run_cell("print(open('kept.txt').read())") == ADA
    window.shoot("ada-is-back")
    window.close()
    assert class1.machine_of(ADA)["InstanceId"] == before


# -- the end ---------------------------------------------------------------------------------------


def test_status_shows_who_has_what(class1: Cluster) -> None:
    said = class1.run("scripts/status.py", class1.name)
    for name in (ADA, BOB):
        assert re.search(rf"^{name} +{class1.machine_of(name)['InstanceId']}", said, re.MULTILINE)
    assert class1.public_address in said


def test_users_machines_are_listed_first_and_then_removed(class1: Cluster) -> None:
    listed = class1.run("scripts/terminate_all_workers.py", class1.name)
    assert class1.machine_of(ADA)["InstanceId"] in listed
    homes = len(class1.tagged()["volume"])
    class1.run("scripts/terminate_all_workers.py", class1.name, "--yes")
    assert not class1.instances("worker")
    assert len(class1.tagged()["volume"]) == homes - 2  # the system disks; homes are kept


def test_a_teardown_leaves_nothing_and_touches_nobody_else(
    class1: Cluster, class2: Cluster, stranger: dict[str, str]
) -> None:
    others = class2.tagged()
    class1.run("scripts/teardown.py", class1.name)
    assert class1.manager()
    class1.run("scripts/teardown.py", class1.name, "--yes", "--homes", "delete")
    assert class1.tagged() == {} and class1.roles() == []
    assert class2.tagged() == others
    api = class1.cloud.api
    assert class1.cloud.state(stranger["instance"]) == "running"
    assert class1.cloud.volume(stranger["volume"])["State"] == "available"
    assert api.describe_security_groups(GroupIds=[stranger["group"]])["SecurityGroups"]


def test_the_second_cluster_goes_too(class2: Cluster, stranger: dict[str, str]) -> None:
    class2.run("scripts/teardown.py", class2.name, "--yes")
    assert class2.tagged() == {} and class2.roles() == []
    class2.cloud.terminate(stranger["instance"])
    class2.cloud.api.delete_volume(VolumeId=stranger["volume"])
    class2.cloud.api.delete_security_group(GroupId=stranger["group"])
