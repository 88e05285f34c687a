"""A job that does what its corpus's ``source`` says: stands in for real work in tests of the machinery around it."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import time
from pathlib import Path

from engine.report import StopRequested
from store.errors import DataError


def finish(context, argument):
    context.report.running(2, "steps")
    context.report.progress(2, "all")
    print("said on stdout", flush=True)
    os.write(2, b"said by a native library\n")


def fail(context, argument):
    raise DataError("no text\nin the corpus", "Give it some.")


def crash(context, argument):
    raise ValueError("a bug")


def wait(context, argument):
    """Run until a file appears or a stop is asked for; leave a checkpoint behind either way."""
    context.report.running(1, "steps")
    while not Path(argument).exists():
        if context.report.should_stop():
            context.run.checkpoint("resume").mkdir(parents=True, exist_ok=True)
            raise StopRequested
        time.sleep(0.01)


def ignore(context, argument):
    """Run until a file appears, deaf to everything."""
    context.report.running(1, "steps")
    while not Path(argument).exists():
        time.sleep(0.01)


def count_frozen(context, argument):
    """Import a module, and say how many objects the collector passes over."""
    context.report.running(1, "steps")
    importlib.import_module(argument)
    print(gc.get_freeze_count(), flush=True)


def die(context, argument):
    context.report.running(1, "steps")
    print("the last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(context, argument):
    """Die after a checkpoint, but only the first time."""
    if context.run.checkpoint("resume").exists():
        return
    context.run.checkpoint("resume").mkdir(parents=True)
    die(context, argument)


def meet():
    import torch

    torch.distributed.barrier()


def second_fails(context, argument):
    """The second of two processes fails while the first waits for it."""
    context.report.running(1, "steps")
    if os.environ["RANK"] == "1":
        fail(context, argument)
    meet()


def second_crashes(context, argument):
    context.report.running(1, "steps")
    if os.environ["RANK"] == "1":
        crash(context, argument)
    meet()


def second_dies(context, argument):
    context.report.running(1, "steps")
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    meet()


def wait_together(context, argument):
    """As ``wait``, all processes doing what the first decides."""
    from engine.train.group import find_group

    context.report.running(1, "steps")
    Path(f"{argument}.{os.getpid()}").touch()
    while not find_group().agree(Path(argument).exists()):
        if find_group().agree(context.report.should_stop()):
            context.run.checkpoint("resume").mkdir(parents=True, exist_ok=True)
            raise StopRequested
        time.sleep(0.01)


SCRIPTS = {
    script.__name__: script
    for script in (
        *(finish, fail, crash, wait, ignore, count_frozen, die, die_once),
        *(second_fails, second_crashes, second_dies, wait_together),
    )
}


def execute(job, context):
    name, _, argument = job.corpora[0].source.partition(" ")
    SCRIPTS[name](context, argument)
