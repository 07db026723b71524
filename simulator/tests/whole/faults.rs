//! Every fault does what it says, from the builder and from a file alike, and nothing of it happens without it.

use std::cell::Cell;
use std::rc::Rc;

use overcom_core::{App, AppCx, AttemptOutcome, ConnectError, Notice, Phase, Saved, StoreError, Time};
use overcom_simulator::{Clock, Inbox, Network, NodeId, Report, Scenario, Sim, World, fault, millis, secs};

/// Delays that are the same each time.
fn even(delay_ms: u64) -> Network {
    Network { delay_us: delay_ms * 1_000, jitter_us: 0, ..Network::default() }
}

struct Ran {
    sim: Sim<Inbox>,
    report: Report,
    ann: NodeId,
    ben: NodeId,
}

impl Ran {
    fn world(&self) -> World<'_, Inbox> {
        self.sim.world().expect("it ran")
    }

    /// When each line with these words stands in the ladder, in milliseconds.
    fn times(&self, words: &str) -> Vec<u64> {
        let ladder = self.report.ladder();
        let lines = ladder.lines().filter(|line| line.contains(words));
        let time = |line: &str| line.split_once("s ").and_then(|(at, _)| at.split_once('.').map(|(s, us)| [s, us].concat().parse::<u64>()));
        lines.map(|line| time(line).expect("a time").expect("a number") / 1_000).collect()
    }

    fn time(&self, words: &str) -> u64 {
        let times = self.times(words);
        assert_eq!(times.len(), 1, "{words}: {times:?}\n{}", self.report.ladder());
        times[0]
    }
}

/// Ann knows ben. Runs what is built, and what its file says; both must be the same.
fn ran_with(seed: u64, build: impl Fn(&mut Sim<Inbox>, NodeId, NodeId)) -> Ran {
    let mut sim = Sim::new(seed);
    let [ann, ben] = sim.nodes(["ann", "ben"], Inbox::new);
    sim.introduce(ann, [ben]);
    sim.network(even(20));
    build(&mut sim, ann, ben);
    let built = sim.run().expect("it runs");
    let file = sim.scenario().to_json().expect("it can be written");
    let mut sim = Sim::from_scenario(Scenario::from_json(&file).expect("it can be read")).expect("it fits");
    // When a check is due is not in a file.
    sim.until(built.end.since(Time::ZERO));
    let report = sim.run().expect("it runs");
    assert_eq!((report.digest, &report.failure), (built.digest, &None), "{}", report.ladder());
    Ran { sim, report, ann, ben }
}

fn ran(build: impl Fn(&mut Sim<Inbox>, NodeId, NodeId)) -> Ran {
    ran_with(7, build)
}

fn note(sim: &mut Sim<Inbox>, at_ms: u64, from: NodeId, to: NodeId, text: &str) {
    sim.send_at(millis(at_ms), from, to, "note", &format!("\"{text}\"")).expect("it is a message");
}

#[test]
fn delay_is_paid_on_every_crossing() {
    let arrives = |delay_ms| {
        let ran = ran(|sim, ann, ben| {
            sim.network(even(delay_ms));
            note(sim, 1_000, ann, ben, "first");
            note(sim, 9_000, ann, ben, "second");
        });
        [ran.time("ben: got note from ann: \"first\"") - 1_000, ran.time("ben: got note from ann: \"second\"") - 9_000]
    };
    // 3.5 round trips from the dial for a stranger's first message, one crossing on a link; 2 ms for the disk.
    assert_eq!([arrives(20), arrives(300)], [[142, 22], [2_102, 302]]);
}

#[test]
fn jitter_spreads_arrivals_and_without_it_they_are_even() {
    let spread = |jitter_us| {
        let ran = ran(|sim, ann, ben| {
            sim.network(Network { jitter_us, ..even(20) });
            (0..20).for_each(|n| note(sim, 1_000 * (n + 1), ann, ben, "tick"));
        });
        let late: Vec<u64> = ran.times("ben: got note from ann").into_iter().map(|at| at % 1_000).skip(1).collect();
        assert_eq!(late.len(), 19);
        late.iter().max().zip(late.iter().min()).map(|(max, min)| max - min).expect("there are some")
    };
    assert_eq!(spread(0), 0);
    assert!((30..=100).contains(&spread(100_000)), "{}", spread(100_000));
}

#[test]
fn loss_delays_what_is_on_a_pipe_and_loses_nothing() {
    let late = |loss_ppm| {
        let ran = ran(|sim, ann, ben| {
            sim.network(even(20).loss_ppm(loss_ppm));
            (0..50).for_each(|n| note(sim, 1_000 * (n + 1), ann, ben, &n.to_string()));
            sim.until(secs(120));
        });
        let texts: Vec<String> =
            ran.world().app(ran.ben).expect("he is up").messages().iter().map(|message| message.payload().into()).collect();
        assert_eq!(texts, (0..50).map(|n| format!("\"{n}\"")).collect::<Vec<_>>());
        ran.times("ben: got note").iter().skip(1).filter(|at| *at % 1_000 >= 200).count()
    };
    assert_eq!(late(0), 0);
    assert!((3..25).contains(&late(200_000)), "{}", late(200_000));
}

#[test]
fn a_limited_line_takes_its_time() {
    let took = |rate| {
        let ran = ran(|sim, ann, ben| {
            sim.network(Network { bytes_per_second: rate, ..even(20) });
            note(sim, 1_000, ann, ben, &"x".repeat(100_000));
        });
        ran.time("ben: got note") - 1_000
    };
    let (free, limited) = (took(None), took(Some(50_000)));
    assert!(free < 500 && (2_000..3_500).contains(&limited), "{free} {limited}");
}

#[test]
fn a_partition_holds_both_ways_back_until_it_heals() {
    let ran = ran(|sim, ann, ben| {
        note(sim, 1_000, ann, ben, "before");
        sim.at(secs(3), fault::partition([ann], [ben]));
        note(sim, 4_000, ann, ben, "there");
        note(sim, 4_000, ben, ann, "back");
        sim.at(secs(8), fault::heal());
    });
    assert!(ran.time("ben: got note from ann: \"there\"") >= 8_000 && ran.time("ann: got note from ben: \"back\"") >= 8_000);
    assert_eq!(ran.time("ben: got note from ann: \"before\""), 1_142);
}

#[test]
fn a_one_way_partition_leaves_the_way_back_open() {
    let ran = ran(|sim, ann, ben| {
        note(sim, 1_000, ann, ben, "before");
        sim.at(secs(3), fault::partition_one_way([ann], [ben]));
        note(sim, 4_000, ann, ben, "there");
        note(sim, 4_000, ben, ann, "back");
        sim.at(secs(8), fault::heal());
    });
    assert!(ran.time("ben: got note from ann: \"there\"") >= 8_000);
    assert_eq!(ran.time("ann: got note from ben: \"back\""), 4_022);
}

#[test]
fn a_link_of_its_own_can_be_set_in_one_direction() {
    let ran = ran(|sim, ann, ben| {
        note(sim, 1_000, ann, ben, "before");
        sim.at(secs(3), fault::set_link(ann, ben, even(500)));
        note(sim, 4_000, ann, ben, "there");
        note(sim, 4_000, ben, ann, "back");
        sim.at(secs(6), fault::set_network(even(20)));
        note(sim, 7_000, ann, ben, "again");
    });
    let times = ["\"there\"", "\"back\"", "\"again\""].map(|text| ran.time(&format!(": {text}")));
    assert_eq!(times, [4_502, 4_022, 7_022]);
}

#[test]
fn a_slow_disk_delays_what_depends_on_it_and_nothing_else() {
    let ran = ran(|sim, ann, ben| {
        note(sim, 1_000, ann, ben, "before");
        sim.at(secs(3), fault::slow_disk(ben, millis(700)));
        note(sim, 4_000, ann, ben, "there");
    });
    assert_eq!(ran.time("ben: got note from ann: \"there\""), 4_022);
    // It is acknowledged only when its mark is stored.
    let taken = ran.time("ann: #3 was taken by ben");
    assert!((4_742..4_850).contains(&taken), "{taken}");
}

#[test]
fn a_failing_disk_stops_its_node_and_a_mended_one_lets_it_start() {
    let ran = ran(|sim, ann, ben| {
        note(sim, 1_000, ann, ben, "before");
        sim.at(secs(3), fault::fail_disk(ben, StoreError::Failed));
        note(sim, 4_000, ann, ben, "there");
        sim.at(secs(6), fault::crash(ben));
        sim.at(secs(7), fault::restart(ben));
        sim.at(secs(9), fault::mend_disk(ben));
        sim.at(secs(10), fault::crash(ben));
        sim.at(secs(11), fault::restart(ben));
        sim.until(secs(400));
    });
    // Once because it cannot be written, once because it cannot be read.
    assert_eq!(ran.times("ben: stopped: the store does not work"), [4_024, 7_002]);
    assert_eq!(ran.times("ben: started"), [4, 11_004]);
    let got = ran.times("ben: got note from ann: \"there\"");
    assert_eq!(got.len(), 2, "what was not acknowledged comes again: {got:?}");
}

#[test]
fn a_crash_loses_what_was_not_stored_yet_in_some_runs_and_not_in_others() {
    let kept = |at_us: u64| {
        let survives = |seed| {
            let ran = ran_with(seed, |sim, ann, ben| {
                sim.at(millis(500), fault::crash(ben));
                note(sim, 1_000, ann, ben, "waits");
                sim.at(millis(1_000 + at_us), fault::crash(ann));
                sim.at(millis(2_000), fault::restart(ann));
            });
            ran.world().node(ran.ann).outbox().len()
        };
        (0..24).map(survives).sum::<usize>()
    };
    assert!((1..24).contains(&kept(1)), "{} of 24 while it is being stored", kept(1));
    assert_eq!(kept(3), 24, "all once it is stored");
}

/// Counts how often it was made, and how often it was started by what it saved.
struct Diary {
    starts: u64,
    made: Rc<Cell<u32>>,
}

impl App for Diary {
    fn on_start(&mut self, cx: &mut AppCx<'_>, saved: Saved) {
        let earlier = saved.get(&b"starts"[..]).and_then(|value| value.first().copied()).unwrap_or(0);
        self.starts = u64::from(earlier) + 1;
        cx.save(*b"starts", [earlier + 1]);
    }

    fn on_notice(&mut self, _cx: &mut AppCx<'_>, _notice: Notice) {}
}

fn diary(build: impl Fn(&mut Sim<Diary>, NodeId)) -> (u64, u32) {
    let (mut sim, made) = (Sim::new(1), Rc::new(Cell::new(0)));
    let counter = Rc::clone(&made);
    let ann = sim.node("ann", move || {
        counter.set(counter.get() + 1);
        Diary { starts: 0, made: Rc::clone(&counter) }
    });
    build(&mut sim, ann);
    sim.until(secs(20));
    sim.run().expect("it runs");
    let world = sim.world().expect("it ran");
    let app = world.app(ann).expect("she is up");
    assert_eq!(app.made.get(), made.get());
    (app.starts, made.get())
}

#[test]
fn a_restart_makes_the_application_anew_and_gives_it_what_it_saved() {
    let thrice = diary(|sim, ann| {
        for at in [2, 6] {
            sim.at(secs(at), fault::crash(ann));
            sim.at(secs(at + 2), fault::restart(ann));
        }
    });
    assert_eq!((thrice, diary(|_, _| {})), ((3, 3), (1, 1)));
}

#[test]
fn a_rollback_brings_the_disk_of_its_time_back() {
    let rolled = |to| {
        diary(|sim, ann| {
            sim.at(secs(2), fault::crash(ann));
            sim.at(secs(4), fault::restart(ann));
            sim.at(secs(8), fault::rollback(ann, secs(to)));
        })
    };
    assert_eq!([rolled(7), rolled(3)], [(3, 3), (2, 3)], "the second start is forgotten");
}

#[test]
fn a_paused_process_reads_nothing_while_its_system_keeps_the_pipe() {
    let ran = ran(|sim, ann, ben| {
        note(sim, 1_000, ann, ben, "before");
        sim.at(secs(3), fault::pause(ben));
        note(sim, 4_000, ann, ben, "there");
        sim.at(secs(9), fault::resume(ben));
    });
    assert_eq!(ran.time("ben: got note from ann: \"there\""), 9_000);
    assert_eq!(ran.times("down").len(), 0, "no link has ended");
    let silent = self::ran(|sim, ann, ben| {
        note(sim, 1_000, ann, ben, "before");
        sim.at(secs(3), fault::pause(ben));
        sim.until(secs(120));
    });
    // Three keep-alive periods after the last word, ann gives him up.
    assert_eq!(silent.times("ann: link with ben down"), [76_184]);
}

#[test]
fn new_sockets_end_every_pipe_and_another_port_is_found_when_it_is_told() {
    let ran = ran(|sim, ann, ben| {
        note(sim, 1_000, ann, ben, "before");
        sim.at(secs(3), fault::rebind(ben, Some(9_999)));
        sim.at(secs(4), fault::find(ann, ben));
    });
    assert_eq!(ran.times("ann: link with ben down"), [3_020]);
    assert_eq!(ran.times("ben: link with ann down"), [3_000]);
    let attempt = |ran: &Ran| {
        let explanation = ran.world().node(ran.ann).explain(ran.world().user(ran.ben)).expect("she is up");
        explanation.addresses[0].attempt.map(|attempt| attempt.outcome)
    };
    assert_eq!(attempt(&ran), Some(AttemptOutcome::NotConnected(ConnectError::Refused)));
    let told = self::ran(|sim, ann, ben| {
        sim.at(secs(3), fault::rebind(ben, Some(9_999)));
        sim.at(secs(4), fault::introduce(ann, ben));
        sim.at(secs(5), fault::find(ann, ben));
    });
    assert_eq!(attempt(&told), Some(AttemptOutcome::Linked));
}

#[test]
fn a_sleeper_hears_nothing_until_it_wakes() {
    let ran = ran(|sim, ann, ben| {
        note(sim, 1_000, ann, ben, "before");
        sim.at(secs(3), fault::suspend(ben));
        note(sim, 4_000, ann, ben, "there");
        sim.at(secs(6), fault::wake(ben));
        sim.until(secs(60));
    });
    assert!(ran.time("ben: quiet") < 3_100 && ran.time("ben: got note from ann: \"there\"") > 6_000);
}

#[test]
fn a_wall_clock_that_is_an_hour_behind_cannot_meet_a_fresh_delegation() {
    let refused = |offset_ms| {
        let ran = ran(|sim, ann, ben| {
            sim.clock(ben, Clock { offset_ms, drift_ppm: 0 });
            sim.at(secs(1), fault::find(ann, ben));
        });
        ran.times("ben: no link with 10.0.0.1:49152: a delegation is not valid yet")
    };
    // Ten minutes are forgiven.
    assert_eq!([0, -300_000, -3_600_000].map(refused), [vec![], vec![], vec![1_140]]);
}

#[test]
fn a_drifting_clock_ends_a_delegation_early() {
    let ends = |drift_ppm| {
        let ran = ran(|sim, _, ben| {
            sim.clock(ben, Clock { offset_ms: 0, drift_ppm });
            sim.spec(ben).delegation_ms = Some(3_600_000);
            sim.until(secs(4_300));
        });
        ran.time("ben: expired") / 60_000
    };
    // An hour and ten minutes of grace, by a clock that gains a tenth; it is told once a minute.
    assert_eq!([ends(0), ends(100_000)], [70, 63]);
}

#[test]
fn a_clock_that_is_set_counts_at_once_and_can_be_set_right_again() {
    let month_ms = 31 * 24 * 3_600_000;
    let ran = ran(|sim, ann, ben| {
        sim.at(secs(2), fault::clock_step(ben, month_ms));
        sim.at(secs(4), fault::clock_step(ben, -month_ms));
        sim.at(secs(5), fault::find(ann, ben));
    });
    assert_eq!(ran.times("ben: expired"), [2_000]);
    assert_eq!(ran.world().node(ran.ben).phase(), Some(Phase::Running));
    assert_eq!(ran.world().node(ran.ann).links().len(), 1);
}
