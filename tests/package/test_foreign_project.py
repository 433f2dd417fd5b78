"""Trueline in somebody else's project: the wheel in a fresh environment, run by their own commands and files."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.foreign import ACME, ROOT, Environment, bot_project, build_wheel, write

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Trueline's wheel and the wheel of a distribution that declares an application."""
    made = Environment(tmp_path_factory.mktemp("environment"))
    acme = write(tmp_path_factory.mktemp("acme"), ACME)
    made.install(wheel)
    made.install(build_wheel(acme, tmp_path_factory.mktemp("acme-dist")))
    made.see_dependencies()
    return made


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    yield bot_project(tmp_path / "project")
    shutil.rmtree(tmp_path)


def test_the_wheel_holds_the_product_and_no_application(wheel: Path) -> None:
    """The example application stays in its checkout, and no file of ours closes the namespace of applications."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "shared",
        "trueline",
        "trueline_main.py",
        "trueline-0.1.0.dist-info",
    }
    assert {"trueline/py.typed", "shared/py.typed", "shared/report/page/report.html.j2"} <= set(names)


def test_an_application_of_the_project_runs(environment: Environment, project: Path) -> None:
    """A folder under src/implementations is found without installing the project, and its state lies in the project."""
    done = environment.run(project, "trueline", "run", "replies")
    assert done.returncode == 0, done.stderr
    assert "2 items scored" in done.stdout and "Polite" in done.stdout
    assert (project / "data" / "state" / "trueline.db").exists()
    again = environment.run(project, "python", "-m", "trueline", "run", "bot_daily")
    assert again.returncode == 0, again.stderr


def test_what_is_listed_is_the_projects_and_the_installed_ones(environment: Environment, project: Path) -> None:
    """`trueline list` shows the project's application, the entry point, and nothing of our example."""
    done = environment.run(project, "trueline", "list")
    assert done.returncode == 0, done.stderr
    names = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert {"bot.polite", "bot.reply", "acme.kind", "acme.reply", "replies", "bot_daily", "acme_replies"} <= names
    assert "athena" not in done.stdout


def test_an_entry_point_is_an_application(environment: Environment, project: Path) -> None:
    """An installed distribution brings metrics, extractors and configurations by one line of its pyproject.toml."""
    done = environment.run(project, "trueline", "check", "acme_replies")
    assert done.returncode == 0, done.stderr
    config = write(project, {"configs/kind.yaml": ACME["acme/monitoring/config/acme_replies.yaml"]})
    done = environment.run(config, "trueline", "run", "kind")
    assert done.returncode == 0, done.stderr
    assert "2 items scored" in done.stdout


def test_the_package_is_imported_from_python(environment: Environment, project: Path) -> None:
    """A notebook of the project's has the public names and its own application by the same two lines as everybody's."""
    code = (
        "import trueline\n"
        "from trueline import OnlineMonitor\n"
        "result = OnlineMonitor.from_yaml('replies').run(deduplicate=False)\n"
        "print(trueline.__version__, result.report.counts.scored, result.report.counts.filtered)\n"
    )
    done = environment.run(project, "python", "-c", code)
    assert (done.returncode, done.stdout) == (0, "0.1.0 2 1\n"), done.stderr


def test_a_file_that_hides_other_applications_is_named(environment: Environment, project: Path) -> None:
    """One project's implementations/__init__.py would hide everybody else's."""
    file = project / "src" / "implementations" / "__init__.py"
    file.touch()
    for command in (("trueline", "list"), ("trueline", "run", "replies")):
        done = environment.run(project, *command)
        assert done.returncode == 2
        assert f"{file} hides the applications of every other project" in done.stderr
        assert "Delete that file" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["shared", "trueline"])
@pytest.mark.parametrize("place", ["src", "."])
def test_a_project_with_a_package_of_our_name_is_told(
    environment: Environment, project: Path, name: str, place: str
) -> None:
    """Both paths are named before anything else happens, wherever the project's package lies."""
    theirs = write(project / place / name, {"__init__.py": "", "tools.py": ""})
    done = environment.run(project, "trueline", "run", "replies")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"two packages are named {name!r}" in done.stderr
    assert str(theirs) in done.stderr and f"site-packages/{name}" in done.stderr


@pytest.mark.parametrize("name", ["shared", "trueline"])
def test_a_package_that_comes_first_is_told(environment: Environment, project: Path, name: str) -> None:
    """With PYTHONPATH the project's package is imported in place of ours: the start of the command line says so."""
    theirs = write(project / "src" / name, {"__init__.py": ""})
    script = str(shutil.copy(ROOT / "scripts" / "run_monitoring.py", project))
    for command in (("trueline", "run", "replies"), ("python", script, "replies")):
        done = environment.run(project, *command, PYTHONPATH=str(project / "src"))
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert f"two packages are named {name!r}" in done.stderr
        assert str(theirs) in done.stderr and f"site-packages/{name}" in done.stderr


def test_from_python_a_package_that_comes_first_is_told(environment: Environment, project: Path) -> None:
    """`from trueline import ...` in a project with a `shared` of its own names both as well."""
    theirs = write(project / "shared", {"__init__.py": ""})
    done = environment.run(project, "python", "-c", "from trueline import OnlineMonitor")
    assert done.returncode == 1
    assert "two packages are named 'shared'" in done.stderr and str(theirs) in done.stderr
