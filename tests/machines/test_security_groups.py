"""Security groups are enforced, at once, by what EC2's answers say they are."""

from collections.abc import Iterator

import pytest
from machines.peers import HOST, PATIENCE_SECONDS, Listener, Vpc, local_ec2, permission, tcp

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def vpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vpc]:
    with local_ec2(tmp_path_factory.mktemp("groups") / "state") as made:
        yield made


def test_nobody_is_admitted_unless_a_rule_says_so(vpc: Vpc):
    sender, goal = vpc.machine(), vpc.machine(public=True)
    assert not sender.reaches(goal.address)
    assert not HOST.reaches(goal.address)
    assert not HOST.reaches(vpc.public_address(goal.id))


def test_rules_of_addresses_hold_as_soon_as_they_are_made_and_until_they_are_taken_back(vpc: Vpc):
    sender, other, group = vpc.machine(), vpc.machine(), vpc.group()
    goal = vpc.machine(group)
    rule = tcp(22, cidr=f"{sender.address}/32")
    vpc.admit(group, rule)
    assert sender.seen_as(goal.address) == sender.address
    assert not other.reaches(goal.address)
    vpc.api.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
    assert not sender.reaches(goal.address)


def test_the_operators_address_alone_may_log_in(vpc: Vpc):
    outside = vpc.network.addresses.outside
    group = vpc.group(tcp(22, cidr=f"{outside}/32"))
    goal = vpc.machine(group, public=True)
    public = vpc.public_address(goal.id)
    assert HOST.seen_as(public) == outside
    # The same computer as a neighbour, and others outside, are somebody else.
    assert not HOST.reaches(goal.address)
    assert not vpc.machine(public=True).reaches(public)


def test_rules_of_groups_admit_the_members_by_their_private_addresses(vpc: Vpc):
    source = vpc.group()
    goal = vpc.machine(vpc.group(tcp(22, group=source)), public=True)
    member, stranger = vpc.machine(source, public=True), vpc.machine(public=True)
    assert member.seen_as(goal.address) == member.address
    assert not stranger.reaches(goal.address)
    # As on AWS: what takes the way over the public address is no member's any more.
    assert not member.reaches(vpc.public_address(goal.id))


def test_a_group_that_names_itself_admits_its_members(vpc: Vpc):
    group = vpc.group()
    vpc.admit(group, tcp(22, group=group))
    first, second = vpc.machines(2, group)
    assert first.seen_as(second.address) == first.address


def test_ports_protocols_and_ranges(vpc: Vpc):
    sender = vpc.machine()
    goal = vpc.machine(vpc.group(tcp(8000, last=8010)))
    for port in (7999, 8000, 8010, 8011):
        listener = Listener(goal.namespace, port)
        try:
            if 8000 <= port <= 8010:
                assert sender.seen_as(goal.address, port) == sender.address
            else:
                assert not sender.reaches(goal.address, port)
        finally:
            listener.close()


def test_everything_is_admitted_by_all_protocols(vpc: Vpc):
    sender, goal = vpc.machine(), vpc.machine(vpc.group(permission("-1")))
    assert sender.seen_as(goal.address) == sender.address
    assert sender.pings(goal.address, PATIENCE_SECONDS)


def test_icmp_is_for_icmp(vpc: Vpc):
    sender = vpc.machine()
    by_type = vpc.machine(vpc.group(permission("icmp", 8, -1)))
    by_all = vpc.machine(vpc.group(permission("icmp")))
    by_none = vpc.machine(vpc.group(permission("icmp", 13, -1), tcp(22)))
    assert sender.pings(by_type.address, PATIENCE_SECONDS)
    assert sender.pings(by_all.address, PATIENCE_SECONDS)
    assert not sender.reaches(by_all.address)
    assert not sender.pings(by_none.address)
    assert sender.seen_as(by_none.address) == sender.address


def test_what_goes_out_needs_a_rule_as_well(vpc: Vpc):
    goal = vpc.machine(vpc.group(tcp(22)))
    closed = vpc.group(egress=False)
    sender = vpc.machine(closed)
    assert not sender.reaches(goal.address)
    vpc.api.authorize_security_group_egress(
        GroupId=closed, IpPermissions=[tcp(22, cidr=f"{goal.address}/32")]
    )
    assert sender.seen_as(goal.address) == sender.address
    assert not sender.reaches(vpc.network.host_address)


def test_answers_need_no_rule(vpc: Vpc):
    sender = vpc.machine()
    goal = vpc.machine(vpc.group(tcp(22), egress=False))
    assert sender.seen_as(goal.address) == sender.address


def test_the_groups_of_an_instance_can_be_changed(vpc: Vpc):
    sender, opened, closed = vpc.machine(), vpc.group(tcp(22)), vpc.group()
    goal = vpc.machine(closed)
    for group in (opened, closed):
        vpc.api.modify_instance_attribute(InstanceId=goal.id, Groups=[group])
        listed = vpc.instance(goal.id)
        assert [g["GroupId"] for g in listed["SecurityGroups"]] == [group]
        assert [g["GroupId"] for g in listed["NetworkInterfaces"][0]["Groups"]] == [group]
        if group == opened:
            assert sender.seen_as(goal.address) == sender.address
        else:
            assert not sender.reaches(goal.address)
    interface = vpc.instance(goal.id)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    vpc.api.modify_network_interface_attribute(
        NetworkInterfaceId=interface, Groups=[opened, closed]
    )
    assert sender.seen_as(goal.address) == sender.address
    assert len(vpc.instance(goal.id)["SecurityGroups"]) == 2


def test_several_groups_add_up(vpc: Vpc):
    sender = vpc.machine()
    goal = vpc.machine(vpc.group(tcp(80)))
    group = vpc.group(tcp(22))
    held = vpc.instance(goal.id)["SecurityGroups"][0]["GroupId"]
    vpc.api.modify_instance_attribute(InstanceId=goal.id, Groups=[held, group])
    assert sender.seen_as(goal.address) == sender.address


def test_a_rule_can_be_taken_back_by_its_id(vpc: Vpc):
    sender, group = vpc.machine(), vpc.group(tcp(22))
    goal = vpc.machine(group)
    assert sender.seen_as(goal.address) == sender.address
    found = vpc.api.describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [group]}]
    )["SecurityGroupRules"]
    ids = [rule["SecurityGroupRuleId"] for rule in found if not rule["IsEgress"]]
    vpc.api.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=ids)
    assert not sender.reaches(goal.address)


def test_an_instance_without_a_named_group_is_in_the_vpcs_own(vpc: Vpc):
    bare = {"DeviceIndex": 0, "SubnetId": vpc.ids["subnet-a"]}
    first, second = vpc.machines(2, NetworkInterfaces=[bare])
    assert vpc.instance(first.id)["SecurityGroups"][0]["GroupName"] == "default"
    # Its members may talk to one another, and nobody else to them.
    assert first.seen_as(second.address) == first.address
    assert not vpc.machine().reaches(second.address)
