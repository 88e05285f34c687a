"""Whatever is wrong with what a law is to be fitted to: one error that says what, where, what is nearest, what to do.

Nothing here starts a process or writes to a workspace: it is refused before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from odyssey_tui.services.fitting import make_spec
from odyssey_tui.services.forecast import forecast
from odyssey_tui.services.plan import Asked, plan
from odyssey_tui.services.plan_basis import read_source
from odyssey_tui.services.point_tables import load_points
from odyssey_tui.services.table_fits import TableOptions, fit_table, read_form
from store.errors import ConfigError, DataError, OdysseyError
from store.workspace import Workspace
from tests.support import law_tables

Rows = list[dict[str, Any]]
ROWS = law_tables.rows()


def put(**changed: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: {**row, **changed}


def call(column: str, other: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: {other if name == column else name: value for name, value in row.items()}


def drop(column: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: {name: value for name, value in row.items() if name != column}


BAD_TABLES = [
    ("loss nan", put(loss="nan"), "dcpt", DataError, "none of 144 rows is a point; the first, line 2: loss is 'nan'"),
    ("loss inf", put(loss="inf"), "dcpt", DataError, "line 2: loss is 'inf', which is no number"),
    ("loss zero", put(loss=0), "dcpt", DataError, "line 2: its loss is not positive"),
    ("loss negative", put(loss=-1), "dcpt", DataError, "line 2: its loss is not positive"),
    ("perplexities", put(loss=40), "dcpt", DataError, "its loss is above 20: losses are in nats per token"),
    ("loss text", put(loss="low"), "dcpt", DataError, "loss is 'low', which is no number"),
    ("no sizes", put(n_params=0), "dcpt", DataError, "line 2: N is not positive"),
    ("weight negative", put(weight=-1), "dcpt", DataError, "line 2: its weight is not positive"),
    ("share above", put(replay_ratio=1.5), "dcpt", ConfigError, "line 2: replay_ratio is 1.5; a share lies between"),
    ("share below", put(replay_ratio=-0.1), "dcpt", ConfigError, "line 2: replay_ratio is -0.1; a share lies between"),
    ("percent", call("replay_ratio", "replay_percent"), "dcpt", ConfigError, "'replay_percent' is a percentage"),
    ("no loss", drop("loss"), "dcpt", ConfigError, "no column is the loss.*Columns: n_params, ptpp, .*zero_shot_loss"),
    ("loss misnamed", call("loss", "los"), "dcpt", ConfigError, "no column is the loss.*--map 'loss=los'"),
    ("N misnamed", call("n_params", "nparam"), "dcpt", ConfigError, "number of parameters N.*--map 'n_params=nparam'"),
    ("P misnamed", call("ptpp", "ptp"), "ptpp_gated", DataError, "reads P .ptpp., and no row has it.*--map ptpp=ptp"),
    (
        "mix misnamed",
        call("replay_ratio", "replay_rati"),
        "dcpt",
        DataError,
        "r .share.*--map replay_ratio=replay_rati",
    ),
    ("no mix", drop("replay_ratio"), "dcpt", DataError, "reads r .share.*Add a column replay_ratio or share"),
    ("no budget", drop("atpp"), "dcpt", DataError, "reads D .adapt_tokens.*Add a column atpp or adapt_tokens"),
    ("no L0", drop("zero_shot_loss"), "zero_shot", DataError, "reads L0 .zero_shot_loss., and no row has it"),
    ("no Q", put(), "quality", DataError, "reads Q .quality., and no row has it"),
    ("other role", put(role="tgt"), "dcpt", DataError, "no row has the role 'target'; there is tgt.*target and base"),
    ("corpora", lambda row: put(corpus=str(row["atpp"]))(row), "dcpt", DataError, "4 values of 'corpus'.*--where"),
]


@pytest.mark.parametrize(
    ("change", "form", "kind", "words"), [case[1:] for case in BAD_TABLES], ids=[c[0] for c in BAD_TABLES]
)
def test_bad_tables(tmp_path: Path, change: Any, form: str, kind: type[OdysseyError], words: str) -> None:
    path = law_tables.write(tmp_path / "points.csv", [change(row) for row in ROWS])
    with pytest.raises(kind, match=f"(?s){words}"):
        fit_here(path, form)


def fit_here(path: Path, *forms: str, **options: Any) -> None:
    points = load_points([path], **{"mapped": {}, "role": "target", **options})
    fit_table(points, forms, TableOptions(), hear=lambda _: None)


BAD_FILES = [
    ("empty.csv", b"", "empty.csv: holds no columns"),
    ("head.csv", b"n_params,loss,ptpp\n", "none of 0 rows is a point"),
    ("points.json", json.dumps(ROWS[:3]).encode(), "points.json holds JSON, not CSV.*call it .jsonl"),
    ("object.csv", b'{"loss": 3}', "object.csv holds JSON, not CSV"),
    ("noise.csv", b"\x00\xff\xfe\x93", "noise.csv is not UTF-8 text.*.csv, .tsv, .jsonl"),
    ("book.xlsx", b"PK\x03\x04\xff", "book.xlsx is not UTF-8 text"),
    ("noise.parquet", b"PAR0" * 9, "cannot read .*noise.parquet"),
    ("lines.jsonl", b"[1]\nno\n", "lines.jsonl: holds no columns"),
    ("ragged.csv", b"n_params,loss\n1e4\n2e4,3,4\n", "the first, line 2: 1 values under 2 columns"),
    ("twice.csv", b"n_params,loss,loss\n1e4,3,3\n", "several columns are called 'loss'"),
]


@pytest.mark.parametrize(("name", "content", "words"), BAD_FILES, ids=[case[0] for case in BAD_FILES])
def test_files_that_are_no_tables(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OdysseyError, match=f"(?s){words}"):
        fit_here(tmp_path / name, "dcpt")


def test_a_folder_and_a_name_that_is_nearly_right(tmp_path: Path) -> None:
    law_tables.write(tmp_path / "points.csv", ROWS)
    with pytest.raises(DataError, match=r"(?s)no such file.*Did you mean 'points.csv'"):
        fit_here(tmp_path / "point.csv", "dcpt")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        fit_here(tmp_path, "dcpt")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return law_tables.write(tmp_path_factory.mktemp("table") / "points.csv", law_tables.rows(("target", "base")))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"where": "ptpp>"}, "--where: filter, column 6: 'ptpp>' needs a value"),
        ({"where": "ptpp>>8"}, "column 6: 'ptpp' is a number, '>8' is none"),
        ({"where": "(ptpp>8"}, r"column 1: cannot read '\(ptpp>8'.*Keys: adapt_tokens"),
        ({"where": "ptpp=8 or ptpp=16"}, "column 8: expected 'and'"),
        ({"where": "role>base"}, "'role' is text: use = or !="),
        ({"where": "loss<0"}, "accepts none of 144 rows.*There is loss: 2.3"),
        ({"holdout": ["ptpp<"]}, "--holdout: filter, column 6"),
        ({"holdout": ["ptp=8"]}, "--holdout: .*no key 'ptp'.*Did you mean 'ptpp'"),
        ({"holdout": ["ptpp>8", "ptpp=8"]}, "holds every row out"),
        ({"holdout": ["ptpp=nan"]}, "holds no row out.*There is ptpp: 8, 16, 64"),
        ({"mapped": {"loss": "los"}}, "there is no column 'los'.*Did you mean 'loss'"),
        ({"mapped": {"los": "loss"}}, "a point has no 'los'.*Did you mean 'loss'"),
        ({"mapped": {"loss": "loss", "zero_shot_loss": "loss"}}, "'loss' is to be both loss and zero_shot_loss"),
        ({"mapped": {"N": "n_params", "n_params": "atpp"}}, "n_params is to be both 'n_params' and 'atpp'"),
    ],
)
def test_filters_and_maps(table: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OdysseyError, match=f"(?s){words}"):
        fit_here(table, "dcpt", **options)


def test_a_symbol_maps_like_its_quantity(table: Path) -> None:
    points = load_points([table], mapped={"N": "atpp", "A": "n_params"}, role="target")
    assert set(points.columns["n_params"]) == set(law_tables.ATPPS)


BAD_FORMS = [
    ("formula: E + A*N**-\n", "column 10: cannot be read"),
    ("formula: E + sin(N)\n", "there is no function 'sin'.*exp, log"),
    ("formula: E.x + N\n", "only numbers, names"),
    ("formula: E + A\n", "reads no data"),
    ("formula: L0\n", "has no parameter"),
    ("formula: 3\n", "formula must be text"),
    ("", "a form is a mapping of keys"),
    ("- a\n", "a form is a mapping of keys"),
    ("formla: E + A*N**-alpha\n", "formla is not a known key.*Did you mean formula"),
    ("formula: E + A*N**-alpha\nparameters: {beta: {bounds: [0.1, 1]}}\n", "parameters.beta is not in the formula"),
    ("formula: E + A*N**-alpha\nparameters: {alpha: {bounds: [2, 0.1]}}\n", "2, 0.1.; the lower end comes first"),
    ("formula: E + A*N**-alpha\nparameters: {alpha: {bounds: [1, 1]}}\n", "the lower end comes first"),
    ("formula: E + A*N**-alpha\nparameters: {alpha: {bounds: [.nan, 1]}}\n", "must be a number"),
    ("formula: E + A*N**-alpha\nparameters: {alpha: {bounds: [0, 2], start: [3, 5]}}\n", "3, 5. leave the bounds"),
    ("formula: a*N\ndefine: {a: b, b: a}\n", "'b' is used above its definition"),
    ("formula: E + N\ndefine: {N: E}\n", "'N' cannot be the name of a part"),
    ("name: dcpt\nformula: E + A*N**-alpha\n", "'dcpt' is a form of the registry"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BAD_FORMS)
def test_forms_that_make_no_sense(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(OdysseyError, match=rf"(?s)mine\.yaml.*{words}"):
        read_form(str(tmp_path / "mine.yaml"))


def test_two_forms_of_one_name(tmp_path: Path, table: Path) -> None:
    for name, formula in (("a", "E + A*N**-alpha"), ("b", "E + B*D**-beta")):
        (tmp_path / f"{name}.yaml").write_text(f"name: mine\nformula: {formula}\n")
    with pytest.raises(DataError, match="Two forms are called 'mine'"):
        fit_here(table, str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("fit --points P --form dcpt --delta 0", "--delta"),
        ("fit --points P --form dcpt --delta nan", "'nan' is no finite number"),
        ("fit --points P --form dcpt --delta inf", "'inf' is no finite number"),
        ("fit --points P --form dcpt --bootstrap -1", "-1 is not in the range"),
        ("fit --points P --form dcpt --starts 0", "0 is not in the range"),
        ("fit --points P --form dcpt --seed -1", "-1 is not in the range"),
        ("fit --points P --form dcpt --level nan", "no finite number"),
        ("fit --points P --form dcpt --holdout ptpp=64 --anchors -3", "-3 is below 0"),
        ("fit --points P --form dcpt --holdout ptpp=64 --anchors 1.5", "not a list of whole numbers"),
        ("fit --points P --form dcpt --holdout ptpp=64 --anchors 3 --anchor-weight nan", "no finite number"),
        ("fit --points P --form dcpt --map loss=loss,loss=atpp", "--map says that loss is both 'loss' and 'atpp'"),
        ("fit --points P --form dcpt --map loss", "not of the form NAME=VALUE"),
        ("fit --fit-ptpp nan", "no finite number"),
        ("forecast --replay nan", "no finite number"),
        ("forecast --atpp inf", "no finite number"),
        ("plan --points P --flops nan", "no finite number"),
        ("plan --points P --forgetting nan", "no finite number"),
        ("plan --points P --ptpp inf", "no finite number"),
        ("plan --points P --goal limited --target-tokens 0", "0.0 is not in the range"),
    ],
)
def test_options_that_are_no_numbers(
    arguments: str, words: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(table) if word == "P" else word for word in arguments.split()]) == Exit.USAGE
    told = capsys.readouterr()
    assert words in " ".join(told.err.split())
    assert told.out == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"score_ptpp": (999.0,)}, "--score-ptpp 999: nothing was measured at that PTPP.*Measured: 5, 15, 45"),
        ({"fit_ptpp": (-5.0,)}, "--fit-ptpp -5: nothing was measured"),
        ({"fit_ptpp": (5.0, float("nan"))}, "--fit-ptpp nan: nothing was measured"),
        ({"fit_ptpp": (5.0, 15.0), "score_ptpp": (15.0,)}, "P = 15 is to be both fitted and held out"),
        ({"anchors": 5000}, "5000 anchors of 9 held-out points would leave none to score"),
        ({"fit_ptpp": (5.0, 15.0, 45.0), "anchors": 2}, "nothing is held out"),
        ({"anchors": -3}, "anchors -3 is below 0"),
        ({"starts": 0}, "starts 0 is below 1"),
        ({"bootstrap": -1}, "bootstrap -1 is below 0"),
        ({"forms": ("dcptt",)}, "no law form 'dcptt'.*Did you mean 'dcpt'"),
    ],
)
def test_fits_of_a_workspace(voyage: Workspace, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OdysseyError, match=f"(?s){words}"):
        make_spec(voyage, "docs", None, options)


def test_what_is_asked_for_displaces_what_the_newest_fit_had(voyage: Workspace) -> None:
    def sides(**options: Any) -> tuple[Any, Any]:
        job: Any = make_spec(voyage, "docs", None, options)[0].job
        return job.fit_ptpp, job.score_ptpp

    assert sides() == ((5.0, 15.0), (45.0,))
    assert sides(score_ptpp=(15.0,)) == ((5.0,), (15.0,))
    assert sides(fit_ptpp=(5.0, 45.0)) == ((5.0, 45.0), ())


@pytest.mark.parametrize(
    ("domain", "experiment", "words"),
    [
        ("dosc", None, "'dosc'.*Domains with .*docs"),
        (None, "dmeo", "experiment 'dmeo'.*Did you mean 'demo'"),
    ],
)
def test_names_that_nothing_has(voyage: Workspace, domain: str | None, experiment: str | None, words: str) -> None:
    for ask in (
        lambda: make_spec(voyage, domain, experiment, {}),
        lambda: forecast(voyage, domain=domain, experiment=experiment),
        lambda: read_source(voyage, domain, experiment),
    ):
        with pytest.raises(OdysseyError, match=f"(?s){words}"):
            ask()


def test_a_plan_says_that_the_runs_behind_it_are_gone_and_goes_on(fitted: Workspace, tmp_path: Path) -> None:
    import shutil

    from store.database import lease

    shutil.copytree(fitted.root, tmp_path / "workspace")
    workspace = Workspace.open(tmp_path / "workspace")
    before = plan(read_source(workspace, "docs"), Asked()).answer
    assert not any("The fit is old" in warning for warning in before.warnings)
    with lease(workspace, write=True) as con:
        con.execute("DELETE FROM models WHERE starts_with(run_id, 'adapt-docs')")
    answer = plan(read_source(workspace, "docs"), Asked()).answer
    assert answer.warnings[0].startswith("The fit is old. All of its runs are deleted")
    assert answer.model.n_params == before.model.n_params
    assert (answer.target_form, answer.base_form) == (before.target_form, before.base_form)
