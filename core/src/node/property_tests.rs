//! Properties that hold for any input: same inputs give the same actions, nothing panics, refused wishes leave no trace.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::tests::{WALL, credentials};
use crate::fuzz::{STEP_BYTES, node_of, step};
use crate::*;

fn steps() -> impl Strategy<Value = Vec<[u8; STEP_BYTES]>> {
    prop::collection::vec(any::<[u8; STEP_BYTES]>(), 0..60)
}

fn fresh() -> Node {
    node_of(credentials("bob", "test"), WALL).unwrap()
}

fn drain(node: &mut Node) -> Vec<Action> {
    core::iter::from_fn(|| node.poll()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_inputs_give_the_same_actions_however_often_they_are_polled(steps in steps(), polls in any::<u64>()) {
        let (mut often, mut seldom) = (fresh(), fresh());
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let (mut now_a, mut now_b) = (Time::from_secs(1), Time::from_secs(1));
        for (at, bytes) in steps.iter().enumerate() {
            step(&mut often, &mut now_a, bytes);
            a.append(&mut drain(&mut often));
            step(&mut seldom, &mut now_b, bytes);
            if polls >> (at % 64) & 1 == 1 {
                b.extend(seldom.poll());
            }
        }
        a.append(&mut drain(&mut often));
        b.append(&mut drain(&mut seldom));
        prop_assert_eq!(a, b);
        prop_assert_eq!(often.deadline(), seldom.deadline());
    }

    #[test]
    fn a_refused_command_leaves_no_trace(steps in steps(), suspended in any::<bool>()) {
        let (mut asked, mut plain) = (fresh(), fresh());
        let (mut now_a, mut now_b) = (Time::from_secs(1), Time::from_secs(1));
        if suspended {
            for node in [&mut asked, &mut plain] {
                let _ = node.command(Time::from_secs(1), Command::Suspend);
            }
        }
        for bytes in &steps {
            for command in refused(&asked) {
                prop_assert!(asked.command(now_a, command).is_err());
            }
            step(&mut asked, &mut now_a, bytes);
            step(&mut plain, &mut now_b, bytes);
            prop_assert_eq!(drain(&mut asked), drain(&mut plain));
        }
        prop_assert_eq!(asked.deadline(), plain.deadline());
    }

    #[test]
    fn an_early_tick_changes_nothing_and_late_ticks_lead_past_every_deadline(steps in steps(), late_ms in 0_u64..100_000_000) {
        let (mut ticked, mut plain) = (fresh(), fresh());
        let (mut now_a, mut now_b) = (Time::from_secs(1), Time::from_secs(1));
        for bytes in &steps {
            if ticked.deadline().is_none_or(|due| due > now_a) {
                ticked.handle(now_a, Event::Tick);
            }
            step(&mut ticked, &mut now_a, bytes);
            step(&mut plain, &mut now_b, bytes);
            prop_assert_eq!(drain(&mut ticked), drain(&mut plain));
        }
        let now = now_a + core::time::Duration::from_millis(late_ms);
        for _ in 0..200 {
            ticked.handle(now, Event::Tick);
        }
        prop_assert!(ticked.deadline().is_none_or(|due| due > now), "{:?}", ticked.wake());
    }

    #[test]
    fn time_that_goes_back_is_the_time_that_was(steps in steps(), back_ms in 1_u64..1_000_000) {
        let (mut back, mut plain) = (fresh(), fresh());
        let mut now = Time::from_secs(1);
        for bytes in &steps {
            let mut earlier = now;
            step(&mut plain, &mut now, bytes);
            step(&mut back, &mut earlier, bytes);
            // The same moment again, told as an earlier one.
            plain.handle(now, Event::Tick);
            back.handle(Time::from_micros(now.as_micros().saturating_sub(back_ms * 1_000)), Event::Tick);
            prop_assert_eq!(drain(&mut back), drain(&mut plain));
        }
        prop_assert_eq!(back.deadline(), plain.deadline());
    }
}

/// Wishes that no node grants, whatever its phase.
fn refused(node: &Node) -> [Command; 4] {
    let me = node.me();
    let own = node.0.own.credentials.delegation().clone();
    let message = Message::new("bla", &1).unwrap();
    let nowhere: core::net::SocketAddr = "0.0.0.0:1".parse().unwrap();
    [
        Send::new(me.user, message).to_device(me.device).into(),
        Command::introduce(me.user, []),
        Command::introduce(me.user, [nowhere.into()]),
        Command::renew(own),
    ]
}
