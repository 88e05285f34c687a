"""What people ask of the queue, at any moment and in any order; with real worker processes."""

from __future__ import annotations

import threading

import pytest

from engine.launch import desk, requests
from engine.launch.tickets import ticketed
from engine.spec.run import Resources, RunSpec
from store.settings import SETTINGS_FILE
from store.workspace import Workspace


def test_a_held_run_waits_until_it_is_let_go(bench):
    held, child = bench.queue("held", "finish", priority=1), bench.queue("child", "finish", "held")
    free = bench.queue("free", "finish")
    requests.hold(bench.workspace, [held])
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(free) == "done" and free not in dispatcher.entries, dispatcher)
    assert (bench.state(held), bench.reason(held)) == ("held", "held on request")
    assert bench.reason(child) == "needs held, which is held"
    assert not dispatcher.busy
    # Neither a new scheduler nor a retry lets it go.
    later = bench.dispatcher()
    requests.retry(bench.workspace, [held])
    for _ in range(3):
        later.tick()
    assert (bench.state(held), bench.reason(held)) == ("held", "held on request")
    requests.release(bench.workspace, [held])
    bench.until(lambda: bench.state(child) == "done", later)
    assert bench.said(held) == ["queued", "held", "queued", "assigned"]


def test_holding_a_running_run_saves_it_and_lets_it_go_on_later(bench, tmp_path):
    run_id, after = bench.queue("a-run", f"wait {tmp_path / 'go'}", priority=1), bench.queue("b-after", "finish")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    requests.hold(bench.workspace, [run_id])
    bench.until(lambda: bench.state(after) == "done", dispatcher)
    run = bench.workspace.run(run_id)
    assert (bench.state(run_id), bench.reason(run_id)) == ("held", "held on request")
    assert run.checkpoint("resume").is_dir()
    (tmp_path / "go").touch()
    requests.release(bench.workspace, [run_id])
    bench.until(lambda: bench.state(run_id) == "done", dispatcher)
    assert run.state().attempt == 2
    assert "lost" not in bench.said(run_id)


def test_a_held_run_can_be_cancelled(bench, tmp_path):
    run_id = bench.queue("only", f"wait {tmp_path / 'never'}")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    requests.hold(bench.workspace, [run_id])
    requests.cancel(bench.workspace, [run_id])
    bench.until(lambda: not dispatcher.entries, dispatcher)
    assert bench.state(run_id) == "cancelled"


@pytest.mark.parametrize("retries", [0, 2])
def test_losses_are_retried_as_often_as_the_settings_say(bench, retries):
    (bench.workspace.root / SETTINGS_FILE).write_text(f"retries = {retries}\n")
    bench.workspace = Workspace.open(bench.workspace.root)
    run_id = bench.queue("only", "die")
    bench.workspace.run(run_id).checkpoint("resume").mkdir(parents=True)
    dispatcher = bench.dispatcher(early_death_s=0.0)
    bench.until(lambda: not dispatcher.entries and bench.state(run_id) == "lost", dispatcher)
    assert bench.said(run_id).count("lost") == retries + 1
    assert bench.workspace.run(run_id).state().attempt == retries + 1
    # Asked for by a person, it has all its retries again.
    requests.retry(bench.workspace, [run_id])
    dispatcher.tick()
    bench.until(lambda: not dispatcher.entries and bench.state(run_id) == "lost", dispatcher)
    assert bench.said(run_id).count("lost") == 2 * (retries + 1)


def test_a_worker_that_never_began_costs_no_retry(bench):
    run_id = bench.queue("only", "die_once")
    dispatcher = bench.dispatcher()
    working = dispatcher.pool._command
    dispatcher.pool._command = ("/bin/false",)
    bench.until(lambda: "retried" in bench.said(run_id), dispatcher)
    dispatcher.pool._command = working
    requests.resume(bench.workspace)
    bench.until(lambda: bench.state(run_id) == "done", dispatcher)
    assert "lost" in bench.said(run_id)


def test_a_retry_asked_for_while_the_cancel_is_pending_comes_after_it(bench, tmp_path):
    run_id = bench.queue("only", f"wait {tmp_path / 'go'}")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    requests.cancel(bench.workspace, [run_id])
    requests.retry(bench.workspace, [run_id])
    dispatcher.tick()
    # It waits as a file, so that a scheduler that dies meanwhile forgets nothing.
    assert requests.list_retrying(bench.workspace) == {run_id}
    bench.until(lambda: bench.running_as(run_id, 2), bench.dispatcher())
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(run_id) == "done", bench.dispatcher())
    assert bench.said(run_id) == ["queued", "assigned", "retried", "assigned"]


def test_a_cancelled_run_that_is_deaf_is_killed_by_the_next_scheduler_too(bench, tmp_path):
    run_id = bench.queue("only", f"ignore {tmp_path / 'never'}")
    first = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "running", first)
    requests.cancel(bench.workspace, [run_id])
    first.tick()
    later = bench.dispatcher(stop_grace_s=0.2)
    bench.until(lambda: not later.entries and bench.state(run_id) == "cancelled", later)


def test_cancel_and_retry_of_a_whole_sweep(bench):
    names = [bench.queue(f"run-{index:03d}", "finish") for index in range(120)]
    requests.pause(bench.workspace)
    dispatcher = bench.dispatcher()
    requests.cancel(bench.workspace, names)
    requests.retry(bench.workspace, names)
    requests.cancel(bench.workspace, names[60:])
    dispatcher.tick()
    assert {bench.state(name) for name in names[:60]} == {"queued"}
    assert {bench.state(name) for name in names[60:]} == {"cancelled"}
    assert ticketed(bench.workspace) == set(names[:60]) == dispatcher.entries.keys()


def test_requests_of_many_clients_at_once_are_all_carried_out(bench):
    names = [bench.queue(f"run-{index}", "finish") for index in range(16)]
    requests.pause(bench.workspace)
    start = threading.Barrier(16)

    def ask(name: str) -> None:
        start.wait()
        requests.hold(bench.workspace, [name])
        requests.cancel(bench.workspace, [name])

    clients = [threading.Thread(target=ask, args=(name,)) for name in names]
    for client in clients:
        client.start()
    dispatcher = bench.dispatcher()
    bench.until(lambda: {bench.state(name) for name in names} == {"cancelled"}, dispatcher)
    for client in clients:
        client.join()


def test_requests_for_runs_that_have_ended_or_gone_do_nothing(bench):
    run_id = bench.queue("only", "finish")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "done" and not dispatcher.entries, dispatcher)
    for ask in (requests.cancel, requests.retry, requests.hold, requests.release):
        ask(bench.workspace, [run_id])
    requests.move(bench.workspace, [run_id], "top")
    (bench.workspace.queue / "requests" / "9-gone.json").write_text('{"action": "retry", "runs": ["gone", "../.."]}')
    dispatcher.tick()
    assert bench.state(run_id) == "done"
    assert not list((bench.workspace.queue / "requests").iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"action": "cancel", "runs": "only"}',
        '{"action": "cancel", "runs": [1]}',
        '{"action": "dance", "runs": []}',
        '{"action": "move", "runs": ["only"]}',
        '{"action": "move", "runs": ["only"], "where": "sideways"}',
        '{"action": "level", "runs": ["only"], "level": "soon"}',
        '{"action": "reallot", "runs": ["only"], "resources": {"gpus": -1}}',
        '{"action": "pause", "runs": [], "experiments": 3}',
    ],
)
def test_a_request_that_means_nothing_is_set_aside(bench, text):
    broken = bench.workspace.queue / "requests" / "0-broken.json"
    broken.write_text(text)
    run_id = bench.queue("only", "finish")
    bench.until(lambda: bench.state(run_id) == "done", bench.dispatcher())
    assert not broken.exists()
    assert broken.with_name("0-broken.json.rejected").read_text() == text


def test_waiting_runs_take_other_resources(bench):
    held = bench.queue("held", "finish", processes=9)
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(held) == "held", dispatcher)
    requests.reallot(bench.workspace, [held], Resources().model_dump(mode="json"))
    bench.until(lambda: bench.state(held) == "done", dispatcher)
    assert RunSpec.model_validate(bench.workspace.run(held).spec()).resources == Resources()


def test_a_running_run_keeps_its_resources(bench, tmp_path):
    run_id = bench.queue("only", f"wait {tmp_path / 'go'}")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "running", dispatcher)
    before = bench.workspace.run(run_id).spec()
    requests.reallot(bench.workspace, [run_id], wanting(processes=9))
    dispatcher.tick()
    assert bench.workspace.run(run_id).spec() == before
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(run_id) == "done", dispatcher)


def wanting(**wanted: int) -> dict:
    return Resources(**wanted).model_dump(mode="json")


@pytest.mark.parametrize("place", ["say", "write_ticket"])
def test_a_retry_survives_a_kill_at_any_step(bench, monkeypatch, place):
    run_id = bench.queue("only", "fail")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(run_id) == "failed" and not dispatcher.entries, dispatcher)
    requests.retry(bench.workspace, [run_id])
    with monkeypatch.context() as patched:
        patched.setattr(desk, place, killed)
        with pytest.raises(KeyboardInterrupt):
            dispatcher.tick()
    heir = bench.dispatcher()
    bench.until(lambda: bench.workspace.run(run_id).state().attempt == 2 and not heir.entries, heir)
    assert bench.state(run_id) == "failed"


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
