//! Two ends of a pipe prove who they are: Noise XX, then delegations (spec: CRYPTO-5).
//!
//! One struct per state, consumed by what arrives. The pipe cuts the bytes into units: the preamble's line, Noise
//! messages, and, once Noise is done, lines. Two sequences, in round trips from the open pipe (spec: HS-3):
//!
//! | | the dialler knows the device | it does not |
//! |---|---|---|
//! | 0.5 | → preamble, e | → preamble, e |
//! | 1.0 | ← preamble, e, ee, s, es | ← the same |
//! | 1.5 | → s, se, {want, hello}: *both up* | → s, se, {want} |
//! | 2.0 | ← hello | ← hello |
//! | 2.5 | | → hello: *both up* |

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::LinkPeer;
use crate::close::CloseReason;
use crate::config::Config;
use crate::crypto::noise::{Handshake as Noise, KeyPair, NoiseError, Opener, Sealer};
use crate::crypto::{Crypto, sha256};
use crate::id::{AppId, BootId, NodeKey, UserId};
use crate::identity::{Credentials, Delegation, DelegationCache, Refusal, RevocationBook};
use crate::rng::Rng;
use crate::time::WallTime;
use crate::wire::line::{CloseLine, Hello};

/// The first bytes of a pipe, up to and with the newline: version and kind (spec: HS-1).
pub(crate) const PREAMBLE_USER: &[u8] = b"overcom/1 user\n";
pub(crate) const PREAMBLE_SERVICE: &[u8] = b"overcom/1 service\n";
/// What a listener of another version answers (spec: HS-2).
pub(crate) const PREAMBLE_VERSION: &[u8] = b"overcom/1 version\n";
/// No preamble is longer.
pub(crate) const PREAMBLE_BYTES_MAX: usize = 32;

/// Which kind of link a pipe is to become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Between devices of users of one app.
    User,
    /// Between installations.
    Service,
}

impl Kind {
    pub(crate) const fn preamble(self) -> &'static [u8] {
        match self {
            Self::User => PREAMBLE_USER,
            Self::Service => PREAMBLE_SERVICE,
        }
    }
}

/// Whom a dialler wants to meet.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Want {
    /// A device of this user; those that are known already.
    User { user: UserId, known: Vec<Delegation> },
    /// An installation, with this key if it is given.
    Service { key: Option<NodeKey> },
}

/// What both ends need of this node.
pub(crate) struct Own {
    pub(crate) credentials: Credentials,
    pub(crate) user_keys: KeyPair,
    pub(crate) node_keys: KeyPair,
    pub(crate) boot: BootId,
    pub(crate) delegations: DelegationCache,
    pub(crate) revocations: RevocationBook,
}

/// What every step is handed.
pub(crate) struct Hx<'a> {
    pub(crate) own: &'a mut Own,
    pub(crate) config: &'a Config,
    pub(crate) wall: WallTime,
    /// Bytes to write, in the clear or Noise messages with their length in front.
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) checked: &'a mut u64,
}

/// One unit of what arrived.
pub(crate) enum Unit<'a> {
    Preamble(&'a [u8]),
    Noise(&'a [u8]),
    Hello(Box<Hello>),
}

/// Where a handshake stands after a step.
pub(crate) enum Next {
    /// The next unit decides.
    Wait(State),
    /// From here on everything is sealed; lines decide (`say`: this side shows itself now).
    Sealed { state: State, sealed: Sealed, say_hello: bool },
    /// The other end is refused and can be told why under seal.
    Refused { reason: CloseReason, sealed: Sealed },
    /// The other end is proven. `sealed` is there unless it was given before; `say_hello` as above.
    Proven { proven: Box<Proven>, sealed: Option<Sealed>, say_hello: bool },
}

/// Both directions' keys and the handshake's final hash, to which later proofs are bound.
pub(crate) struct Sealed {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

/// A proven other end.
pub(crate) struct Proven {
    pub(crate) with: LinkPeer,
    pub(crate) delegation: Option<Delegation>,
    /// Its life; `None`: its hello is still on the way.
    pub(crate) boot: Option<BootId>,
    pub(crate) time: Option<WallTime>,
}

/// A handshake in progress.
pub(crate) enum State {
    DialAnswer(DialAnswer),
    DialProof(DialProof),
    ListenStart(ListenStart),
    ListenFirst(ListenFirst),
    ListenThird(ListenThird),
    ListenProof(ListenProof),
}

impl State {
    /// Starts as the dialler: writes the preamble and Noise's first message.
    pub(crate) fn dial(want: Want, rng: Rng, hx: &mut Hx<'_>) -> Result<Self, CloseReason> {
        let kind = want.kind();
        let mut noise = Noise::dial(hx.config.crypto, &prologue(kind, &hx.config.crypto), hx.own.keys(kind), rng);
        hx.out.extend_from_slice(kind.preamble());
        write_noise(&mut noise, &[], hx.out)?;
        Ok(Self::DialAnswer(DialAnswer { noise, want, greeted: false }))
    }

    /// Starts as the listener: waits.
    pub(crate) const fn listen(rng: Rng) -> Self {
        Self::ListenStart(ListenStart { rng })
    }

    /// Whether the next unit is the preamble's line.
    pub(crate) const fn wants_preamble(&self) -> bool {
        matches!(self, Self::ListenStart(_) | Self::DialAnswer(DialAnswer { greeted: false, .. }))
    }

    /// Takes the next unit in.
    pub(crate) fn handle(self, unit: Unit<'_>, hx: &mut Hx<'_>) -> Result<Next, CloseReason> {
        match (self, unit) {
            (Self::ListenStart(state), Unit::Preamble(line)) => state.on_preamble(line, hx),
            (Self::ListenFirst(state), Unit::Noise(message)) => state.on_first(message, hx),
            (Self::ListenThird(state), Unit::Noise(message)) => state.on_third(message, hx),
            (Self::ListenProof(state), Unit::Hello(hello)) => state.on_hello(*hello, hx),
            (Self::DialAnswer(state), Unit::Preamble(line)) => state.on_preamble(line),
            (Self::DialAnswer(state), Unit::Noise(message)) => state.on_second(message, hx),
            (Self::DialProof(state), Unit::Hello(hello)) => state.on_hello(*hello, hx),
            _ => Err(CloseReason::NotAllowed),
        }
    }
}

impl Want {
    const fn kind(&self) -> Kind {
        match self {
            Self::User { .. } => Kind::User,
            Self::Service { .. } => Kind::Service,
        }
    }
}

impl Own {
    const fn keys(&self, kind: Kind) -> &KeyPair {
        match kind {
            Kind::User => &self.user_keys,
            Kind::Service => &self.node_keys,
        }
    }

    pub(crate) fn app(&self) -> &AppId {
        self.credentials.delegation().app()
    }

    /// What this side says of itself.
    pub(crate) fn hello(&self, kind: Kind, wall: WallTime) -> Hello {
        let delegation = match kind {
            Kind::User => Some(self.credentials.delegation().clone()),
            Kind::Service => None,
        };
        Hello { delegation, boot: self.boot, time: wall }
    }

    /// Whether `delegation` proves a device of this app, other than this one (spec: HS-6). The reasons come in this order.
    pub(crate) fn check(&mut self, delegation: &Delegation, config: &Config, wall: WallTime, checked: &mut u64) -> Result<(), CloseReason> {
        if delegation.app() != self.app() {
            return Err(CloseReason::App);
        }
        if delegation.peer() == self.credentials.delegation().peer() {
            return Err(CloseReason::Oneself);
        }
        delegation.check_window(wall).map_err(|why| match why {
            Refusal::Expired => CloseReason::Expired,
            Refusal::NotYet => CloseReason::NotYet,
        })?;
        self.delegations.check(&config.crypto, delegation, checked).map_err(|_| CloseReason::Delegation)?;
        if self.revocations.is_revoked(delegation) { Err(CloseReason::Revoked) } else { Ok(()) }
    }
}

/// What the dialler seals into Noise's third message (spec: HS-5).
#[derive(Serialize, Deserialize, Default)]
struct Third {
    /// Whom it wants: H(label ‖ user ‖ h), 16 bytes, h being Noise's hash after the second message (spec: HS-4).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    want: Option<WantTag>,
    /// Who it is, if it knows already that it speaks with the right one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    hello: Option<Hello>,
    /// It goes at once, and why (spec: HS-8).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    close: Option<CloseLine>,
}

#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct WantTag(#[serde(serialize_with = "serialize_tag", deserialize_with = "crate::id::deserialize_base64")] [u8; 16]);

fn serialize_tag<S: serde::Serializer>(tag: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
    crate::id::serialize_base64(tag, serializer)
}

impl WantTag {
    fn of(user: &UserId, hash: &[u8; 32]) -> Self {
        let whole = sha256(&[b"overcom/1 want\0", user.as_bytes(), hash]);
        let mut tag = [0; 16];
        tag.iter_mut().zip(whole).for_each(|(slot, byte)| *slot = byte);
        Self(tag)
    }
}

fn prologue(kind: Kind, crypto: &Crypto) -> Vec<u8> {
    let mut prologue = kind.preamble().to_vec();
    prologue.extend_from_slice(crypto.name().as_bytes());
    prologue
}

fn write_noise(noise: &mut Noise, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CloseReason> {
    let message = noise.write(payload).map_err(of_noise)?;
    let length = u16::try_from(message.len()).map_err(|_| CloseReason::Malformed)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&message);
    Ok(())
}

fn write_third(noise: &mut Noise, third: &Third, out: &mut Vec<u8>) -> Result<(), CloseReason> {
    let payload = serde_json::to_vec(third).map_err(|_| CloseReason::Malformed)?;
    write_noise(noise, &payload, out)
}

const fn of_noise(_: NoiseError) -> CloseReason {
    CloseReason::Crypto
}

fn finish(noise: Noise) -> Result<Sealed, CloseReason> {
    let (sealer, opener, _) = noise.finish().map_err(of_noise)?;
    Ok(Sealed { sealer, opener })
}

/// Checks a preamble's version; the kind is what follows it.
fn split_preamble(line: &[u8]) -> Result<&[u8], CloseReason> {
    let rest = line.strip_prefix(b"overcom/").ok_or(CloseReason::Preamble)?;
    rest.strip_prefix(b"1 ").ok_or(CloseReason::Version)
}

/// The dialler has sent its first message.
pub(crate) struct DialAnswer {
    noise: Noise,
    want: Want,
    greeted: bool,
}

impl DialAnswer {
    fn on_preamble(mut self, line: &[u8]) -> Result<Next, CloseReason> {
        let kind = split_preamble(line)?;
        if kind == b"version\n" {
            return Err(CloseReason::Version);
        }
        if line != self.want.kind().preamble() {
            return Err(CloseReason::Preamble);
        }
        self.greeted = true;
        Ok(Next::Wait(State::DialAnswer(self)))
    }

    fn on_second(mut self, message: &[u8], hx: &mut Hx<'_>) -> Result<Next, CloseReason> {
        self.noise.read(message).map_err(of_noise)?;
        let theirs = self.noise.remote_static().ok_or(CloseReason::Crypto)?;
        let hash = self.noise.hash();
        match self.want {
            Want::Service { key } => Self::on_service(self.noise, key, NodeKey::from_bytes(theirs), hx),
            Want::User { user, known } => {
                let want = Some(WantTag::of(&user, &hash));
                // The delegation that names this very key: no round trip is needed to know who answers.
                let proof = known.into_iter().find(|d| *d.noise() == theirs && hx.own.check(d, hx.config, hx.wall, hx.checked).is_ok());
                match proof {
                    Some(delegation) => {
                        let hello = Some(hx.own.hello(Kind::User, hx.wall));
                        write_third(&mut self.noise, &Third { want, hello, close: None }, hx.out)?;
                        let proven =
                            Proven { with: LinkPeer::User(delegation.peer()), delegation: Some(delegation), boot: None, time: None };
                        Ok(Next::Proven { proven: Box::new(proven), sealed: Some(finish(self.noise)?), say_hello: false })
                    }
                    None => {
                        write_third(&mut self.noise, &Third { want, ..Third::default() }, hx.out)?;
                        let state = State::DialProof(DialProof { user, theirs });
                        Ok(Next::Sealed { state, sealed: finish(self.noise)?, say_hello: false })
                    }
                }
            }
        }
    }

    /// An installation has answered: whether it is the one that was dialled (spec: HS-9).
    fn on_service(mut noise: Noise, wanted: Option<NodeKey>, found: NodeKey, hx: &mut Hx<'_>) -> Result<Next, CloseReason> {
        let refuse = if wanted.is_some_and(|key| key != found) {
            Some(CloseReason::WrongKey)
        } else if found.as_bytes() == hx.own.node_keys.public() {
            Some(CloseReason::Oneself)
        } else {
            None
        };
        if let Some(reason) = refuse {
            let close = Some(CloseLine { status: reason.status(), reason });
            write_third(&mut noise, &Third { close, ..Third::default() }, hx.out)?;
            return Err(reason);
        }
        let hello = Some(hx.own.hello(Kind::Service, hx.wall));
        write_third(&mut noise, &Third { hello, ..Third::default() }, hx.out)?;
        let proven = Proven { with: LinkPeer::Service(found), delegation: None, boot: None, time: None };
        Ok(Next::Proven { proven: Box::new(proven), sealed: Some(finish(noise)?), say_hello: false })
    }
}

/// The dialler waits for a responder that it does not know to show itself (spec: HS-7).
pub(crate) struct DialProof {
    user: UserId,
    theirs: [u8; 32],
}

impl DialProof {
    fn on_hello(self, hello: Hello, hx: &mut Hx<'_>) -> Result<Next, CloseReason> {
        let proven = prove(hello, &self.theirs, Some(self.user), hx)?;
        Ok(Next::Proven { proven, sealed: None, say_hello: true })
    }
}

/// A pipe was opened by somebody.
pub(crate) struct ListenStart {
    rng: Rng,
}

impl ListenStart {
    fn on_preamble(self, line: &[u8], hx: &mut Hx<'_>) -> Result<Next, CloseReason> {
        let kind = match split_preamble(line) {
            Ok(b"user\n") => Kind::User,
            Ok(b"service\n") => Kind::Service,
            Ok(_) => return Err(CloseReason::Preamble),
            Err(reason) => {
                if reason == CloseReason::Version {
                    hx.out.extend_from_slice(PREAMBLE_VERSION);
                }
                return Err(reason);
            }
        };
        Ok(Next::Wait(State::ListenFirst(ListenFirst { kind, rng: self.rng })))
    }
}

/// The listener knows which kind of link is wanted.
pub(crate) struct ListenFirst {
    kind: Kind,
    rng: Rng,
}

impl ListenFirst {
    fn on_first(self, message: &[u8], hx: &mut Hx<'_>) -> Result<Next, CloseReason> {
        let mut noise = Noise::listen(hx.config.crypto, &prologue(self.kind, &hx.config.crypto), hx.own.keys(self.kind), self.rng);
        noise.read(message).map_err(of_noise)?;
        hx.out.extend_from_slice(self.kind.preamble());
        // The second message shows no identity (spec: HS-5).
        write_noise(&mut noise, &[], hx.out)?;
        Ok(Next::Wait(State::ListenThird(ListenThird { kind: self.kind, noise })))
    }
}

/// The listener has answered.
pub(crate) struct ListenThird {
    kind: Kind,
    noise: Noise,
}

impl ListenThird {
    fn on_third(mut self, message: &[u8], hx: &mut Hx<'_>) -> Result<Next, CloseReason> {
        let hash = self.noise.hash();
        let payload = self.noise.read(message).map_err(of_noise)?;
        let theirs = self.noise.remote_static().ok_or(CloseReason::Crypto)?;
        let third: Third = serde_json::from_slice(&payload).map_err(|_| CloseReason::Malformed)?;
        let sealed = finish(self.noise)?;
        if let Some(close) = third.close {
            return Err(close.reason);
        }
        let result = match self.kind {
            Kind::User => Self::on_user(third, theirs, &hash, hx),
            Kind::Service => Self::on_service(third, theirs, hx),
        };
        match result {
            Ok(Some(proven)) => Ok(Next::Proven { proven, sealed: Some(sealed), say_hello: true }),
            Ok(None) => Ok(Next::Sealed { state: State::ListenProof(ListenProof { theirs }), sealed, say_hello: true }),
            // The keys are there, so the other end is told why under seal (spec: HS-8).
            Err(reason) => Ok(Next::Refused { reason, sealed }),
        }
    }

    fn on_user(third: Third, theirs: [u8; 32], hash: &[u8; 32], hx: &mut Hx<'_>) -> Result<Option<Box<Proven>>, CloseReason> {
        let me = hx.own.credentials.delegation().user();
        if third.want != Some(WantTag::of(&me, hash)) {
            return Err(CloseReason::WrongPeer);
        }
        third.hello.map(|hello| prove(hello, &theirs, None, hx)).transpose()
    }

    fn on_service(third: Third, theirs: [u8; 32], hx: &Hx<'_>) -> Result<Option<Box<Proven>>, CloseReason> {
        let hello = third.hello.ok_or(CloseReason::Malformed)?;
        if theirs == *hx.own.node_keys.public() {
            return Err(CloseReason::Oneself);
        }
        let with = LinkPeer::Service(NodeKey::from_bytes(theirs));
        Ok(Some(Box::new(Proven { with, delegation: None, boot: Some(hello.boot), time: Some(hello.time) })))
    }
}

/// The listener has shown itself and waits for the dialler to do so.
pub(crate) struct ListenProof {
    theirs: [u8; 32],
}

impl ListenProof {
    fn on_hello(self, hello: Hello, hx: &mut Hx<'_>) -> Result<Next, CloseReason> {
        let proven = prove(hello, &self.theirs, None, hx)?;
        Ok(Next::Proven { proven, sealed: None, say_hello: false })
    }
}

/// Checks a hello of a user link against the Noise key that the other end has used.
fn prove(hello: Hello, theirs: &[u8; 32], wanted: Option<UserId>, hx: &mut Hx<'_>) -> Result<Box<Proven>, CloseReason> {
    let delegation = hello.delegation.ok_or(CloseReason::Malformed)?;
    if wanted.is_some_and(|user| user != delegation.user()) {
        return Err(CloseReason::WrongPeer);
    }
    if delegation.noise() != theirs {
        return Err(CloseReason::Delegation);
    }
    hx.own.check(&delegation, hx.config, hx.wall, hx.checked)?;
    let with = LinkPeer::User(delegation.peer());
    Ok(Box::new(Proven { with, delegation: Some(delegation), boot: Some(hello.boot), time: Some(hello.time) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{array_from_base64, to_base64};

    // spec-test: HS-4
    #[test]
    fn a_wanted_user_is_named_as_the_committed_vector_says() {
        #[derive(Deserialize)]
        struct Vector<'a> {
            user: &'a str,
            hash: &'a str,
            want: &'a str,
        }
        let vector: Vector<'_> = serde_json::from_str(include_str!("../../vectors/want.json")).unwrap();
        let (user, hash) = (vector.user.parse().unwrap(), array_from_base64(vector.hash).unwrap());
        assert_eq!(to_base64(&WantTag::of(&user, &hash).0), vector.want);
    }
}
