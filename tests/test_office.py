"""Documents as the programs of offices write them: in ordinary ones nothing is found but their text, marks in others.

They were made and kept by tests/lab/office.py, which makes a thousand more.
"""

import json
import zipfile

import pytest
from tests.lab.office import INDEX, KEPT, faults

with zipfile.ZipFile(KEPT) as _archive:
    DOCUMENTS = json.loads(_archive.read(INDEX))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_judged_rightly(name: str) -> None:
    texts, place = DOCUMENTS[name]
    with zipfile.ZipFile(KEPT) as archive:
        assert faults(archive.read(name), name, texts, place) == []
