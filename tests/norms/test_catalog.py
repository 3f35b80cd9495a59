"""What is printed of every method."""

from pathlib import Path

import pytest

from normbench.norms import NORMS, catalog

DOCS = Path(__file__).parents[2] / "docs" / "norms.md"


def test_the_documentations_page_is_what_the_registry_says():
    told = "python -m normbench list norms --format markdown > docs/norms.md makes it"
    assert DOCS.read_text(encoding="utf-8") == catalog.markdown(), told


def test_every_method_has_a_row_and_a_page_with_what_it_is():
    rows = catalog.rows()
    assert [row["name"] for row in rows] == NORMS.names()
    for row in rows:
        assert all(row.values()), row["name"]
        assert len(catalog.page(row["name"])) >= len(catalog.HEADINGS)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("batch", "2"),
        ("rms", "1"),
        ("none", "0"),
        ("scale_norm", "0 + 1 a layer"),
        ("dyt", "2 + 1 a layer"),
        ("switchable", "2 + 6 a layer"),
        ("skipinit", "1 a block"),
    ],
)
def test_parameters_are_counted_or_said(kind, parameters):
    assert catalog.row(kind)["parameters"] == parameters


def test_rows_are_filtered_by_what_holds_of_them():
    names = {row["name"] for row in catalog.rows(["batch-dependent"])}
    assert {"batch", "ghost", "switchable"} <= names
    assert not {"layer", "dyt", "none"} & names
    weights = {row["name"] for row in catalog.rows(["replaces=weight", "year=2018"])}
    assert weights == {"spectral_norm"}
    with pytest.raises(ValueError, match="unknown trait 'colour'; known: statistics"):
        catalog.rows(["colour=red"])


def test_a_page_tells_options_rules_and_conflicts():
    page = dict(catalog.page("bin"))
    assert page["fixed by the paper"].startswith("gate: 10 times the learning rate, at least 0")
    assert "strict: true" in page["fixed by the paper"]
    assert page["backward" if "backward" in page else "eps"] == "inside"
    assert dict(catalog.page("powernorm"))["not with stack"]
    assert "r_max: 3.0" in dict(catalog.page("renorm"))["options"]
