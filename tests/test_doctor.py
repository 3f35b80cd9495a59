"""What the doctor finds: a check each, and never a crash."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from scripted import finishes, play
from tiny import experiment

from normbench import doctor, vision
from normbench.constants import RESULTS
from normbench.doctor import CHECKS, Finding, Folders, examine, examine_experiment
from normbench.store import SCHEMA, ExperimentStore
from normbench.store.files import REMEDY


def found(check: str, folders: Folders) -> list[Finding]:
    return [finding for finding in examine(folders) if finding.check == check]


@pytest.fixture
def folders(tmp_path) -> Folders:
    return Folders(tmp_path / "results", tmp_path / "data")


@pytest.fixture
def only(monkeypatch):
    """The findings of one check alone."""

    def run(check: str, folders: Folders) -> list[Finding]:
        monkeypatch.setattr(doctor, "CHECKS", {check: CHECKS[check]})
        return list(examine(folders))

    return run


def test_a_machine_that_runs_these_tests_has_no_problem(folders):
    findings = list(examine(folders))
    assert {finding.check for finding in findings} == set(CHECKS)
    assert not [finding for finding in findings if finding.level == "problem"]
    assert all(finding.remedy for finding in findings if finding.level != "ok")


@pytest.mark.parametrize("module", ["torch", "torchvision"])
def test_a_package_that_is_missing_is_a_problem_with_a_remedy(only, folders, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    vision.torchvision.cache_clear()
    try:
        (finding,) = only(module, folders)
    finally:
        vision.torchvision.cache_clear()
    assert finding.level == "problem"
    assert "cannot be imported" in finding.text
    assert finding.remedy


def test_a_check_that_fails_is_a_finding(monkeypatch, folders):
    def broken(folders):
        yield "ok", "first"
        raise OSError("the disk is gone")

    monkeypatch.setattr(doctor, "CHECKS", {"broken": broken, "disk": CHECKS["disk"]})
    findings = list(examine(folders))
    assert [f.level for f in findings[:2]] == ["ok", "problem"]
    assert "OSError: the disk is gone" in findings[1].text
    assert findings[2].check == "disk"


def test_without_torch_numpy_or_pandas_everything_else_is_still_checked():
    code = (
        "import sys; sys.modules.update(torch=None, numpy=None, pandas=None, torchvision=None)\n"
        "sys.argv = ['normbench', 'doctor', '--json']\n"
        "from normbench.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    report = json.loads(done.stdout)
    assert report["well"] is False
    levels = {finding["check"]: finding["level"] for finding in report["findings"]}
    assert levels["torch"] == levels["torchvision"] == levels["data"] == "problem"
    assert levels["python"] == levels["disk"] == "ok"


def test_a_torchvision_of_another_build_is_a_note(only, folders, monkeypatch):
    monkeypatch.setattr(vision, "_declared", [object()])
    (finding,) = only("torchvision", folders)
    assert finding.level == "note"
    assert "does not match this torch" in finding.text


def test_fewer_cores_than_the_machine_has_and_too_many_threads_are_notes(
    only, folders, monkeypatch
):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    cores, threads = only("cores", folders)
    assert (cores.level, cores.text) == ("note", "2 of 8 may be used")
    assert cores.remedy == "train with --jobs 2"
    assert (threads.level, "16" in threads.text) == ("note", True)


def test_without_a_compiler_there_is_a_note(only, folders, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    (finding,) = only("compiler", folders)
    assert finding.level == "note"
    assert "--no-compile" in finding.remedy


@pytest.mark.parametrize(("free", "level"), [(1e7, "problem"), (1e9, "note"), (1e12, "ok")])
def test_disk_space_is_judged(only, folders, monkeypatch, free, level):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(free))
    assert {finding.level for finding in only("disk", folders)} == {level}


def test_datasets_are_embedded_absent_incomplete_or_out_of_reach(only, folders):
    raw = folders.data_dir / "MNIST" / "raw"
    raw.mkdir(parents=True)
    texts = [finding.text for finding in only("data", folders)]
    assert "digits: embedded" in texts
    assert f"mnist: not in {folders.data_dir}; fetched when first trained on" in texts
    (raw / "train-images-idx3-ubyte").write_bytes(b"")
    texts = [f.text for f in only("data", folders) if f.level == "note"]
    assert texts == [f"mnist: 3 of its files are missing in {folders.data_dir}"]
    folders.data_dir.chmod(0o555)
    notes = [f for f in only("data", folders) if f.level == "note"]
    assert len(notes) > 3
    assert all("cannot be written to" in f.text and "--data-dir" in f.remedy for f in notes)
    folders.data_dir.chmod(0o755)


def put(results: Path, name: str, **states: str) -> ExperimentStore:
    store = ExperimentStore(results, name)
    store.path.mkdir(parents=True)
    store.write_plan({}, [])
    for folder, state in states.items():
        (store.path / folder).mkdir()
        manifest = {"schema": SCHEMA, "state": state}
        (store.path / folder / "manifest.json").write_text(json.dumps(manifest))
        if state == "finished":
            (store.path / folder / "DONE").write_text("")
    return store


def test_results_are_counted_and_what_was_cut_off_is_told(only, folders):
    assert only("results", folders)[0].text == f"no experiment in {folders.results} yet"
    folders = Folders(folders.results / "with 'signs' and spaces")
    store = put(folders.results, "one", a="finished", b="finished", c="running")
    (store.path / "a" / ".manifest.json.1.tmp").write_text("")
    counted, cut, left = only("results", folders)
    assert (counted.level, counted.text) == ("ok", "one: 2 finished, 1 running")
    assert (cut.level, left.level) == ("note", "note")
    assert cut.text == "one: cut off while they ran: 1 of 3"
    assert left.text == "one: half-written files, left by a crash: 1"
    subprocess.run(left.remedy, shell=True, check=True)
    assert [f.level for f in only("results", folders)] == ["ok", "note"]
    assert (store.path / "a" / "manifest.json").exists()


def test_an_experiment_in_use_has_nothing_to_clean_up(only, folders):
    store = put(folders.results, "one", c="running")
    (store.path / ".x.tmp").write_text("")
    store.lock()
    try:
        assert [f.level for f in only("results", folders)] == ["ok"]
    finally:
        store.unlock()


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ("{", REMEDY),
        ("{}", REMEDY),
        (json.dumps({"schema": SCHEMA + 1, "state": "x"}), "upgrade normbench to read it"),
    ],
)
def test_what_cannot_be_read_is_a_problem_with_its_own_remedy(only, folders, content, remedy):
    store = put(folders.results, "one", a="finished", b="finished")
    (store.path / "b" / "manifest.json").write_text(content)
    findings = only("results", folders)
    assert [f.level for f in findings] == ["ok", "problem"]
    assert "b/manifest.json" in findings[1].text
    assert findings[1].remedy == remedy


@pytest.fixture
def trained(folders, digits) -> ExperimentStore:
    play(folders.results, experiment(), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    return ExperimentStore(folders.results, "tiny")


def test_a_run_without_its_seal_or_gone_altogether_is_told_with_what_to_do(trained, only, folders):
    total = len(trained.folders())
    lost, gone, *_ = trained.folders()
    (trained.path / lost / "DONE").unlink()
    shutil.rmtree(trained.path / gone)
    told = [finding for finding in examine_experiment(trained) if finding.level == "note"]
    assert [finding.text for finding in told] == [
        f"tiny: ended, but DONE, which seals a run, is lost: 1 of {total}",
        f"tiny: planned, but not there: 1 of {total}",
    ]
    assert all("`normbench train`" in finding.remedy for finding in told)
    assert told == [finding for finding in only("results", folders) if finding.level == "note"]


@pytest.mark.parametrize("left", ["gone", "dangling", "DONE alone"])
def test_a_run_that_lacks_its_manifest_is_a_problem_and_no_traceback(trained, only, folders, left):
    folder = trained.folders()[0]
    manifest = trained.path / folder / "manifest.json"
    if left == "DONE alone":
        (trained.path / "stray").mkdir()
        manifest = trained.path / "stray" / "manifest.json"
        (trained.path / "stray" / "DONE").write_text("")
    else:
        manifest.unlink()
        if left == "dangling":
            manifest.symlink_to("nowhere")
    for findings in (examine_experiment(trained), only("results", folders)):
        (problem,) = [finding for finding in findings if finding.level == "problem"]
        assert f"{manifest} is damaged (it is not there any more)" in problem.text


def test_looking_whether_an_experiment_is_in_use_makes_nothing(only, folders):
    store = put(folders.results, "one", a="finished")
    before = sorted(store.path.rglob("*"))
    assert [f.level for f in only("results", folders)] == ["ok"]
    assert sorted(store.path.rglob("*")) == before


def test_an_installation_is_not_blamed_for_what_is_on_disk(monkeypatch, folders):
    def broken(folders):
        yield "ok", "first"
        raise PermissionError("closed")

    monkeypatch.setattr(doctor, "CHECKS", dict.fromkeys(("data", "results", "disk"), broken))
    problems = [found for found in examine(folders) if found.level == "problem"]
    assert [found.check for found in problems] == ["data", "results", "disk"]
    for found in problems:
        assert "readable" in found.remedy
        assert "install" not in found.remedy


def test_results_are_looked_for_upward_as_every_verb_does(tmp_path, digits, monkeypatch, only):
    play(tmp_path / "results", experiment(), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert [finding.text for finding in only("results", Folders(RESULTS))] == ["tiny: 4 finished"]
