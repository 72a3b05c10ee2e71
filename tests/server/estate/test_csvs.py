# SPDX-License-Identifier: Apache-2.0
"""The table that spreadsheets read and write: what comes back is what went out, and no cell of it is calculated."""

import contextlib
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import lines
from checkvalve.errors import InvalidError
from checkvalve.server.estate import csvs
from checkvalve.server.estate.csvs import CALCULATED, HEADING, LARGEST, MOST_LINES
from checkvalve.server.estate.model import Line

HEAD = ",".join(HEADING)
ROW = "Norra Water/Visby,device,PLC,640,from the drawings"
LINE = Line(2, "Norra Water/Visby", "device", "PLC", "640", "from the drawings")
TEXT = (
    st.text(st.one_of(st.sampled_from("'=+-@;,\"/ aÅ"), st.characters(codec="utf-8")), max_size=12)
    .map(lambda text: lines.tidy(text, 60))
    .filter(lines.plain)
)


@given(st.lists(st.tuples(TEXT, TEXT, st.integers(0, 1_000_000), TEXT), max_size=5))
def test_what_is_written_reads_as_what_it_was(rows: list[tuple[str, str, int, str]]) -> None:
    data = csvs.write((site, "device", name, number, note) for site, name, number, note in rows)
    read = csvs.read(data)
    assert read.wrong == ()
    came = [(one.site, one.class_name, int(one.count), one.note) for one in read.lines]
    assert came == rows


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_no_text_that_is_written_is_calculated(rows: list[tuple[str, str]]) -> None:
    data = csvs.write((site, "device", name, 1, "") for site, name in rows).decode("utf-8-sig")
    for cells in csv.reader(io.StringIO(data, newline="")):
        assert not any(cell.startswith(CALCULATED) for cell in cells)


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for whole in (data, f"{HEAD}\n".encode() + data):
        with contextlib.suppress(InvalidError):
            csvs.read(whole)


@pytest.mark.parametrize(
    "data",
    [
        f"{HEAD}\n{ROW}\n",
        f"\ufeff{HEAD}\r\n{ROW}\r\n",
        f"{HEAD}\r{ROW}",
        f"{HEAD}\n{ROW}\n".replace(",", ";"),
        f"{HEAD.upper()},,\n{ROW},,\n,,,,\n\n",
        f'"site","kind","class","number","note"\n{ROW}',
    ],
)
def test_spreadsheets_of_all_kinds_are_read_alike(data: str) -> None:
    assert csvs.read(data.encode()).lines == (LINE,)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "estate.file_heading"),
        (b"place,kind,class,number,note\n", "estate.file_heading"),
        (ROW.encode(), "estate.file_heading"),
        (f"{HEAD}\nMalm\u00f6,device,PLC,1,".encode("latin-1"), "estate.file_text"),
        (HEAD.encode("utf-16"), "estate.file_text"),
        (f"{HEAD}\nA,device,P\0C,1,".encode(), "estate.file_text"),
        (f'{HEAD}\n{ROW}\nA,device,"PLC,1,\n{ROW}'.encode(), "estate.file_quotes"),
        (f'{HEAD}\nA,device,"P"LC,1,'.encode(), "estate.file_quotes"),
        (f"{HEAD}\n".encode() + b"x" * LARGEST, "estate.file_size"),
        ("\n".join([HEAD, *["A,device,PLC,1,"] * (MOST_LINES + 1)]).encode(), "estate.file_lines"),
    ],
)
def test_what_is_no_such_table_is_refused_with_what_to_do(data: bytes, code: str) -> None:
    with pytest.raises(InvalidError) as refused:
        csvs.read(data)
    assert refused.value.code == code
    assert refused.value.remedy


def test_a_broken_quotation_mark_is_told_with_its_line() -> None:
    with pytest.raises(InvalidError, match="Line 3"):
        csvs.read(f'{HEAD}\n{ROW}\nA,device,"PLC,1,\n{ROW}\n{ROW}'.encode())


def test_a_file_may_have_ten_thousand_lines() -> None:
    data = "\n".join([HEAD, *["A,device,PLC,1,"] * MOST_LINES]).encode()
    assert len(csvs.read(data).lines) == MOST_LINES


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1"])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_cell_that_would_be_calculated_is_refused_and_a_guarded_one_taken_back(cell: str, place: int) -> None:
    cells = ["A", "device", "PLC", "1", ""]
    out = io.StringIO()
    cells[place] = cell
    csv.writer(out).writerow(cells)
    read = csvs.read(f"{HEAD}\n{out.getvalue()}".encode())
    assert [one.number for one in read.wrong] == [2]
    assert "would calculate" in read.wrong[0].reason
    cells[place] = f"'{cell.strip()}"
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    (line,) = csvs.read(f"{HEAD}\n{out.getvalue()}".encode()).lines
    assert cell.strip() in {line.site, line.class_name, line.note}
