"""A small screening station: scans come in, a recogniser looks at them, reports go out, an operator decides.

    C-STORE ------\\                        (one transaction)          (one transaction)
    watched folder +-> scans/, on disk --> scan + job recognise --> report + jobs deliver, picture --> sent, drawn
    HTTP POST ----/        acknowledged --^        |                        |            |
                                                   v                        v            v
                                       recogniser's process       report's destination  clerk's process
                                       (deadline; a report with   (again and again,     (pictures, reports of
                                       the abort flag if it       with longer pauses)   operators, aborts)
                                       raises, hangs or dies)

A scan is acknowledged once its file and its row in the index are on disk. From then on a job in the index stands for
each step that is not done; a step that is done twice, because a process was killed between its work and its record,
does no harm. Volumes stay in the file: the recogniser's process maps it into memory.

`folder` has the files, `index` the tables, `intake` the three ways in, `station` the jobs, `helper` and `child` the
processes, `delivery` the way out, `web` the page, `uploads` its limits. A recogniser is a function of a `Scan`
(`scan`).
"""

from .folder import FolderInUse
from .helper import HelperError
from .scan import CannotRecognise, Recogniser, Scan, Threat
from .station import NotDecided, Settings, Station

__all__ = [
    "CannotRecognise",
    "FolderInUse",
    "HelperError",
    "NotDecided",
    "Recogniser",
    "Scan",
    "Settings",
    "Station",
    "Threat",
]
