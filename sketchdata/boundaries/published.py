"""What others published of detectors on the 200 test photos of BSDS500, to be put beside what is measured here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Published:
    """Figures of a paper; None where it gives none."""

    name: str
    ods: float
    ois: float | None = None
    ap: float | None = None
    source: str


#: Of the people who drew, each against the others.
HUMAN = Published(name="people", ods=0.803, ois=0.803, source="Arbeláez et al., PAMI 2011, as in HED's table 4")
#: By detector, and for those with several files of weights by the file's name without suffix.
PUBLISHED = {
    "canny": Published(name="Canny", ods=0.60, ois=0.63, ap=0.58, source="Arbeláez et al., PAMI 2011"),
    "structured": Published(
        name="Structured Edges", ods=0.746, ois=0.767, ap=0.803, source="Dollár and Zitnick, PAMI 2015, SE+MS+SH"
    ),
    "TIN1": Published(name="TIN1", ods=0.749, source="Wibisono and Hang, ICIP 2020"),
    "TIN2": Published(name="TIN2, three scales", ods=0.772, source="Wibisono and Hang, ICIP 2020"),
    "table5_pidinet-tiny": Published(name="PiDiNet-tiny", ods=0.789, ois=0.806, source="Su et al., ICCV 2021"),
    "table5_pidinet-tiny-l": Published(name="PiDiNet-tiny-l", ods=0.787, ois=0.804, source="Su et al., ICCV 2021"),
}
#: What the package has no detector for.
OTHERS = (Published(name="HED", ods=0.788, ois=0.808, ap=0.840, source="Xie and Tu, IJCV 2017"),)
