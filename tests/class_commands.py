"""`penstock classes` as tests ask it, and what comes of it."""

import json
from typing import Any

from configurations import question
from line import Line, ask, served_version
from penstock.adapters.kafka.topic_ends import read_ends
from waiting import wait_for


def classes(running: Line) -> dict[str, dict[str, Any]]:
    """What `list` says, by name."""
    done = running.run("classes", "list", "--json")
    assert done.returncode == 0, done.stderr
    return {each["name"]: each for each in json.loads(done.stdout)["classes"]}


def said(running: Line, *arguments: str, code: int = 0) -> str:
    """What a command of the group says, on both of its outputs."""
    done = running.run("classes", *arguments)
    text = (done.stdout + done.stderr).decode()
    assert done.returncode == code, text
    assert "Traceback" not in text
    return text


def answered(url: str, model: str, label: int) -> str:
    """What a replica takes the middle of a class for."""
    status, answer = ask(f"{url}/v2/models/{model}/infer", question(1, label=label))
    assert status == 200, answer
    return str({output["name"]: output for output in answer["outputs"]}["label"]["data"][0])


def wait_until_served(running: Line, url: str) -> None:
    newest = running.newest_update()
    assert newest is not None
    wait_for(lambda: served_version(url, running.model) >= newest.version, "the replica serves the newest")


def refused_at_once(running: Line, *arguments: str) -> str:
    """What a command says that ends with 1 before it has sent anything."""
    before = read_ends(running.kafka, running.topics.labels)
    text = said(running, *arguments, code=1)
    assert read_ends(running.kafka, running.topics.labels) == before
    return text
