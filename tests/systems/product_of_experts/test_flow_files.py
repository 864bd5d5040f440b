"""Files of flow: the bytes of the published format, and what is refused."""

import struct

import cv2
import numpy as np
import pytest

from assay.errors import DataError
from assay.systems.product_of_experts.flow_files import read_flo, write_flo

FLOW = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
HEADER = b"PIEH" + struct.pack("<ii", 5, 3)


def test_the_bytes_are_those_of_the_format(tmp_path):
    path = tmp_path / "a.flo"

    write_flo(path, np.arange(12.0).reshape(2, 3, 2))

    assert path.read_bytes() == struct.pack("<fii12f", 202021.25, 3, 2, *range(12))


def test_another_library_reads_and_writes_the_same(tmp_path):
    ours, theirs = tmp_path / "ours.flo", tmp_path / "theirs.flo"

    write_flo(ours, FLOW)
    cv2.writeOpticalFlow(str(theirs), FLOW)

    assert np.array_equal(cv2.readOpticalFlow(str(ours)), FLOW)
    assert np.array_equal(read_flo(theirs), FLOW)
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_flow_that_is_not_known_is_read_as_it_stands(tmp_path):
    path = tmp_path / "a.flo"
    path.write_bytes(b"PIEH" + struct.pack("<ii2f", 1, 1, 1e10, 1e10))

    assert (read_flo(path) > 1e9).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes; expected a header of 12"),
        (b"PIEH\1\0\0", "7 bytes; expected a header of 12"),
        (struct.pack(">fii", 202021.25, 5, 3) + bytes(120), "begins with .*; expected 202021.25"),
        (struct.pack("<fii", 202020, 5, 3) + bytes(120), "begins with 202020; expected 202021.25"),
        (struct.pack("<fii", 202022, 5, 3) + bytes(120), "begins with 202022; expected 202021.25"),
        (b"PIEH" + struct.pack("<ii", 0, 3), "a flow of 0 x 3; expected sides from 1"),
        (b"PIEH" + struct.pack("<ii", 5, -3), "a flow of 5 x -3; expected sides from 1"),
        (b"PIEH" + struct.pack("<ii", 100_000, 1), "a flow of 100000 x 1; expected sides from 1"),
        (HEADER + bytes(119), "131 bytes; expected 132 for a flow of 5 x 3"),
        (HEADER + bytes(124), "136 bytes; expected 132 for a flow of 5 x 3"),
    ],
)
def test_a_file_that_is_no_whole_flow_is_refused(tmp_path, data, message):
    path = tmp_path / "a.flo"
    path.write_bytes(data)

    with pytest.raises(DataError, match=f"^{path}: {message}") as found:
        read_flo(path)
    assert "\n" not in str(found.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.flo: cannot be read"):
        read_flo(tmp_path / "none.flo")


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3), (0, 5, 2)])
def test_what_is_no_flow_is_not_written(tmp_path, shape):
    path = tmp_path / "a.flo"

    with pytest.raises(DataError, match="expected height, width and 2"):
        write_flo(path, np.zeros(shape))
    assert not path.exists()
