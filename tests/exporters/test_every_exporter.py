"""What every exporter promises, the next one too: the tests run over the registry."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from everything import LABEL
from exporting import EXTRAS, every
from scripted import finishes, play
from tiny import experiment

from normbench.errors import ConfigError, StoreError
from normbench.exporters import EXPORTERS, export
from normbench.store import read_results


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def text(file: str, content: bytes) -> str:
    """What a reader of the file sees."""
    if file.endswith(".parquet"):  # compressed
        return pd.read_parquet(io.BytesIO(content)).to_csv()
    return content.decode(errors="replace")


@every
def test_the_files_are_those_it_names_and_no_half_ones(mixed, name, tmp_path):
    made = export(mixed, name, tmp_path / "out")
    assert {path.relative_to(tmp_path / "out").as_posix() for path in made} | {
        "export.json"
    } == contents(tmp_path / "out").keys()
    assert all(path.stat().st_size for path in made)


@every
def test_names_are_safe_in_any_file_system_and_stay_below_the_folder(mixed, name):
    names = [file for file, _ in EXPORTERS[name](mixed)]
    assert len({file.lower() for file in names}) == len(names)
    for file in names:
        assert re.fullmatch(r"[A-Za-z0-9._=+/-]+", file)
        assert not {"", ".", ".."} & set(file.split("/"))


@every
def test_every_run_is_visible_and_so_is_how_it_ended(mixed, name):
    everything = "".join(text(*file) for file in EXPORTERS[name](mixed))
    for told in [*mixed.runs["run"], *mixed.runs["state"], "no memory", LABEL]:
        assert told in everything, told


@every
def test_an_experiment_that_never_began_is_exported_with_its_missing_runs(empty, name):
    everything = "".join(text(*file) for file in EXPORTERS[name](empty))
    for run in empty.runs["run"]:
        assert run in everything


@every
def test_the_results_are_not_changed(mixed, name, root):
    before = contents(root)
    chart_data = mixed.runs.copy(), mixed.curves.copy()
    export(mixed, name)
    after = contents(root)
    assert {file: after[file] for file in before} == before
    assert all(file.startswith(f"tiny/export/{name}/") for file in after.keys() - before.keys())
    assert mixed.runs.equals(chart_data[0])
    assert mixed.curves.equals(chart_data[1])
    again = read_results(mixed.path.parent, "tiny", probes=False)
    assert again.runs.equals(mixed.runs)


@every
def test_a_second_export_gives_the_same_bytes(mixed, name, tmp_path):
    export(mixed, name, tmp_path / "a")
    export(mixed, name, tmp_path / "b")
    export(mixed, name, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@every
def test_an_export_that_broke_off_is_made_whole(mixed, name, tmp_path, monkeypatch):
    def breaks(results):
        files = EXPORTERS_WHOLE(results)
        yield next(files)
        raise KeyboardInterrupt

    EXPORTERS_WHOLE = EXPORTERS[name]
    with monkeypatch.context() as patch:
        patch.setitem(EXPORTERS._items, name, breaks)
        with pytest.raises(KeyboardInterrupt):
            export(mixed, name, tmp_path / "broken")
    assert len(contents(tmp_path / "broken")) == 2
    export(mixed, name, tmp_path / "broken")
    export(mixed, name, tmp_path / "whole")
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


@every
def test_after_more_training_the_export_is_that_of_the_whole(name, tmp_path, digits, root, mixed):
    wanted = experiment("norms=[batch]", "seeds=1", "name=more")
    play(root, wanted, digits, lambda _: None)
    export(read_results(root, "more", probes=False), name)
    play(root, wanted, digits, lambda _: finishes({0: 0.1, 12: 0.5}))
    found = read_results(root, "more", probes=False)
    export(found, name)
    export(found, name, tmp_path / "new")
    assert contents(found.path / "export" / name) == contents(tmp_path / "new")


@every
def test_a_file_of_ours_that_is_no_longer_made_goes_and_any_other_stays(mixed, name, tmp_path):
    out = tmp_path / "out"
    export(mixed, name, out)
    marker = json.loads((out / "export.json").read_text())
    marker["files"] += ["old/file", "../precious"]
    (out / "export.json").write_text(json.dumps(marker))
    (out / "old").mkdir()
    for path in (out / "old" / "file", out / "notes.txt", tmp_path / "precious"):
        path.write_text("by hand")
    export(mixed, name, out)
    assert not (out / "old" / "file").exists()
    assert (out / "notes.txt").read_text() == "by hand"
    assert (tmp_path / "precious").exists()


@every
@pytest.mark.parametrize(
    "marker",
    [None, "{", "[]", '{"schema": 1, "experiment": "other", "format": "csv", "files": []}'],
)
def test_a_folder_that_is_not_such_an_export_is_left_alone(mixed, name, tmp_path, marker):
    out = tmp_path / "out"
    out.mkdir()
    (out / "runs.csv").write_text("mine")
    if marker is not None:
        (out / "export.json").write_text(marker)
    before = contents(out)
    with pytest.raises(StoreError, match="not empty and holds no") as caught:
        export(mixed, name, out)
    assert "--out DIR" in str(caught.value)
    assert contents(out) == before


@every
def test_a_place_that_cannot_be_written_is_named(mixed, name, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to") as caught:
        export(mixed, name, tmp_path / "file" / "below")
    assert str(tmp_path / "file") in str(caught.value)
    assert "--out DIR" in str(caught.value)


@pytest.mark.parametrize("name", EXTRAS)
def test_without_its_extra_the_remedy_is_named_and_nothing_written(
    mixed, name, tmp_path, monkeypatch
):
    for module in [m for m in sys.modules if m.split(".")[0] == EXTRAS[name]]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, EXTRAS[name], None)  # what an import then raises
    with pytest.raises(ConfigError) as caught:
        export(mixed, name, tmp_path / "out")
    assert f'pip install "normbench[{name}]"' in str(caught.value)
    assert EXTRAS[name] in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_told_with_the_nearest(mixed, tmp_path):
    with pytest.raises(ConfigError) as caught:
        export(mixed, "parqet", tmp_path / "out")
    assert "unknown exporter 'parqet'" in str(caught.value)
    known = ", ".join(sorted(EXPORTERS.names()))
    assert f"did you mean 'parquet'?  known: {known}" in str(caught.value)


def test_a_new_exporter_is_one_registration(mixed, tmp_path, monkeypatch):
    monkeypatch.setattr(EXPORTERS, "_items", dict(EXPORTERS._items))

    @EXPORTERS.register("names")
    def names(results):
        """The names of the runs."""
        yield "names.txt", "\n".join(results.runs["run"]).encode()

    (path,) = export(mixed, "names")
    assert path == mixed.path / "export" / "names" / "names.txt"
    assert path.read_text().splitlines() == list(mixed.runs["run"])
