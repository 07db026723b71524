//! How far publishing is in one realm.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::CHANGE_MIN;
use super::round::{Kinds, Round, Tally};
use crate::dht::realm::Realm;
use crate::dht::wire::Kind;
use crate::time::Time;

/// From so many servers on nothing is waited for (spec: DHT-141).
const SERVERS_ENOUGH: usize = 16;
/// How long fewer servers are waited for more (spec: DHT-141).
const SERVERS_WAIT: Duration = Duration::from_secs(2);
/// When a soft realm is looked at again, after the first look (spec: DHT-149).
const CHECKS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// A network comes into being within this: its nodes look for their places again in these seconds (spec: DHT-137, DHT-149).
const FORMING: Duration = Duration::from_secs(4);
/// A look-up that was given to nobody, or whose end nobody told (guess: six times the deadline of a look-up).
const LOOK_MAX: Duration = Duration::from_secs(30);
/// A round that too few acknowledged is repeated after this, twice it, four times it (guess), at most half an hour.
const REPEAT: Duration = Duration::from_secs(15);
const REPEAT_MAX_DOUBLINGS: u8 = 7;

/// What is under way.
#[derive(Debug)]
pub(super) enum Phase {
    Idle,
    Looking {
        kinds: Kinds,
        until: Time,
    },
    /// Chosen, but not signed yet.
    Ready(Box<Round>),
    Writing(Box<Round>),
}

/// Something to be written, and when.
type Plan = Option<(Kinds, Time)>;

#[derive(Debug)]
pub(super) struct Stand {
    pub(super) realm: Realm,
    pub(super) servers: usize,
    pub(super) phase: Phase,
    /// Enough have been told, of all that they were told here last, that the device is nowhere.
    pub(super) is_taken_back: bool,
    /// How often this round has begun anew.
    pub(super) raises: u8,
    /// Since when there is a server.
    since: Option<Time>,
    /// What is new.
    change: Plan,
    /// What too few have acknowledged.
    repeat: Plan,
    /// What was written, to be looked after in a soft realm.
    check: Plan,
    /// When the device record is put again.
    device_at: Option<Time>,
    /// Somebody here has the device record.
    has_device: bool,
    /// When the last look that was no check began, and for what, with what had just been looked for before.
    began: Option<(Time, Kinds)>,
    /// Checks since then.
    checks: u8,
    is_check: bool,
    /// Rounds in a row that too few acknowledged.
    fails: u8,
}

impl Stand {
    pub(super) const fn new(realm: Realm) -> Self {
        Self {
            realm,
            servers: 0,
            phase: Phase::Idle,
            is_taken_back: false,
            raises: 0,
            since: None,
            change: None,
            repeat: None,
            check: None,
            device_at: None,
            has_device: false,
            began: None,
            checks: 0,
            is_check: false,
            fails: 0,
        }
    }

    /// Whether these are the first.
    pub(super) fn on_servers(&mut self, servers: usize, now: Time) -> bool {
        self.servers = servers;
        if servers == 0 {
            self.since = None;
            return false;
        }
        let is_first = self.since.is_none();
        self.since = self.since.or(Some(now));
        is_first
    }

    /// Something is to be written: in the round under way if that has signed nothing yet, or else not too soon after it.
    pub(super) fn want(&mut self, kinds: Kinds, now: Time) {
        if let Phase::Looking { kinds: looking, .. } = &mut self.phase
            && !self.is_check
        {
            *looking = looking.and(kinds);
            return;
        }
        let at = self.began.filter(|(_, last)| !last.is_apart(kinds)).map_or(now, |(began, _)| now.max(began + CHANGE_MIN));
        let (before, first) = self.change.unwrap_or((Kinds::NONE, at));
        self.change = Some((before.and(kinds), first.min(at)));
    }

    /// The clock was set: what too few have acknowledged does not wait any longer.
    pub(super) fn on_clock(&mut self, now: Time) {
        if let Some((kinds, _)) = self.repeat.take() {
            self.fails = 0;
            self.want(kinds, now);
        }
    }

    /// What is to be looked up and written now; the look-up has begun then.
    pub(super) fn take_due(&mut self, now: Time) -> Option<Kinds> {
        if let Phase::Looking { kinds, until } = self.phase
            && until <= now
        {
            self.phase = Phase::Idle;
            self.plan_repeat(kinds, now);
        }
        if !matches!(self.phase, Phase::Idle) || self.look_at().is_none_or(|at| at > now) {
            return None;
        }
        let is_due = |at: Time| at <= now;
        let is_device_due = self.device_at.is_some_and(is_due);
        let is_planned = |plan: Plan| plan.is_some_and(|(_, at)| is_due(at));
        let mut kinds = Kinds::NONE;
        self.is_check = !is_device_due && !is_planned(self.change) && !is_planned(self.repeat);
        if self.is_check {
            kinds = self.check.take().map_or(kinds, |(kinds, _)| kinds);
        } else {
            // What changes soon after this is for its own time.
            let change = if is_planned(self.change) { self.change.take() } else { None };
            let plans = [change, self.repeat.take(), self.check.take()];
            kinds = plans.into_iter().flatten().fold(kinds, |kinds, (more, _)| kinds.and(more));
        }
        if is_device_due {
            self.device_at = None;
        }
        // What lies at a home is judged by the device record, so this is the first.
        let kinds = if is_device_due || !self.has_device { kinds.with(Kind::Device) } else { kinds };
        if !self.is_check {
            let just_now = self.began.filter(|(began, _)| now < *began + CHANGE_MIN).map_or(Kinds::NONE, |(_, last)| last);
            (self.began, self.checks) = (Some((now, just_now.and(kinds))), 0);
        }
        self.phase = Phase::Looking { kinds, until: now + LOOK_MAX };
        Some(kinds)
    }

    /// Nothing of what was to be looked for may be written.
    pub(super) fn skip(&mut self) {
        self.phase = Phase::Idle;
    }

    /// In a soft realm it is looked again soon, for whoever has come meanwhile, where few are known or the network is new.
    pub(super) fn on_looked(&mut self, round: Round, is_soft: bool, now: Time) {
        if !matches!(self.phase, Phase::Looking { .. }) {
            return;
        }
        let kinds = round.kinds();
        self.raises = 0;
        self.phase = Phase::Ready(Box::new(round));
        let is_forming = self.servers < SERVERS_ENOUGH || self.since.is_none_or(|since| now < since + FORMING);
        let after = CHECKS.get(usize::from(self.checks)).filter(|_| is_soft && is_forming);
        if let (Some(after), Some((began, _))) = (after, self.began) {
            self.checks = self.checks.saturating_add(1);
            self.check = Some((kinds, now.max(began + *after)));
        }
    }

    /// Whether it looks only for those that lack what was written before.
    pub(super) const fn is_check(&self) -> bool {
        self.is_check
    }

    pub(super) fn begin_writing(&mut self) {
        self.phase = match core::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Ready(round) => Phase::Writing(round),
            other @ (Phase::Idle | Phase::Looking { .. } | Phase::Writing(_)) => other,
        };
    }

    pub(super) const fn round(&self) -> Option<&Round> {
        match &self.phase {
            Phase::Writing(round) => Some(round),
            Phase::Idle | Phase::Looking { .. } | Phase::Ready(..) => None,
        }
    }

    pub(super) const fn round_mut(&mut self) -> Option<&mut Round> {
        match &mut self.phase {
            Phase::Writing(round) => Some(round),
            Phase::Idle | Phase::Looking { .. } | Phase::Ready(..) => None,
        }
    }

    /// If the round is over: what became of each kind; nothing of a check in which nothing was missing. `device_at` is when the
    /// device record is put again, `is_nowhere` whether the address record says so.
    pub(super) fn end_round(&mut self, now: Time, device_at: Time, is_nowhere: bool) -> Vec<(Kind, Tally, bool)> {
        let Some(round) = self.round().filter(|round| round.is_over()) else { return Vec::new() };
        let enough = enough(self.servers);
        let is_told = !self.is_check || round.has_put();
        let tallies: Vec<_> = round.kinds().iter().map(|kind| (kind, round.tally(kind))).collect();
        let ended: Vec<_> = tallies.into_iter().map(|(kind, tally)| (kind, tally, usize::from(tally.acks) >= enough)).collect();
        self.phase = Phase::Idle;
        let mut missed = Kinds::NONE;
        for (kind, tally, is_enough) in &ended {
            missed = if *is_enough { missed } else { missed.with(*kind) };
            if *kind == Kind::Address && tally.acks > 0 {
                self.is_taken_back = *is_enough && is_nowhere;
            }
            if *kind == Kind::Device {
                self.has_device |= tally.acks > 0;
                self.device_at = if *is_enough { Some(device_at) } else { self.device_at };
            }
        }
        if missed.is_empty() {
            (self.repeat, self.fails) = (None, 0);
        } else {
            self.plan_repeat(missed, now);
        }
        if is_told { ended } else { Vec::new() }
    }

    /// Whatever is under way is given up; it begins anew when there is something to sign with.
    pub(super) fn halt(&mut self) {
        self.phase = Phase::Idle;
        (self.change, self.repeat, self.check) = (None, None, None);
        (self.device_at, self.fails) = (None, 0);
    }

    pub(super) fn due(&self) -> Option<Time> {
        match &self.phase {
            Phase::Idle => self.look_at(),
            Phase::Looking { until, .. } => Some(*until),
            Phase::Ready(..) => Some(Time::ZERO),
            Phase::Writing(round) => round.due(),
        }
    }

    /// When the next look may begin.
    fn look_at(&self) -> Option<Time> {
        let since = self.since?;
        let ready = if self.servers >= SERVERS_ENOUGH { since } else { since + SERVERS_WAIT };
        let planned = [self.change, self.repeat, self.check].into_iter().flatten().map(|(_, at)| at);
        Some(planned.chain(self.device_at).min()?.max(ready))
    }

    fn plan_repeat(&mut self, kinds: Kinds, now: Time) {
        if let Some((before, at)) = self.repeat {
            self.repeat = Some((before.and(kinds), at));
            return;
        }
        let wait = REPEAT.saturating_mul(1 << self.fails.min(REPEAT_MAX_DOUBLINGS));
        self.fails = self.fails.saturating_add(1);
        self.repeat = Some((kinds, now + wait));
    }
}

/// How many others must acknowledge (spec: DHT-144).
pub(super) fn enough(servers: usize) -> usize {
    servers.div_ceil(2).clamp(1, 3)
}
