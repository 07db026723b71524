//! One round of writing: what became of each record at each node that it was offered to.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::targets::Answered;
use crate::dht::proof::Token;
use crate::dht::wire::{Contact, Denied, Kind, WAIT_SECS_MAX};
use crate::time::Time;

/// A set of kinds of records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const NONE: Self = Self(0);
    /// The order in which they are written: what counts by the device record comes after it (spec: DHT-143).
    const ORDER: [Kind; 3] = [Kind::Device, Kind::Address, Kind::Revocation];

    const fn bit(kind: Kind) -> u8 {
        match kind {
            Kind::Device => 1,
            Kind::Address => 2,
            Kind::Revocation => 4,
        }
    }

    pub(super) const fn has(self, kind: Kind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    #[must_use]
    pub(super) const fn with(self, kind: Kind) -> Self {
        Self(self.0 | Self::bit(kind))
    }

    #[must_use]
    pub(super) const fn without(self, kind: Kind) -> Self {
        Self(self.0 & !Self::bit(kind))
    }

    #[must_use]
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether they have none in common.
    pub(super) const fn is_apart(self, other: Self) -> bool {
        self.0 & other.0 == 0
    }

    /// The one that is written first.
    fn first(self) -> Option<Kind> {
        self.iter().next()
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Kind> {
        Self::ORDER.into_iter().filter(move |kind| self.has(*kind))
    }
}

/// The number of what is written now, by kind; `None` where there is nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Numbers {
    pub(super) device: Option<u64>,
    pub(super) address: Option<u64>,
    pub(super) revocation: Option<u64>,
}

impl Numbers {
    pub(super) const fn of(&self, kind: Kind) -> Option<u64> {
        match kind {
            Kind::Device => self.device,
            Kind::Address => self.address,
            Kind::Revocation => self.revocation,
        }
    }
}

/// What to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// Ask what is held beyond `known`, and for a token.
    Get {
        to: Contact,
        kind: Kind,
        known: u64,
    },
    Put {
        to: Contact,
        kind: Kind,
        token: Token,
        carry: bool,
    },
}

/// What a node told about a kind of record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) token: Option<Token>,
    /// The number of what it holds of this device.
    pub(super) number: Option<u64>,
    /// It has shown the very record that is written now.
    pub(super) is_ours: bool,
    /// It holds no revocation, or one older than ours.
    pub(super) lacks_revocation: bool,
}

/// What became of one kind of record at those that it was offered to, carriers aside (spec: DHT-144).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    /// Who has it now.
    pub(crate) acks: u8,
    /// How many were to have it.
    pub(crate) of: u8,
    /// Who did not take it, for whichever reason.
    pub(crate) refused: u8,
    /// Who did not answer.
    pub(crate) silent: u8,
    /// Of those that refused: who had no room.
    pub(crate) full: u8,
    /// Of those that refused: who is too far away.
    pub(crate) far: u8,
    /// Of those that refused: whose clock is another.
    pub(crate) clock: u8,
}

/// How often a node that is busy is waited for, a minute at most each (guess).
const WAITS_MAX: u8 = 3;

/// How it ended at a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Done,
    Refused(Option<Denied>),
    Silent,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// To be asked for a token.
    Ask,
    Asking(Kind),
    /// To be written to.
    Write,
    /// Which number is on its way.
    Writing(Kind, u64),
    Over(End),
}

#[derive(Debug)]
struct Target {
    contact: Contact,
    token: Option<Token>,
    /// It is to keep what it is given; who is not only carries.
    is_holder: bool,
    /// It is asked to carry.
    carries: bool,
    step: Step,
    /// Nothing is sent before: it was busy.
    after: Time,
    todo: Kinds,
    acked: Kinds,
    waits: u8,
    /// Each of these is done once only.
    has_asked_again: bool,
    has_compared: bool,
    has_put_device: bool,
}

impl Target {
    fn new(answered: Answered, is_holder: bool, todo: Kinds, must_ask: bool) -> Self {
        let token = answered.token;
        Self {
            contact: answered.contact,
            token,
            is_holder,
            carries: !is_holder,
            step: if token.is_some() && !must_ask { Step::Write } else { Step::Ask },
            after: Time::ZERO,
            todo,
            acked: Kinds::NONE,
            waits: 0,
            has_asked_again: false,
            has_compared: false,
            has_put_device: false,
        }
    }

    /// Goes on with what is left.
    fn go_on(&mut self) {
        self.step = match (self.todo.is_empty(), self.token) {
            (true, _) => Step::Over(End::Done),
            (false, Some(_)) => Step::Write,
            (false, None) => Step::Over(End::Refused(None)),
        };
    }

    /// Takes up again what was over: with the token if there is one.
    fn go_on_with_token(&mut self) {
        self.step = if self.token.is_some() { Step::Write } else { Step::Ask };
    }

    fn ack(&mut self, kind: Kind) {
        self.todo = self.todo.without(kind);
        self.acked = self.acked.with(kind);
    }

    fn on_denied(&mut self, kind: Kind, denied: Denied, now: Time) {
        let again = match denied {
            Denied::Token if !self.has_asked_again => {
                (self.has_asked_again, self.token) = (true, None);
                Some(Step::Ask)
            }
            Denied::Device if kind == Kind::Address && !self.has_put_device => {
                self.has_put_device = true;
                self.todo = self.todo.with(Kind::Device);
                Some(Step::Write)
            }
            Denied::Old { .. } if !self.has_compared => {
                self.has_compared = true;
                Some(Step::Ask)
            }
            Denied::Busy { wait } if self.waits < WAITS_MAX => {
                self.waits = self.waits.saturating_add(1);
                self.after = now + Duration::from_secs(wait.clamp(1, WAIT_SECS_MAX));
                Some(Step::Write)
            }
            Denied::Token | Denied::Device | Denied::Old { .. } | Denied::Full | Denied::Far | Denied::Clock | Denied::Busy { .. } => None,
        };
        self.step = again.unwrap_or(Step::Over(End::Refused(Some(denied))));
    }
}

/// One round in one realm.
#[derive(Debug)]
pub(super) struct Round {
    kinds: Kinds,
    has_put: bool,
    targets: Vec<Target>,
}

impl Round {
    /// `must_ask`: each is asked what it has, whether or not it gave a token before.
    pub(super) fn new(kinds: Kinds, chosen: &[Answered], carriers: &[Contact], must_ask: bool) -> Self {
        let mut targets: Vec<Target> = chosen.iter().map(|one| Target::new(*one, true, kinds, must_ask)).collect();
        for contact in carriers {
            if let Some(same) = targets.iter_mut().find(|target| target.contact.at == contact.at) {
                same.carries = true;
            } else {
                targets.push(Target::new(Answered { contact: *contact, token: None }, false, kinds, must_ask));
            }
        }
        Self { kinds, has_put: false, targets }
    }

    pub(super) const fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// Whether anything was written.
    pub(super) const fn has_put(&self) -> bool {
        self.has_put
    }

    /// What to send next. O(n) in the targets, of which there are at most eighteen.
    pub(super) fn next(&mut self, numbers: &Numbers, now: Time) -> Option<Call> {
        loop {
            let target = self.targets.iter_mut().find(|it| it.after <= now && matches!(it.step, Step::Ask | Step::Write))?;
            let Some((kind, number)) = target.todo.first().and_then(|kind| Some((kind, numbers.of(kind)?))) else {
                target.step = Step::Over(End::Done);
                continue;
            };
            let to = target.contact;
            return Some(match target.token.filter(|_| target.step == Step::Write) {
                Some(token) => {
                    target.step = Step::Writing(kind, number);
                    self.has_put = true;
                    Call::Put { to, kind, token, carry: target.carries }
                }
                None => {
                    target.step = Step::Asking(kind);
                    // Only what is newer is shown; another one of the same number is to be seen too, which a device record is too
                    // long for without a reason.
                    let shows_same = kind == Kind::Address || target.has_compared;
                    Call::Get { to, kind, known: number.saturating_sub(u64::from(shows_same)) }
                }
            });
        }
    }

    /// When there is something to send; `None` while all of it waits for answers.
    pub(super) fn due(&self) -> Option<Time> {
        self.targets.iter().filter(|it| matches!(it.step, Step::Ask | Step::Write)).map(|it| it.after).min()
    }

    /// What this node is being asked about; `None` if nothing is.
    pub(super) fn asked(&self, at: SocketAddr) -> Option<Kind> {
        self.targets.iter().find(|it| it.contact.at == at).and_then(|it| match it.step {
            Step::Asking(kind) => Some(kind),
            Step::Ask | Step::Write | Step::Writing(..) | Step::Over(_) => None,
        })
    }

    /// It told what it has.
    pub(super) fn on_told(&mut self, at: SocketAddr, told: Told, numbers: &Numbers) {
        let Some(target) = self.targets.iter_mut().find(|it| it.contact.at == at) else { return };
        let Step::Asking(kind) = target.step else { return };
        target.token = told.token.or(target.token);
        if told.lacks_revocation && !target.acked.has(Kind::Revocation) && numbers.revocation.is_some() {
            target.todo = target.todo.with(Kind::Revocation);
        }
        let is_same = told.number.is_some() && told.number == numbers.of(kind) && !target.has_compared;
        let is_held = is_same || told.is_ours;
        if is_held {
            target.ack(kind);
        }
        target.go_on();
        // Who has the one may have the other: it is asked, before it is given what it has.
        if is_held && target.step == Step::Write && target.todo.first() != Some(Kind::Revocation) {
            target.step = Step::Ask;
        }
    }

    /// It took what was put, or not. The kind and number that it has taken.
    pub(super) fn on_put(&mut self, at: SocketAddr, result: Result<(), Denied>, numbers: &Numbers, now: Time) -> Option<(Kind, u64)> {
        let target = self.targets.iter_mut().find(|it| it.contact.at == at)?;
        let Step::Writing(kind, number) = target.step else { return None };
        match result {
            Ok(()) => {
                // What is older than what is written now was in vain.
                if numbers.of(kind) == Some(number) {
                    target.ack(kind);
                }
                target.go_on();
                Some((kind, number))
            }
            Err(denied) => {
                target.on_denied(kind, denied, now);
                None
            }
        }
    }

    /// It answered neither time.
    pub(super) fn on_silent(&mut self, at: SocketAddr) {
        if let Some(target) =
            self.targets.iter_mut().find(|it| it.contact.at == at && matches!(it.step, Step::Asking(_) | Step::Writing(..)))
        {
            target.step = Step::Over(End::Silent);
        }
    }

    /// There is a newer one of this kind: it is written to all that answer.
    pub(super) fn renew(&mut self, kind: Kind) {
        for target in &mut self.targets {
            target.acked = target.acked.without(kind);
            target.todo = target.todo.with(kind);
            if matches!(target.step, Step::Over(End::Done | End::Refused(Some(Denied::Old { .. })))) {
                target.go_on_with_token();
            }
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.targets.iter().all(|it| matches!(it.step, Step::Over(_)))
    }

    /// What became of a kind so far.
    pub(super) fn tally(&self, kind: Kind) -> Tally {
        let mut tally = Tally::default();
        let count = |slot: &mut u8| *slot = slot.saturating_add(1);
        for target in self.targets.iter().filter(|it| it.is_holder) {
            count(&mut tally.of);
            match target.step {
                _ if target.acked.has(kind) => count(&mut tally.acks),
                Step::Over(End::Silent) => count(&mut tally.silent),
                Step::Over(End::Refused(why)) => {
                    count(&mut tally.refused);
                    match why {
                        Some(Denied::Full) => count(&mut tally.full),
                        Some(Denied::Far) => count(&mut tally.far),
                        Some(Denied::Clock) => count(&mut tally.clock),
                        Some(Denied::Token | Denied::Device | Denied::Old { .. } | Denied::Busy { .. }) | None => {}
                    }
                }
                Step::Ask | Step::Asking(_) | Step::Write | Step::Writing(..) | Step::Over(End::Done) => {}
            }
        }
        tally
    }
}
