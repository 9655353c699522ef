"""Options of a start: from the form, from an address, over REST, and from long ago."""

import pytest
from sites import BRISK

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SITE = {"more_config": BRISK}
CHOICES = ["t3.small", "t3.large"]


async def test_an_option_that_does_not_exist_is_refused(site):
    student = await site.user("student01")
    said = await site.failed_start("student01", colour="blue")
    assert "There is no option 'colour' on this hub. Choose again" in said
    assert "There is no option 'colour'" in await student.failure_page()
    await student.start_server(options={})


async def test_a_machine_type_that_is_not_offered_is_refused(site):
    student = await site.user("student02")
    machines = len(await site.machines())
    said = await site.failed_start("student02", instance_type="p5.48xlarge")
    assert "There is no machine type 'p5.48xlarge' on this hub; there is: t3.medium." in said
    assert len(await site.machines()) == machines
    await student.start_server(options={"instance_type": "t3.medium"})
    assert (await site.the_machine("student02"))["InstanceType"] == "t3.medium"


async def test_options_in_the_old_form_and_of_odd_kinds_are_refused_in_words(site):
    student = await site.user("student07")
    # Until JupyterHub 6 the whole body was the options; that is still understood.
    assert (await site.api("POST", "/users/student07/server", colour="blue"))[0] in (201, 202)
    await site.no_server("student07")
    assert "There is no option 'colour' on this hub." in await student.failure_page()
    said = await site.failed_start("student07", instance_type=["t3.medium"])
    assert "There is no machine type" in said
    said = await site.failed_start("student07", instance_type={"t3.medium": 1})
    assert "There is no machine type" in said
    await student.start_server(options={})
    assert "unhandled user_options" not in site.hub_log()


async def test_options_changed_while_the_server_is_stopped_are_checked_too(site):
    student = await site.user("student08")
    await student.start_server("gpu")
    await student.stop_server("gpu")
    changed = {"instance_type": "p5.48xlarge"}
    path = "/users/student08/servers/gpu"
    assert (await site.api("PATCH", path, user_options=changed))[0] == 200
    assert (await site.api("POST", path))[0] in (201, 202)

    async def failed():
        server = await site.server("student08", "gpu")
        return not server or not server["pending"]

    await site.until("the start to end", failed)
    last = [event async for event in site.progress("student08", "gpu")][-1]
    assert "There is no machine type" in last["message"], last


async def test_without_choices_there_is_no_form(site):
    student = await site.user("student03")
    page = await student.page("/hub/spawn")
    assert "instance_type" not in page
    # The page itself starts the server where there is nothing to choose.
    await _ready(site, "student03")


async def test_choices_make_a_form_and_the_chosen_type_is_launched(site):
    student = await site.user("student04")
    with site.config(WORKER_INSTANCE_TYPE_CHOICES=CHOICES):
        page = await student.page("/hub/spawn")
        offered = ["t3.medium", *CHOICES]
        assert all(f"<option>{kind}</option>" in page for kind in offered)
        await student.submit("/hub/spawn", {"instance_type": "t3.large"})
        await _ready(site, "student04")
    assert (await site.the_machine("student04"))["InstanceType"] == "t3.large"


async def test_an_address_can_name_the_type(site):
    student = await site.user("student05")
    with site.config(WORKER_INSTANCE_TYPE_CHOICES=CHOICES):
        await student.page("/hub/spawn?opt-instance_type=t3.small")
        await _ready(site, "student05")
    assert (await site.the_machine("student05"))["InstanceType"] == "t3.small"


async def test_a_remembered_choice_that_is_gone_is_refused_and_a_new_one_works(site):
    student = await site.user("student06")
    with site.config(WORKER_INSTANCE_TYPE_CHOICES=CHOICES):
        await student.start_server(options={"instance_type": "t3.large"})
    await student.stop_server()
    await site.machine_stopped("student06")

    # Nothing chosen: JupyterHub takes what was chosen the last time.
    said = await site.failed_start("student06")
    assert "There is no machine type 't3.large' on this hub; there is: t3.medium." in said
    assert "Choose again" in said
    await student.start_server(options={"instance_type": "t3.medium"})
    # The machine is the user's, whatever type it was made as.
    assert (await site.the_machine("student06"))["InstanceType"] == "t3.large"


async def _ready(site, name):
    async def ready():
        server = await site.server(name)
        return server and server["ready"]

    await site.until(f"the server of {name} to be ready", ready)
