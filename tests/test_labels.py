"""The advertising label: vectors, each fault by its name, and what is no label."""

import json
from pathlib import Path
from typing import Any

import pytest

from mailgate.mime.fields import decode_words
from mailgate.text.labels import Fault, Label, Standing, label_of

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
OK, NEAR, WRONG = Standing.OK, Standing.NEAR, Standing.MISPLACED_OR_WRONG


@pytest.mark.parametrize("vector", VECTORS["ad_label"], ids=lambda vector: vector["subject"])
def test_vectors(vector: dict[str, str]) -> None:
    assert label_of(decode_words(vector["subject"].encode())).standing == vector["expect"]


@pytest.mark.parametrize(
    ("subject", "standing", "fault"),
    [
        ("[AD] Sale", OK, Fault.NO_FAULT),
        ("[QC]Giảm giá", OK, Fault.NO_FAULT),
        ("[SPAM] [QC] Giảm giá", OK, Fault.NO_FAULT),
        ("*****SPAM***** [AD] Sale", OK, Fault.NO_FAULT),
        ("［ＱＣ］ Ưu đãi", OK, Fault.FULL_WIDTH),
        ("[QС] Ưu đãi", NEAR, Fault.LOOK_ALIKES),  # Cyrillic С
        ("[Q\u200bC] Ưu đãi", NEAR, Fault.LOOK_ALIKES),
        ("[qc] ưu đãi", NEAR, Fault.CASE),
        ("[Ad] sale", NEAR, Fault.CASE),
        ("[ QC ] ưu đãi", NEAR, Fault.SPACES),
        ("[Q.C] ưu đãi", NEAR, Fault.SPACES),
        ("[Q C] ưu đãi", NEAR, Fault.SPACES),
        ("[QC:] ưu đãi", NEAR, Fault.SPACES),
        ("[QC ưu đãi", NEAR, Fault.BRACKET_MISSING),
        ("QC] ưu đãi", NEAR, Fault.BRACKET_MISSING),
        ("[ADV] Sale off", WRONG, Fault.REPEALED),
        ("(adv) Sale off", WRONG, Fault.REPEALED),
        ("ADV: Sale off", WRONG, Fault.REPEALED),
        ("(QC) Giảm giá", WRONG, Fault.OTHER_BRACKETS),
        ("【QC】 Giảm giá", WRONG, Fault.OTHER_BRACKETS),
        ("QC: Giảm giá", WRONG, Fault.OTHER_BRACKETS),
        ("AD - Sale", WRONG, Fault.OTHER_BRACKETS),
        ("[Quảng cáo] Giảm giá", WRONG, Fault.WORDS),
        ("[QUANG CAO] Giam gia", WRONG, Fault.WORDS),
        ("Re: [QC] Giảm giá", WRONG, Fault.REPLY),
        ("Fwd: TL: [QC] Giảm giá", WRONG, Fault.REPLY),
        ("Giảm giá [QC]", WRONG, Fault.NOT_FIRST),
    ],
)
def test_faults_have_names(subject: str, standing: Standing, fault: Fault) -> None:
    assert label_of(subject) == Label(standing, fault)


@pytest.mark.parametrize(
    "subject",
    [
        *(
            "",
            "QC",
            "AD",
            "[]",
            "QCVN 01:2021/BTNMT: góp ý",
            "[QCVN 01:2021] Góp ý",
            "[QC/TT-2024] Thông tư",
            "[AD-2023]",
        ),
        *("[ADB] dự án vay vốn", "[QCKT] dự thảo", "ADSL: cước tháng 5", "Kế hoạch ADV-3", "Adverse event: báo cáo"),
        *("Lấy ý kiến quy chế (QC) làm việc", "Phòng QC - KCS họp", "Address: thay đổi", "Tin: [QUÁ HẠN] báo cáo"),
        *("Báo cáo quảng cáo ngoài trời", "Quảng cáo: kết quả thanh tra", "[Q] hỏi đáp", "Re: QC mẫu nước tháng 3"),
        *("[QC-KCS] báo cáo", "[QC.01] biểu mẫu", "[AD2] họp"),
    ],
)
def test_no_label(subject: str) -> None:
    assert label_of(subject) == Label(Standing.NONE)
