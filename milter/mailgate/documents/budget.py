"""How far a mail's files are looked into: the limits, what is left of them, and how a reader says what stops it.

One budget serves all files of one mail. A reader takes from it before it makes anything large.
"""

from dataclasses import dataclass

from ..model import Obstacle

_MIB = 1_048_576


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond these the rest of a file is not looked into.

    depth: files inside files. A reply that carries a zip of documents with a spreadsheet inside them is 5; clamd's
    MaxRecursion is 17, and nothing that a person packs comes near 10. files: of one mail; a zip of a whole
    commune's forms has some hundreds, clamd's MaxFiles is 10,000. octets: of all files when opened; 20 MiB of
    documents (clause 8.1b) grow some eight times. file_octets: of one file, which is held in memory, with the files
    that it is inside, under the process's 256 MB. letters: of all texts, some 2,000 pages, or two lists of
    20,000 rows. steps: elements, records and cells of all documents: two lists of 20,000 rows by 10 columns take a
    third, and all of them some seconds. ratio: what has passed `octets` and grown more often than this is a bomb, no
    large file. A ratio alone proves nothing: white pages grow a thousand times, and deflate cannot pass 1,032.
    scanned_octets: of the files that are given to the virus scanner beside the mail itself.
    """

    depth: int = 10
    files: int = 5_000
    octets: int = 256 * _MIB
    file_octets: int = 40 * _MIB
    letters: int = 8_000_000
    steps: int = 5_000_000
    ratio: int = 200
    scanned_octets: int = 64 * _MIB


class Blocked(Exception):
    """Nothing more can be seen in a file, and why; look_into makes an Uninspected of it."""

    def __init__(self, obstacle: Obstacle, detail: str) -> None:
        super().__init__(detail)
        self.obstacle = obstacle
        self.detail = detail


class Bomb(Blocked):
    """A file grows beyond all measure: a limit, and a danger too."""

    def __init__(self, detail: str) -> None:
        super().__init__(Obstacle.LIMIT, detail)


HEAD_LETTERS = 20_000
"""Letters of a text that are always read, whatever other texts took: its first pages, where marks stand."""

LONGEST_TEXT = 5_000_000
"""Letters of one text: a list of 20,000 rows by 20 columns. To fold it takes half of the process's 256 MB."""


class Budget:
    """What is left of the limits; each call that passes one raises Blocked, and says which."""

    __slots__ = ("_outer", "_taken", "depth", "files", "letters", "limits", "octets", "scanned", "steps")

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.depth = self.limits.depth
        self.files = self.limits.files
        self.octets = self.limits.octets
        self.letters = self.limits.letters
        self.scanned = self.limits.scanned_octets
        self.steps = self.limits.steps
        self._outer = self._taken = 0

    def begin(self, octets: int) -> None:
        """Begin with one file of the mail; octets: its size, which all that comes out of it is measured by."""
        self._outer, self._taken = octets, 0

    def take_file(self) -> None:
        """Count one file."""
        self.files -= 1
        if self.files < 0:
            raise Blocked(Obstacle.LIMIT, f"more than {self.limits.files} files")

    def take_octets(self, count: int) -> None:
        """Count octets that came out of a file, or out of one inside it."""
        self.octets -= count
        self._taken += count
        if self.octets < 0:
            if self._taken > self.limits.ratio * self._outer:
                raise Bomb(f"grows more than {self.limits.ratio} times")
            raise Blocked(Obstacle.LIMIT, f"more than {self.limits.octets} octets when opened")

    def take_scanned(self, count: int) -> bool:
        """Count octets for the virus scanner; tell whether they may be given to it."""
        if count > self.scanned:
            return False
        self.scanned -= count
        return True

    def take_steps(self, count: int) -> None:
        """Count elements, records or cells: what reading costs, whatever else the machine has to do."""
        self.steps -= count
        if self.steps < 0:
            raise Blocked(Obstacle.LIMIT, f"more than {self.limits.steps} elements")

    def room(self) -> int:
        """Return how many letters of the next text are read."""
        return max(HEAD_LETTERS, min(self.letters, LONGEST_TEXT))

    def take_letters(self, count: int) -> None:
        """Count letters of a text."""
        self.letters -= count
        if self.letters < 0:
            raise Blocked(Obstacle.TRUNCATED, f"more than {self.limits.letters} letters of text")
        if count > LONGEST_TEXT:
            raise Blocked(Obstacle.TRUNCATED, f"a text of more than {LONGEST_TEXT} letters")


class Growth:
    """How much came out of one file, which is a bomb by its own ratio, whatever it is inside of."""

    __slots__ = ("_budget", "_grown", "_size")

    def __init__(self, size: int, budget: Budget) -> None:
        self._size = max(size, 1)
        self._budget = budget
        self._grown = 0

    def take(self, count: int) -> None:
        """Count octets that came out."""
        self._grown += count
        try:
            self._budget.take_octets(count)
        except Blocked as blocked:
            ratio = self._budget.limits.ratio
            if self._grown > ratio * self._size:
                raise Bomb(f"grows more than {ratio} times") from blocked
            raise
