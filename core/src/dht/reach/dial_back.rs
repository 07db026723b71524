//! Whether strangers get through to this node (spec: DHT-123, DHT-129).

use core::net::SocketAddr;
use core::time::Duration;

use super::role::UPTIME;
use super::{Facts, Heard};
use crate::address::group;
use crate::dht::realm::Realm;
use crate::dht::table::Mode;
use crate::time::Time;

/// If no stranger came for so long, somebody is asked for a probe.
const EACH: Duration = Duration::from_secs(1_800);
/// Whom nobody has dialled back yet, where that matters, asks sooner (guess: half of what who does not serve has waited already).
const EACH_UNPROVEN: Duration = Duration::from_secs(300);
/// Who goes on serving a hard table after a restart waits so long for others to come of their own accord: where all begin again
/// together there would be a probe for each.
const RESUMED: Duration = Duration::from_secs(60);
/// A knock comes within so long after the answer to the probe, or not at all.
const WINDOW: Duration = Duration::from_secs(5);
/// A probe that was refused or not answered is asked of somebody else after this, and so many are asked at once (guess: a
/// server has nobody to send only in a network of two or three).
const AGAIN: Duration = Duration::from_secs(30);
const TRIES_MAX: u8 = 4;

/// A probe on its way.
#[derive(Clone, Copy, Debug)]
struct Asked {
    of: SocketAddr,
    /// When its server said that somebody knocks.
    answered: Option<Time>,
}

/// What is known of strangers getting through. 128 bytes.
#[derive(Debug)]
pub(super) struct DialBack {
    is_proven: bool,
    asked: Option<Asked>,
    /// The server after whose probe nobody came.
    failed: Option<SocketAddr>,
    /// No probe is asked for before.
    wait: Time,
    /// The same where a table is hard, and who serves was never dialled back: until then its address is told to nobody. Never later.
    wait_unproven: Time,
    tries: u8,
    /// How often in a row somebody known came after a probe, which keeps a role and proves nothing.
    acquaintances: u8,
}

impl DialBack {
    pub(super) fn new(now: Time) -> Self {
        Self { is_proven: false, asked: None, failed: None, wait: now + UPTIME, wait_unproven: now, tries: 0, acquaintances: 0 }
    }

    pub(super) const fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// The node is somewhere else, where nothing is known yet. It has been up before, so a probe may go out at once.
    pub(super) fn forget(&mut self, now: Time) {
        *self = Self { wait: now, ..Self::new(now) };
    }

    /// The node begins or ends to serve.
    pub(super) fn on_role(&mut self, mode: Mode, now: Time) {
        self.rest(now);
        self.acquaintances = 0;
        self.wait_unproven = if mode == Mode::Hard { now + RESUMED } else { now };
    }

    /// A request came in. A stranger's shows that all get through; of one whom we had sent something, and so opened a way
    /// for, it shows that a server need not resign, unless anybody might have forged it.
    /// Who does not serve yet learns nothing from the latter, and is knocked at by somebody else later.
    pub(super) fn on_request(&mut self, heard: Heard, is_stranger: bool, serves: bool, realm: Realm, now: Time) {
        let is_other = self.asked.is_some_and(|asked| !realm.is_one(asked.of, heard.from));
        if is_stranger {
            (self.is_proven, self.acquaintances) = (true, 0);
            self.rest(now);
        } else if is_other && heard.is_known && serves {
            self.rest(now);
            self.acquaintances = self.acquaintances.saturating_add(1) % TRIES_MAX;
            if self.acquaintances > 0 {
                self.wait_unproven = now;
            }
        } else if is_other && heard.is_known {
            self.asked = None;
        }
    }

    pub(super) const fn on_sent(&mut self, of: SocketAddr) {
        self.asked = Some(Asked { of, answered: None });
    }

    pub(super) fn on_answer(&mut self, of: SocketAddr, now: Time) {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.of == of) {
            asked.answered.get_or_insert(now);
        }
    }

    pub(super) fn on_refused(&mut self, of: SocketAddr) {
        self.asked = self.asked.filter(|asked| asked.of != of);
    }

    /// Whether nobody came after a second probe, of another server than the first.
    pub(super) fn has_failed(&mut self, now: Time) -> bool {
        let Some(Asked { of, .. }) = self.asked.filter(|_| self.window().is_some_and(|end| end <= now)) else { return false };
        if self.failed.is_some_and(|first| group(first) != group(of)) {
            self.is_proven = false;
            self.rest(now);
            return true;
        }
        (self.asked, self.failed, self.tries) = (None, Some(of), 0);
        self.wait_until(now);
        false
    }

    pub(super) fn due(&self, facts: Facts) -> Option<Time> {
        let window = self.window();
        if window.is_some() { window } else { is_wanted(facts).then_some(self.wait(facts)) }
    }

    /// Whether to ask for a probe now, and of whom not.
    pub(super) fn next(&mut self, facts: Facts, now: Time) -> Option<Option<SocketAddr>> {
        if self.window().is_some() || !is_wanted(facts) || now < self.wait(facts) {
            return None;
        }
        self.asked = None;
        if self.tries >= TRIES_MAX {
            self.tries = 0;
            self.wait_until(now + if facts.serves && !is_missing(facts) { EACH } else { EACH_UNPROVEN });
            return None;
        }
        self.tries = self.tries.saturating_add(1);
        self.wait_until(now + AGAIN);
        Some(self.failed)
    }

    fn window(&self) -> Option<Time> {
        self.asked?.answered.map(|at| at + WINDOW)
    }

    /// When the next probe may be asked for.
    fn wait(&self, facts: Facts) -> Time {
        if facts.serves && is_missing(facts) { self.wait_unproven } else { self.wait }
    }

    fn wait_until(&mut self, at: Time) {
        (self.wait, self.wait_unproven) = (at, at);
    }

    /// Nothing more to ask for a while.
    fn rest(&mut self, now: Time) {
        (self.asked, self.failed, self.tries) = (None, None, 0);
        (self.wait, self.wait_unproven) = (now + EACH, now + EACH_UNPROVEN);
    }
}

/// Who serves makes sure that it can; who does not asks only where a dial-back is all that is missing.
fn is_wanted(facts: Facts) -> bool {
    facts.is_auto && facts.is_located && (facts.serves || is_missing(facts))
}

/// Whether a dial-back is needed, and none has come.
fn is_missing(facts: Facts) -> bool {
    !facts.is_proven && (facts.mode == Mode::Hard || facts.wants_proof)
}
