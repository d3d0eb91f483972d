"""IAM, composed of its nouns."""

from __future__ import annotations

from casemate.core.operation import Operation, operations_of
from casemate.seal.token import Tokens
from casemate.services.iam.attachments import Attachments
from casemate.services.iam.boundaries import Boundaries
from casemate.services.iam.directory import Directory
from casemate.services.iam.inline import Inline
from casemate.services.iam.keys import AccessKeys, Keys
from casemate.services.iam.names import Entropy
from casemate.services.iam.pages import Pages
from casemate.services.iam.policies import Policies
from casemate.services.iam.role_tags import RoleTags
from casemate.services.iam.roles import Roles
from casemate.services.iam.simulate import Simulation
from casemate.services.iam.store import Ledger
from casemate.services.iam.targets import Located
from casemate.services.iam.users import Users
from casemate.services.iam.versions import Versions
from casemate.substrate.ports import Records


class Iam:
    """The service: its operations, bound to what is in the records."""

    name = "iam"

    def __init__(
        self,
        *,
        records: Records,
        tokens: Tokens,
        keys: Keys,
        entropy: Entropy,
        directory: Directory,
    ) -> None:
        """Compose.  entropy: gives unguessable bytes."""
        ledger, pages = Ledger(records), Pages(tokens)
        nouns = (
            Users(ledger, pages, entropy),
            AccessKeys(ledger, pages, keys),
            Roles(ledger, pages, entropy),
            RoleTags(ledger, pages),
            Inline(ledger, pages),
            Policies(ledger, pages, entropy),
            Versions(ledger, pages),
            Attachments(ledger, pages),
            Boundaries(ledger),
            Simulation(ledger.reader, directory, pages),
        )
        located = Located(ledger.reader)
        self.operations: tuple[Operation, ...] = tuple(
            located.bind(declared) for declared in operations_of(self.name, *nouns)
        )
