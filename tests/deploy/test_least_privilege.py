"""The verbs after a launch, by an operator who may do no more than the policy of one cluster."""

import pytest
from deploy.made_clusters import Place, gone
from local.clouds import Cloud
from local.identities import place as policy_place
from local.identities import user_with

from cloudjhub.policy import documents

pytestmark = pytest.mark.slow


def as_operator(place: Place, cluster: str, **policy: str) -> None:
    """From now on the scripts are run by somebody with the policy of that cluster."""
    document = documents.operator(policy_place(cluster), **policy)
    place.operator_key = user_with(Cloud(place.ec2), document)


def refused(place: Place) -> list[str]:
    """What anybody was refused."""
    return [call.action for call in place.ec2.authorized_calls() if not call.allowed]


def test_the_policy_of_a_cluster_is_enough_for_all_of_them(place: Place):
    place.stranger()
    place.cluster("class2")
    before = place.everything()
    place.cluster("class1")
    as_operator(place, "class1")
    for script, *arguments in (
        ("status.py",),
        ("terminate_all_workers.py", "--yes", "--homes", "snapshot"),
        ("teardown.py", "--yes", "--homes", "delete"),
    ):
        done = place.run(script, "class1", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    assert not refused(place)
    assert place.everything() == before


@pytest.mark.parametrize("said", ["Terminating 2 machines", "Deleted home", "Deleted address"])
def test_killed_and_run_again_it_is_enough_too(place: Place, said: str):
    before = place.everything()
    place.cluster("class1")
    as_operator(place, "class1")
    arguments = ("class1", "--yes", "--homes", "delete")
    assert place.killed_at(said, "teardown.py", *arguments)
    done = place.run("teardown.py", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.everything() == before


def test_with_another_clusters_policy_nothing_is_removed(place: Place):
    made = place.cluster("class1")
    before = place.everything()
    as_operator(place, "class2")
    done = place.run("teardown.py", "class1", "--yes", "--homes", "delete")
    assert done.returncode == 1
    assert made.workers["ada"] in done.stdout and "not allowed to call" in done.stdout
    assert "Traceback" not in done.stderr
    assert not gone(before, place.everything())


def test_where_somebody_else_made_the_role_it_is_said_that_it_was_not_looked_for(place: Place):
    place.cluster("class1")
    as_operator(place, "class1", own_profile="the-departments")
    shown = place.run("status.py", "class1")
    assert shown.returncode == 0, shown.stderr
    done = place.run("teardown.py", "class1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "may not ask IAM whether there is a role cloudjhub-class1-manager" in done.stdout
    assert place.everything()["roles"] == {"cloudjhub-class1-manager"}
