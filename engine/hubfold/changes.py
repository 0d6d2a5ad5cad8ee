"""The plugin API's data about changes, by the name that plugins have imported so far: see `hubfold.backend.changes`."""

from hubfold.backend.changes import (
    Kept as Kept,
)
from hubfold.backend.changes import (
    Leftover as Leftover,
)
from hubfold.backend.changes import (
    LeftoverKind as LeftoverKind,
)
from hubfold.backend.changes import (
    ModelPart as ModelPart,
)
from hubfold.backend.changes import (
    Offer as Offer,
)
from hubfold.backend.changes import (
    OfferedFile as OfferedFile,
)
from hubfold.backend.changes import (
    Place as Place,
)
from hubfold.backend.changes import (
    Removal as Removal,
)
from hubfold.backend.changes import (
    SharedPayload as SharedPayload,
)
