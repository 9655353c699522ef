"""What a student does: log in, work, leave, come back."""

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_student_works_leaves_and_finds_everything_again(site):
    student = await site.user("student01")
    start = await student.start_server()
    assert start.events[-1]["ready"] is True
    await student.open_server()
    kernel = await student.start_kernel()
    assert (await kernel.run("print(6 * 7)")).strip() == "42"
    await kernel.close()
    await student.write_file("thesis.txt", "chapter one")
    before = await site.the_machine("student01")
    assert before["State"]["Name"] == "running"

    await student.stop_server()
    await site.machine_stopped("student01")
    await student.start_server()
    await student.open_server()
    assert await student.read_file("thesis.txt") == "chapter one"
    assert (await site.the_machine("student01"))["InstanceId"] == before["InstanceId"]
