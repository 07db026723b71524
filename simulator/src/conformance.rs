//! The suite that every shell must pass: what a node does when a shell drives it as the contract says.
//!
//! Write a [`Launcher`] for your shell and call [`run`]; each case is a claim. A launcher on real sockets waits in real
//! time: there the whole suite takes about a minute. [`Simulated`], the simulator's own launcher, needs a second.

use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{
    Address, AppId, AttemptOutcome, CloseReason, Command, CommandError, Config, Credentials, Delegation, DeviceKeys, Explanation,
    FailReason, IdentitySecret, Message, Notice, Rng, Seed, Stats, StoreError, Tag, UserId, WallTime,
};

/// How long a case waits for what must come (guess: slow machines, three retries).
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a case waits for what must not come (guess).
const SILENCE: Duration = Duration::from_millis(500);
const HOUR: Duration = Duration::from_secs(3_600);

/// A node that the launcher started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place(pub usize);

/// What a node is started with, on an empty store.
#[derive(Clone, Debug)]
pub struct Start {
    /// A name for logs.
    pub name: String,
    /// Who it is.
    pub credentials: Credentials,
    /// Its bounds.
    pub config: Config,
}

/// A shell, as the suite sees it.
///
/// The suite waits in [`next`](Self::next) and nowhere else: there time passes for every node of the launcher, real or
/// virtual. The other calls must not wait for what only another node can do.
pub trait Launcher {
    /// Starts a node on an empty store, listening on loopback or a private network.
    ///
    /// # Errors
    /// What went wrong, for people.
    fn start(&mut self, start: Start) -> Result<Place, String>;
    /// Where others reach it.
    fn address(&mut self, place: Place) -> SocketAddr;
    /// A host name, without a port, that leads to this address when the node's shell looks it up.
    fn host_name(&mut self, place: Place) -> String;
    /// The wall clock that nodes are told.
    fn wall(&mut self) -> WallTime;
    /// Asks the node for something.
    ///
    /// # Errors
    /// As [`Node::command`](overcom_core::Node::command).
    fn command(&mut self, place: Place, command: Command) -> Result<Tag, CommandError>;
    /// The next notice, if one comes within this time; `None` for a stopped node. A notice counts as taken when the
    /// next is asked for.
    fn next(&mut self, place: Place, within: Duration) -> Option<Notice>;
    /// Why a user cannot be reached; `None` if the node is stopped.
    fn explain(&mut self, place: Place, user: UserId) -> Option<Explanation>;
    /// What the node has counted; `None` if it is stopped.
    fn stats(&mut self, place: Place) -> Option<Stats>;
    /// A stranger's datagram on its way to where others reach the node.
    ///
    /// # Errors
    /// What went wrong, for people.
    fn datagram(&mut self, place: Place, bytes: &[u8]) -> Result<(), String>;
    /// Kills the process: no good-bye, its memory is lost, its store stays.
    fn stop(&mut self, place: Place);
    /// Starts a stopped node again, on its store, at the same address.
    ///
    /// # Errors
    /// What went wrong, for people.
    fn restart(&mut self, place: Place) -> Result<(), String>;
    /// Gives the node new sockets at the same address and tells it so.
    fn rebind(&mut self, place: Place);
    /// From now on the node's store fails, also after a restart: with [`StoreError::Full`] when it is written, with
    /// [`StoreError::Corrupt`] when it is read.
    fn fail_store(&mut self, place: Place, why: StoreError);
}

/// How a case ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The claim.
    pub claim: &'static str,
    /// What did not hold.
    pub broken: Option<String>,
}

/// Runs every case on a launcher of its own.
pub fn run<L: Launcher>(launcher: impl FnMut() -> L) -> Vec<Outcome> {
    run_with(PATIENCE, launcher)
}

fn run_with<L: Launcher>(patience: Duration, mut launcher: impl FnMut() -> L) -> Vec<Outcome> {
    let run = |(claim, case): &(&'static str, Case)| {
        let mut launcher = launcher();
        Outcome { claim, broken: case(&mut Stage { launcher: &mut launcher, people: 0, patience }).err() }
    };
    CASES.iter().map(run).collect()
}

type Case = fn(&mut Stage<'_>) -> Result<(), String>;

const CASES: &[(&str, Case)] = &[
    ("a_node_starts_and_says_who_it_is", starts),
    ("a_message_arrives_with_type_and_payload_as_sent", one_message),
    ("messages_pass_both_ways_on_one_link", both_ways),
    ("delivered_comes_only_after_the_other_side_has_taken_it", delivered_after_taken),
    ("messages_stay_in_order_and_none_is_lost_or_repeated", in_order),
    ("a_slow_reader_loses_nothing", slow_reader),
    ("a_peer_that_restarts_is_reached_again", peer_restarts),
    ("a_message_on_disk_survives_the_senders_restart", sender_restarts),
    ("a_dial_that_is_refused_shows_in_explain", refused_dial),
    ("a_name_that_does_not_exist_shows_in_explain", unknown_name),
    ("somebody_else_at_the_address_is_not_taken_for_the_user", wrong_peer),
    ("two_apps_do_not_talk", two_apps),
    ("a_message_of_900_kib_arrives_whole", large),
    ("sixteen_links_at_once_each_deliver", sixteen),
    ("suspend_ends_in_quiet_and_new_addresses_wake", suspend_and_wake),
    ("new_sockets_end_links_and_messages_still_arrive", rebound),
    ("a_suspended_node_refuses_to_send", suspended_refuses),
    ("a_forgotten_user_fails_what_waits", forgotten),
    ("a_message_in_memory_to_nobody_fails", memory_fails),
    ("a_link_ends_once_for_each_side", link_ends_once),
    ("a_host_name_leads_to_a_link", named),
    ("a_node_found_through_a_common_friend_dials_back", found_through_a_friend),
    ("a_message_not_taken_before_a_crash_comes_again", not_taken_comes_again),
    ("a_long_outbox_survives_a_restart_whole_and_in_order", long_outbox),
    ("who_goes_to_sleep_says_so_before_the_link_ends", goodbye),
    ("a_link_that_nobody_uses_ends_when_its_time_is_over", idle_link),
    ("a_delegation_ends_at_its_time", delegation_ends),
    ("a_store_that_cannot_write_stops_the_node_and_nothing_leaves_any_more", failed_write),
    ("what_could_not_be_stored_is_not_acknowledged", unstored_unacknowledged),
    ("a_store_that_cannot_be_read_stops_the_node", failed_read),
    ("a_datagram_that_arrives_is_counted", datagram_counted),
];

struct Stage<'a> {
    launcher: &'a mut dyn Launcher,
    people: u8,
    patience: Duration,
}

#[derive(Clone, Copy)]
struct Person {
    place: Place,
    user: UserId,
}

impl Stage<'_> {
    fn person(&mut self) -> Result<Person, String> {
        self.person_of("conformance")
    }

    fn person_of(&mut self, app: &str) -> Result<Person, String> {
        let until = self.launcher.wall() + HOUR;
        // What is in vain fails after four seconds.
        self.person_with(app, Config::test().retry_ms_first(250), until)
    }

    /// Starts a person whose delegation is valid until then.
    fn person_with(&mut self, app: &str, config: Config, until: WallTime) -> Result<Person, String> {
        self.people += 1;
        let identity = IdentitySecret::from_bytes([self.people; 32]);
        let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([self.people; 32])));
        let app = AppId::new(app).map_err(|why| why.to_string())?;
        let grant = keys.grant(app, self.launcher.wall() - HOUR, until);
        let delegation = Delegation::sign(&identity, &grant).map_err(|why| why.to_string())?;
        let (name, credentials) = (format!("person {}", self.people), keys.credentials(delegation));
        let place = self.launcher.start(Start { name, credentials, config })?;
        self.expect(place, "Started", |notice| matches!(notice, Notice::Started { .. }))?;
        Ok(Person { place, user: identity.user() })
    }

    fn pair(&mut self) -> Result<[Person; 2], String> {
        let [a, b] = [self.person()?, self.person()?];
        self.introduce(a, b)?;
        Ok([a, b])
    }

    /// A pair that is linked and has stored all there was to store.
    fn friends(&mut self) -> Result<[Person; 2], String> {
        let [a, b] = self.pair()?;
        let sent = self.send(a, b, "note", "1")?;
        self.expect_message(b, "1")?;
        let _ = self.launcher.next(b.place, SILENCE);
        self.expect_delivered(a, sent)?;
        let _ = self.launcher.next(a.place, SILENCE);
        Ok([a, b])
    }

    fn introduce(&mut self, a: Person, b: Person) -> Result<(), String> {
        let address = self.launcher.address(b.place);
        self.command(a, Command::introduce(b.user, vec![Address::Ip(address)])).map(|_| ())
    }

    fn command(&mut self, who: Person, command: Command) -> Result<Tag, String> {
        let text = format!("{command:?}");
        self.launcher.command(who.place, command).map_err(|why| format!("{text} was refused: {why}"))
    }

    fn send(&mut self, a: Person, b: Person, kind: &str, payload: &str) -> Result<Tag, String> {
        let message = Message::from_text(kind, payload).map_err(|why| why.to_string())?;
        self.command(a, Command::send(b.user, message))
    }

    /// Takes notices until one fits, for so long as patience lasts.
    fn expect(&mut self, place: Place, what: &str, fits: impl Fn(&Notice) -> bool) -> Result<Notice, String> {
        let (mut seen, start) = (Vec::new(), self.launcher.wall().as_millis());
        let mut left = self.patience;
        while let Some(notice) = self.launcher.next(place, left) {
            if fits(&notice) {
                return Ok(notice);
            }
            seen.push(format!("{notice:?}"));
            let waited = Duration::from_millis(self.launcher.wall().as_millis().saturating_sub(start));
            left = self.patience.saturating_sub(waited);
        }
        Err(format!("{what} did not come; before: {}", seen.join(", ")))
    }

    fn expect_message(&mut self, who: Person, payload: &str) -> Result<(), String> {
        let notice = self.expect(who.place, "a message", |notice| matches!(notice, Notice::Message(_)))?;
        let Notice::Message(message) = notice else { return Err("not a message".into()) };
        holds(message.payload() == payload, "the payload is what was sent")
    }

    fn expect_link_down(&mut self, who: Person, why: CloseReason) -> Result<(), String> {
        let notice = self.expect(who.place, "LinkDown", |notice| matches!(notice, Notice::LinkDown { .. }))?;
        holds(
            matches!(notice, Notice::LinkDown { why: given, .. } if given == why),
            &format!("the link ends as {why:?}, not as {notice:?}"),
        )
    }

    /// Takes notices for a while, none of which may be one of these.
    fn expect_none(&mut self, place: Place, what: &str, fits: impl Fn(&Notice) -> bool) -> Result<(), String> {
        while let Some(notice) = self.launcher.next(place, SILENCE) {
            holds(!fits(&notice), what)?;
        }
        Ok(())
    }

    /// How the last attempts at the addresses of `user` ended.
    fn attempts(&mut self, who: Person, user: UserId) -> Result<Vec<AttemptOutcome>, String> {
        let explanation = self.launcher.explain(who.place, user).ok_or("the node does not explain")?;
        Ok(explanation.addresses.iter().filter_map(|address| address.attempt).map(|attempt| attempt.outcome).collect())
    }

    fn expect_delivered(&mut self, who: Person, sent: Tag) -> Result<(), String> {
        self.expect(who.place, "Delivered", |notice| matches!(notice, Notice::Delivered { tag, device: None, .. } if *tag == sent))
            .map(|_| ())
    }

    fn expect_failed(&mut self, who: Person, sent: Tag) -> Result<FailReason, String> {
        let notice = self.expect(who.place, "Failed", |notice| matches!(notice, Notice::Failed { tag, .. } if *tag == sent))?;
        if let Notice::Failed { why, .. } = notice { Ok(why) } else { Err("Failed did not come".into()) }
    }
}

fn holds(claim: bool, text: &str) -> Result<(), String> {
    if claim { Ok(()) } else { Err(format!("does not hold: {text}")) }
}

mod cases;
mod mistakes;
mod simulated;

use cases::*;
pub use mistakes::mistakes;
pub use simulated::Simulated;

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell that starts nodes and then does nothing at all.
    struct Dead(bool);

    impl Launcher for Dead {
        fn start(&mut self, _start: Start) -> Result<Place, String> {
            if self.0 { Ok(Place(0)) } else { Err("it does not start".into()) }
        }

        fn address(&mut self, _place: Place) -> SocketAddr {
            SocketAddr::from(([127, 0, 0, 1], 1))
        }

        fn wall(&mut self) -> WallTime {
            WallTime::from_millis(crate::clock::EPOCH_MS)
        }

        fn command(&mut self, _place: Place, _command: Command) -> Result<Tag, CommandError> {
            Err(CommandError::Starting)
        }

        fn next(&mut self, _place: Place, _within: Duration) -> Option<Notice> {
            None
        }

        fn host_name(&mut self, _place: Place) -> String {
            "localhost".into()
        }

        fn explain(&mut self, _place: Place, _user: UserId) -> Option<Explanation> {
            None
        }

        fn stats(&mut self, _place: Place) -> Option<Stats> {
            None
        }

        fn datagram(&mut self, _place: Place, _bytes: &[u8]) -> Result<(), String> {
            Ok(())
        }

        fn stop(&mut self, _place: Place) {}

        fn restart(&mut self, _place: Place) -> Result<(), String> {
            Ok(())
        }

        fn rebind(&mut self, _place: Place) {}

        fn fail_store(&mut self, _place: Place, _why: StoreError) {}
    }

    // spec-test: SHELL-1, SHELL-7, SHELL-14
    #[test]
    fn the_simulator_keeps_the_contract_whatever_its_seed() {
        for seed in 0..8 {
            let broken: Vec<Outcome> = run(|| Simulated::new(seed)).into_iter().filter(|outcome| outcome.broken.is_some()).collect();
            assert_eq!(broken, [], "seed {seed}");
        }
    }

    #[test]
    fn a_shell_that_does_nothing_passes_no_case() {
        for starts in [false, true] {
            let outcomes = run(|| Dead(starts));
            assert_eq!(outcomes.len(), CASES.len());
            assert!(outcomes.iter().all(|outcome| outcome.broken.is_some()), "{outcomes:?}");
        }
    }
}
