"""What runs Trueline without GitHub: units of systemd, manifests of Kubernetes, a compose file, and the image, whose
steps are carried out in a plain directory."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.wiring.cli import parser
from shared.wiring.config.schedule_config import Schedule

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
PORT = 8090

Step = tuple[str, str]
"""An instruction of a Dockerfile and its arguments."""


def steps() -> list[Step]:
    """The instructions of the image."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def instruction(name: str) -> str:
    """What the image has of an instruction that it has once."""
    (found,) = (rest for each, rest in steps() if each == name)
    return found


def unit(path: Path) -> dict[str, dict[str, str]]:
    """A unit of systemd, in which no key may stand twice."""
    found = configparser.RawConfigParser(interpolation=None)
    found.optionxform = str  # type: ignore[method-assign,assignment]  # as configparser documents it
    found.read_string(path.read_text())
    return {name: dict(found[name]) for name in found.sections()}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of Trueline that a file of `deploy/` runs."""
    yield "Dockerfile", json.loads(instruction("CMD"))
    yield "docker-compose.yml", documents("docker-compose.yml")[0]["services"]["scheduler"]["command"]
    for path in UNITS:
        if path.suffix == ".service":
            program, *rest = shlex.split(unit(path)["Service"]["ExecStart"])
            assert program.endswith("/.venv/bin/trueline")
            yield path.name, rest
    for name in ("cronjob.yaml", "deployment.yaml"):
        yield name, pod(name)["containers"][0]["args"]


def pod(name: str) -> dict[str, Any]:
    """The pod that a manifest describes."""
    spec: dict[str, Any] = documents(f"kubernetes/{name}")[0]["spec"]
    template: dict[str, Any] = spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]
    found: dict[str, Any] = template["spec"]
    return found


@pytest.mark.parametrize(("where", "command"), list(commands()), ids=[where for where, _ in commands()])
def test_every_command_is_one_of_ours(where: str, command: list[str]) -> None:
    options = parser().parse_args(command)
    assert options.command in ("run", "schedule")
    if options.command == "schedule" and where not in ("trueline-schedule.service",):
        assert (options.host, options.port) == ("0.0.0.0", PORT)  # a port of a container must be reached from outside


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_of_systemd_are_whole(path: Path) -> None:
    """Read by systemd's own check where it is installed."""
    found = unit(path)
    assert found["Unit"]["Description"]
    if path.suffix == ".timer":
        assert found["Timer"]["Persistent"] == "true" and ":00:00" not in found["Timer"]["OnCalendar"]
        assert path.with_suffix(".service").exists()
    else:
        assert found["Service"]["User"] == "trueline" and found["Service"]["NoNewPrivileges"] == "yes"
        assert int(found["Service"]["TimeoutStopSec"].removesuffix("s")) > 20


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """With the paths and the user put in that are there."""
    files = []
    for path in UNITS:
        text = path.read_text().replace("/srv/trueline/.venv/bin/trueline", "/bin/true")
        text = text.replace("/srv/trueline", str(tmp_path)).replace("User=trueline", "User=root")
        copy = tmp_path / path.name.replace("@.", "@demo.")
        copy.write_text(text)
        files.append(str(copy))
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "trueline" in line]
    assert not ours, done.stderr


@pytest.mark.parametrize("name", ["cronjob.yaml", "deployment.yaml"])
def test_pods_run_without_rights_and_keep_their_state(name: str) -> None:
    found = pod(name)
    (container,) = found["containers"]
    user = instruction("USER").split(":")
    assert found["securityContext"]["runAsNonRoot"] is True
    assert [str(found["securityContext"][key]) for key in ("runAsUser", "runAsGroup")] == user
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    assert set(mounts.values()) == {each["name"] for each in found["volumes"]}
    assert "/tmp" in mounts and instruction("VOLUME") in mounts
    assert found["terminationGracePeriodSeconds"] > 20


def test_a_cron_job_that_was_missed_is_made_up_and_never_overlaps() -> None:
    (job,) = documents("kubernetes/cronjob.yaml")
    spec = job["spec"]
    Schedule(cron=spec["schedule"], timezone=spec["timeZone"])
    assert 0 < spec["startingDeadlineSeconds"] < 3600
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0  # the next run finishes what this one left


def test_the_deployment_is_one_pod_with_probes_that_the_scheduler_answers() -> None:
    deployment, claim = documents("kubernetes/deployment.yaml")
    assert deployment["spec"]["replicas"] == 1 and deployment["spec"]["strategy"] == {"type": "Recreate"}
    (container,) = pod("deployment.yaml")["containers"]
    assert container["ports"] == [{"name": "health", "containerPort": PORT}]
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "health"}
    volumes = {each["name"]: each for each in pod("deployment.yaml")["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_the_compose_file_builds_the_image_and_stops_gracefully() -> None:
    (found,) = documents("docker-compose.yml")
    service = found["services"]["scheduler"]
    folder = (DEPLOY / service["build"]["context"]).resolve()
    assert folder == ROOT and (folder / service["build"]["dockerfile"]).exists()
    assert int(service["stop_grace_period"].removesuffix("s")) > 20 and service["read_only"] is True
    assert f"data:{instruction('VOLUME')}" in service["volumes"] and "data" in found["volumes"]
    assert service["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]


def test_the_image_holds_no_secrets_and_no_rights() -> None:
    """What the builder is sent are the files that the image copies, and nothing else."""
    allowed = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"]
    copied = [source for name, rest in steps() if name == "COPY" for source in rest.split()[:-1]]
    assert sorted(allowed) == sorted(copied)
    assert "*" in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    names = [name for name, _ in steps()]
    assert names[0] == "FROM" and names.index("USER") < names.index("ENTRYPOINT")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instruction("USER"))
    assert not {"RUN", "COPY"} & set(names[names.index("USER") :])
    assert f":{PORT}/healthz" in instruction("HEALTHCHECK") and instruction("EXPOSE") == str(PORT)


class PlainDirectory:
    """Carries out the steps of an image with a folder in place of its root. The packages of the lock are those of the
    environment that runs the tests: pip finds each in the version of the lock, and downloads none.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root
        self.env = {"PATH": f"{root}/programs:{os.environ['PATH']}", "PIP_NO_INDEX": "1", "NO_COLOR": "1"}
        spec = find_spec("pydantic")
        assert spec is not None and spec.origin is not None
        packages = Path(spec.origin).parents[1]
        self._program("chown", "exit 0")  # only root may
        self._program(
            "python3",
            f'{sys.executable} "$@" || exit 1\n[ "$1 $2" = "-m venv" ] || exit 0\n'
            f'for each in "$3"/lib/python3*/site-packages; do echo {packages} > "$each/packages.pth"; done',
        )

    def _program(self, name: str, script: str) -> None:
        path = self.root / "programs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def carry_out(self, name: str, rest: str) -> None:
        if name == "ENV":
            self.env |= dict(each.split("=", 1) for each in shlex.split(rest))
        elif name == "WORKDIR":
            self.folder = self.root / rest.lstrip("/")
            self.folder.mkdir(parents=True)
        elif name == "COPY":
            *sources, target = rest.split()
            for source in sources:
                self._copy(ROOT / source, self.folder / target)
        elif name == "RUN":
            done = subprocess.run(
                ["bash", "-ec", rest], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stdout + done.stderr

    def _copy(self, source: Path, target: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            return
        place = target / source.name if target.is_dir() or source.name != target.name else target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


def test_the_steps_of_the_image_make_what_its_command_runs(tmp_path: Path) -> None:
    """Built in a plain directory, the entry point scores the shipped traces, from the copied files alone."""
    image = PlainDirectory(tmp_path)
    for name, rest in steps():
        image.carry_out(name, rest)
    (entry,) = json.loads(instruction("ENTRYPOINT"))
    command = json.loads(instruction("CMD"))
    assert command[0] == "schedule"
    program = [str(tmp_path / entry.lstrip("/")), *command, "--once"]
    done = subprocess.run(program, cwd=image.folder, env=image.env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"athena_recommendation_athena_recommendation: .*150 items scored", done.stdout)
    assert (image.folder / "data" / "state" / "trueline.db").exists()
    where = subprocess.run(
        [str(image.folder / ".venv" / "bin" / "python"), "-c", "import shared; print(shared.__path__[0])"],
        cwd=tmp_path, env=image.env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert where.stdout.strip() == str(image.folder / "src" / "shared")
