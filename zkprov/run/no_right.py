"""What to do where zkprov has not the right to change an ensemble."""

from __future__ import annotations

from zkprov.model.inventory import SUPER_PASSWORD
from zkprov.observe.credentials import credential_of
from zkprov.run.world import World


def rights_remedy(refused: str, world: World) -> str:
    """The sentence for what ZooKeeper said, `refused`."""
    if "reconfigEnabled" in refused:
        return "zkprov adopt: sets reconfigEnabled on every member and restarts them, the leader last"
    host = world.inventory.hosts[0]
    if "right" in refused and host.client_sasl and host.sasl_super and not host.super_dn:
        return (
            f"every member's zoo.cfg must have superUser={host.sasl_user}; or let the super user's digest do it: zkprov_sasl_super: false, "
            "and zkprov_super_password or zkprov_auth_file"
        )
    if "right" in refused and world.tls:
        # the servers compare it letter by letter with what Java makes of the certificate's subject
        return (
            "zkprov_super_dn must be the subject of zkprov_cert_file (openssl x509 -noout -subject -nameopt RFC2253) on every member; "
            "or do without it, and name a credential with zkprov_auth_file"
        )
    if "right" in refused and credential_of(world.inventory) is not None:
        return (
            f"the password that was given (${SUPER_PASSWORD}, zkprov_auth_file, zkprov_super_password, the first of them) is not the super "
            "user's there: its digest is DigestAuthenticationProvider.superDigest of the members, in zoo.cfg or by -Dzookeeper. on their "
            "command line"
        )
    if "right" in refused or "auth" in refused:
        return f"give the super user's password: ${SUPER_PASSWORD}, or zkprov_super_password (vaulted) or zkprov_auth_file in the inventory"
    return "zkprov status"
