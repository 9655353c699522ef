"""Where settings come from, who wins, and what is said of wrong ones."""

import json
from pathlib import Path

import pytest

from cloudjhub.config import parse
from cloudjhub.deploy import sources
from cloudjhub.deploy.findings import Finding, Refused
from cloudjhub.deploy.server_config import server_config
from cloudjhub.deploy.settings import Account, Settings
from cloudjhub.deploy.supply import most_wanted

PLACES = ["class1", "ami-0123456789abcdef0", "subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]


class Said:
    """Four sources of one test."""

    def __init__(self, folder: Path):
        self.config = folder / "instance_config.json"
        self.secure = folder / "secure.py"
        self.config.write_text("{}")
        self.secure.write_text("")
        self.environment: dict[str, str] = {}

    def read(self, *flags: str, model: type[Account] = Settings, places: list[str] = PLACES):
        parser = sources.Parser()
        sources.add_arguments(parser, model)
        files = ["--instance-config", str(self.config), "--secure", str(self.secure)]
        options = parser.parse_args([*places, *flags, *files])
        return sources.read(options, model, self.environment)

    def refused(self, *flags: str, places: list[str] = PLACES) -> list[Finding]:
        with pytest.raises(Refused) as caught:
            self.read(*flags, places=places)
        return list(caught.value.findings)


@pytest.fixture
def said(tmp_path: Path) -> Said:
    return Said(tmp_path)


def test_four_places_are_enough(said: Said):
    settings = said.read()
    assert settings.cluster_name == "class1"
    assert settings.public_subnet_id == "subnet-0123456789abcdef1"
    assert settings.worker_instance_type == "t3.medium"


def test_who_says_it_last_wins(said: Said):
    said.config.write_text('{"REGION": "us-east-2"}')
    assert said.read().region == "us-east-2"
    said.secure.write_text('REGION = "us-west-1"')
    assert said.read().region == "us-west-1"
    said.environment["CLOUDJHUB_REGION"] = "us-west-2"
    assert said.read().region == "us-west-2"
    assert said.read("--region", "eu-west-1").region == "eu-west-1"


@pytest.mark.parametrize("flag", ["--worker_instance_type", "--worker-instance-type"])
def test_flags_are_spelled_either_way(said: Said, flag: str):
    assert said.read(flag, "m5.large").worker_instance_type == "m5.large"


def test_every_key_of_instance_config_is_a_flag(said: Said):
    checkout = Path(__file__).resolve().parents[2]
    defaults = json.loads((checkout / "instance_config.json").read_text())
    help_text = " ".join(_options())
    assert all(f"--{key.lower()}" in help_text for key in defaults)
    said.config.write_text(json.dumps(defaults))
    assert said.read().home_disk_gib == defaults["USER_HOME_EBS_SIZE"]


def _options() -> list[str]:
    parser = sources.Parser()
    sources.add_arguments(parser)
    return [option for action in parser._actions for option in action.option_strings]


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("false", False), ("1", True), ("no", False)]
)
def test_switches_take_words(said: Said, text: str, expected: bool):
    assert said.read("--ignore_permissions", text).ignore_permissions is expected


def test_a_switch_alone_is_on(said: Said):
    assert said.read("--plain_http").plain_http


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("WORKER_EBS_SIZE", "big", "integer"),
        ("WORKER_EBS_SIZE", "0", "greater than or equal to 1"),
        ("JUPYTER_NOTEBOOK_TIMEOUT", "5", "greater than or equal to 10"),
        ("REGION", "Virginia", "pattern"),
        ("WORKER_INSTANCE_TYPE", "medium", "pattern"),
        ("IGNORE_PERMISSIONS", "perhaps", "boolean"),
        ("AUTHENTICATOR", "gitlab", "'native', 'github' or 'own'"),
        ("SSH_FROM", "everywhere", "pattern"),
        ("DOMAIN", "https://hub.example.edu", "pattern"),
        ("KEY_NAME", "changeme", "fill in your own"),
    ],
)
def test_a_wrong_value_is_named_with_source_and_remedy(
    said: Said, key: str, value: str, reason: str
):
    (finding,) = said.refused(f"--{key.lower()}", value)
    assert finding.where == f"--{key.lower()}: {key}"
    assert value in finding.what and reason in finding.what
    assert finding.remedy.startswith("It is: ")
    said.environment[f"CLOUDJHUB_{key}"] = value
    (finding,) = said.refused()
    assert finding.where == f"environment CLOUDJHUB_{key}: {key}"


def test_the_file_of_a_wrong_value_is_named(said: Said):
    said.config.write_text('{"USER_HOME_EBS_SIZE": true}')
    said.secure.write_text("VPC_ID = 7")
    findings = said.refused()
    assert {finding.where for finding in findings} == {
        f"{said.config}: USER_HOME_EBS_SIZE",
        f"{said.secure}: VPC_ID",
    }


@pytest.mark.parametrize("name", ["class 1", "", "a" * 47, "class*", "klasse/1"])
def test_cluster_names_that_cannot_be(said: Said, name: str):
    (finding,) = said.refused(places=[name, *PLACES[1:]])
    assert "CLUSTER_NAME" in finding.where


def test_what_is_missing_is_said_in_one_list(said: Said):
    findings = said.refused(places=[])
    assert [finding.where for finding in findings] == [
        "CLUSTER_NAME",
        "BASE_AMI",
        "PRIVATE_SUBNET_ID",
        "PUBLIC_SUBNET_ID",
    ]


def test_unknown_keys_are_refused_with_the_nearest(said: Said):
    said.config.write_text('{"WORKER_INSTANCE_TYP": "t3.large"}')
    said.secure.write_text('KEYPATH = "x"')
    said.environment["CLOUDJHUB_CLASSSIZE"] = "30"
    hints = {finding.remedy for finding in said.refused()}
    assert hints == {
        "Did you mean WORKER_INSTANCE_TYPE?",
        "Did you mean KEY_PATH?",
        "Did you mean CLOUDJHUB_CLASS_SIZE?",
    }


def test_other_variables_with_our_prefix_are_let_be(said: Said):
    said.environment["CLOUDJHUB_CONFIG"] = "/etc/jupyterhub"
    assert said.read().cluster_name == "class1"


def test_an_unknown_flag_is_refused_with_the_nearest(
    capsys: pytest.CaptureFixture[str], said: Said
):
    with pytest.raises(SystemExit) as ended:
        said.read("--worker_instnce_type", "t3.large")
    assert ended.value.code == 2
    assert "Did you mean --worker_instance_type?" in capsys.readouterr().err


def test_broken_files_are_findings(said: Said):
    said.config.write_text("{")
    said.secure.write_text("KEY_NAME = ")
    findings = said.refused()
    assert {finding.where for finding in findings} == {str(said.config), str(said.secure)}


def test_secure_py_may_compute(said: Said):
    said.secure.write_text('KEY_NAME = "mine"\nKEY_PATH = "~/.ssh/%s.pem" % KEY_NAME\nimport os\n')
    assert said.read().key_path == "~/.ssh/mine.pem"


def test_the_example_of_secure_py_must_be_filled_in(said: Said):
    checkout = Path(__file__).resolve().parents[2]
    said.secure.write_text((checkout / "launch_cluster/secure.py.example").read_text())
    findings = said.refused()
    assert {finding.where.rpartition(" ")[2] for finding in findings} == {"KEY_NAME", "KEY_PATH"}


@pytest.mark.parametrize(
    "key", ["AWS_SECRET_KEY", "GITHUB_CLIENT_SECRET", "AWS_SESSION_TOKEN", "DB_URL"]
)
def test_secrets_are_in_no_output(said: Said, key: str):
    said.environment["CLOUDJHUB_AWS_ACCESS_KEY_ID"] = "AKIAEXAMPLE"
    said.environment["CLOUDJHUB_AWS_SECRET_KEY"] = "other"
    said.environment[f"CLOUDJHUB_{key}"] = "s3cret"
    settings = said.read()
    assert "s3cret" not in repr(settings) + str(settings)
    assert "s3cret" in sources.secrets_of(settings)


def test_a_wrong_secret_is_not_repeated(said: Said):
    said.secure.write_text('AWS_SECRET_KEY = ["s3cret"]')
    (finding,) = said.refused()
    assert "s3cret" not in str(finding) and "AWS_SECRET_KEY" in finding.where


def test_the_verbs_after_a_launch_need_no_more_than_an_account(said: Said):
    said.config.write_text('{"REGION": "eu-west-1", "WORKER_EBS_SIZE": 9}')
    said.secure.write_text('AWS_ACCESS_KEY_ID = "AKIA"\nAWS_SECRET_KEY = "x"\nKEY_NAME = "mine"')
    account = said.read(model=Account, places=["class1"])
    assert (account.access.region, account.access.access_key_id) == ("eu-west-1", "AKIA")
    assert account.access.secret_access_key == "x"


def test_flags_may_stand_between_the_places(said: Said):
    first, *rest = PLACES
    settings = said.read(places=[first, "--region", "eu-west-1", *rest])
    assert (settings.region, settings.base_ami) == ("eu-west-1", rest[0])


@pytest.mark.parametrize("flag", ["--aws_access_key_id", "--aws_secret_key"])
def test_a_key_without_its_other_half_is_refused(said: Said, flag: str):
    (finding,) = said.refused(flag, "AKIAEXAMPLE")
    assert "half of an access key" in str(finding) and "AKIAEXAMPLE" not in str(finding)


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--ec2_endpoint_url", "http://[bad"), ("--email", "a@b.c{}"), ("--email", "a b@c.de")],
)
def test_addresses_that_cannot_be(said: Said, flag: str, value: str):
    (finding,) = said.refused(flag, value)
    assert value in str(finding)


# -- types, subnets, and how many machines

TWO = ("subnet-0123456789abcdef0", "subnet-0123456789abcdef2")
TIMETABLE = {"always": 2, "mon,wed 08:50-10:00 Europe/Berlin": 25}


def test_types_and_subnets_may_be_several_in_every_source(said: Said):
    settings = said.read(
        "--worker_instance_type",
        "t3.medium, t3a.medium",
        places=[*PLACES[:2], ",".join(TWO), PLACES[3]],
    )
    assert settings.worker_instance_types == ("t3.medium", "t3a.medium")
    assert settings.private_subnet_ids == TWO
    said.config.write_text(
        json.dumps({"WORKER_INSTANCE_TYPE": ["t3.large", "m5.large"], "PRIVATE_SUBNET_ID": TWO})
    )
    said.environment["CLOUDJHUB_BASE_AMI"] = PLACES[1]
    said.environment["CLOUDJHUB_PUBLIC_SUBNET_ID"] = PLACES[3]
    by_file = said.read(places=PLACES[:1])
    assert by_file.worker_instance_types == ("t3.large", "m5.large")
    assert by_file.private_subnet_ids == TWO
    said.environment["CLOUDJHUB_WORKER_INSTANCE_TYPE"] = "c5.large,c5a.large"
    assert said.read().worker_instance_types == ("c5.large", "c5a.large")
    assert said.read("--worker_instance_type", '["m5.large"]').worker_instance_types == (
        "m5.large",
    )


@pytest.mark.parametrize("value", ["5", json.dumps(TIMETABLE)])
def test_a_pool_is_a_number_or_a_timetable_in_every_source(said: Said, value: str):
    by_flag = said.read("--pool", value)
    said.environment["CLOUDJHUB_POOL"] = value
    by_environment = said.read()
    said.environment.clear()
    said.config.write_text(json.dumps({"POOL": json.loads(value)}))
    assert by_flag.pool == by_environment.pool == said.read().pool == json.loads(value)
    assert most_wanted(by_flag.timetable) == (25 if "always" in value else 5)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("WORKER_INSTANCE_TYPE", "t3.medium,medium", "pattern"),
        ("WORKER_INSTANCE_TYPE", "t3.medium,t3.medium", "only once"),
        ("WORKER_INSTANCE_TYPE", "t3.medium,", "pattern"),
        ("POOL", "many", "neither a number nor a timetable"),
        ("POOL", "-1", "not a number of machines"),
        ("POOL", '{"always": 1, "always": 2}', "stands there twice"),
        ("WORKER_INSTANCE_TYPE", '["t3.medium"', "Expecting"),
        ("POOL", '{"mon 08:50-10:00 Europe/Atlantis": 3}', "no time zone"),
        ("POOL", '{"monday at nine": 3}', "is not understood"),
        ("POOL_MAX", "1001", "less than or equal to 1000"),
        ("POOL_STATE", "asleep", "'running'"),
        ("POOL_SPARE_HOURS", "0", "greater than or equal to 1"),
        ("MAX_MACHINES", "-1", "greater than or equal to 0"),
        ("WHEN_FULL", "wait", "'queue' or 'refuse'"),
        ("MOVE_HOMES", "yes", "'ask', 'always' or 'never'"),
    ],
)
def test_what_is_wrong_with_them_is_named(said: Said, key: str, value: str, reason: str):
    (finding,) = said.refused(f"--{key.lower()}", value)
    assert finding.where == f"--{key.lower()}: {key}"
    assert json.dumps(value) in finding.what and reason in finding.what
    assert finding.remedy.startswith("It is: ")


def test_the_hub_takes_what_the_launch_writes(said: Said, tmp_path: Path):
    said.config.write_text(json.dumps({"POOL": TIMETABLE, "MAX_MACHINES": 40}))
    settings = said.read(
        "--worker_username",
        "ubuntu",
        "--worker_instance_type",
        "t3.medium,t3a.medium",
        places=[*PLACES[:2], ",".join(TWO), PLACES[3]],
    )
    written = server_config(
        settings, worker_image_id="ami-0123456789abcdef0", worker_group_id="sg-0123456789abcdef0"
    )
    (tmp_path / "key").touch()
    hub = parse(json.dumps(written | {"WORKER_KEY_FILE": str(tmp_path / "key")}), "it")
    assert hub.worker_instance_types == ("t3.medium", "t3a.medium")
    assert hub.subnet_ids == TWO
    assert hub.pool == settings.timetable and hub.max_machines == 40
    one = server_config(said.read(), worker_image_id="ami-1", worker_group_id="sg-1")
    assert one["SUBNET_ID"] == PLACES[2] and one["WORKER_INSTANCE_TYPE"] == "t3.medium"
