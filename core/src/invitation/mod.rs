//! An invitation: who invites, where to dial them, until when, and a secret that is good once. People send it as one line.

mod text;

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::address::plain_socket;
use crate::command::Address;
use crate::crypto::{is_same_proof, mac, sha256};
use crate::error::InvitationError;
use crate::id::{AppId, InvitationId, Peer, UserId};
use crate::identity::SecretText;
use crate::time::WallTime;

/// How long an invitation lasts at most: 30 days (guess: as a delegation; whoever has not come by then asks again).
pub const INVITATION_LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Addresses in an invitation, as many as a user has in the address book (spec: FIND-1).
const ADDRESSES_MAX: usize = 8;
/// What the id is a hash of begins with this (spec: INVITE-4).
const ID_LABEL: &[u8] = b"overcom/1 invitation\0";
/// What a joiner's proof begins with (spec: INVITE-6).
const PROOF_LABEL: &[u8] = b"overcom/1 join\0";

/// What a friend needs to come into somebody's address book: made by [`Command::Invite`](crate::Command::Invite), sent as
/// one line on any way, and handed to [`Command::Join`](crate::Command::Join) at the other end.
///
/// **It holds a secret**: whoever sees the line first may use it. The line is [`to_secret_text`](Self::to_secret_text), its
/// inverse is `FromStr`; there is no `Display`, so that it is not shown by mistake, and `Debug` leaves the secret out.
#[derive(Clone, PartialEq)]
pub struct Invitation {
    app: AppId,
    user: UserId,
    addresses: Vec<Address>,
    until_secs: u64,
    secret: InvitationSecret,
}

/// The 16 random bytes that are proven and never said (spec: INVITE-6).
#[derive(Clone, PartialEq, Zeroize, ZeroizeOnDrop)]
pub(crate) struct InvitationSecret([u8; 16]);

impl InvitationSecret {
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// For the store and for the line.
    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// What the invitation is known by: a hash of the secret.
    pub(crate) fn id(&self) -> InvitationId {
        let hash = sha256(&[ID_LABEL, &self.0]);
        InvitationId::from_bytes(hash.first_chunk().copied().unwrap_or_default())
    }

    /// That `joiner` has the secret, on the link of this name and on no other (spec: INVITE-6).
    pub(crate) fn proof(&self, link: &[u8; 32], joiner: Peer) -> [u8; 32] {
        mac(&self.0, &[PROOF_LABEL, link, joiner.user.as_bytes(), joiner.device.as_bytes()])
    }

    /// Whether `proof` is what [`proof`](Self::proof) gives, compared in constant time.
    pub(crate) fn is_proven(&self, proof: &[u8; 32], link: &[u8; 32], joiner: Peer) -> bool {
        is_same_proof(proof, &self.proof(link, joiner))
    }
}

impl fmt::Debug for InvitationSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationSecret(..)")
    }
}

impl Invitation {
    /// From its parts; the end is a whole second.
    pub(crate) fn new(
        app: AppId,
        user: UserId,
        addresses: &[Address],
        until: WallTime,
        secret: InvitationSecret,
    ) -> Result<Self, InvitationError> {
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX || Address::check(addresses).is_err() {
            return Err(InvitationError::Content);
        }
        let invitation =
            Self { app, user, addresses: addresses.iter().map(plain).collect(), until_secs: until.as_millis().div_ceil(1_000), secret };
        if text::fits(&invitation) { Ok(invitation) } else { Err(InvitationError::TooLong) }
    }

    /// The line: one word of about 130 characters that begins with `oci1`. **Whoever has it can use it.**
    pub fn to_secret_text(&self) -> SecretText {
        SecretText::new(text::write(self))
    }

    /// What it is known by; harmless to show. One hash.
    pub fn id(&self) -> InvitationId {
        self.secret.id()
    }

    /// For which app.
    pub const fn app(&self) -> &AppId {
        &self.app
    }

    /// Who invites.
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// Where to dial them: 1 to 8, in the order to try them.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// When it ends, by the inviter's clock: a whole second.
    pub const fn until(&self) -> WallTime {
        WallTime::from_millis(self.until_secs.saturating_mul(1_000))
    }

    pub(crate) const fn secret(&self) -> &InvitationSecret {
        &self.secret
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    /// Reads the line as it comes out of a mail: white space around and inside it, and upper case, are taken. Costs at most
    /// 31 comparisons for each character when one is wrong.
    fn from_str(text: &str) -> Result<Self, InvitationError> {
        text::read(text)
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("id", &self.id())
            .field("app", &self.app)
            .field("user", &self.user)
            .field("addresses", &self.addresses)
            .field("until", &self.until())
            .finish_non_exhaustive()
    }
}

/// The line, **with its secret**: recordings hold commands whole.
impl Serialize for Invitation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.to_secret_text().as_str())
    }
}

impl<'de> Deserialize<'de> for Invitation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An address in its one form: no IPv4 in IPv6 clothes, nothing that only this machine understands.
fn plain(address: &Address) -> Address {
    match address {
        Address::Ip(socket) => Address::Ip(plain_socket(*socket)),
        Address::Name { .. } => address.clone(),
    }
}

#[cfg(test)]
mod tests;
