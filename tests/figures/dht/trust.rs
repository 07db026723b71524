//! Machines that believe of all whom they know that they are still there: what liveness is for is what they miss.

use std::collections::VecDeque;
use std::time::Duration;

use overcom_core::{Action, Path, Time};
use serde_json::json;

use super::fields::Fields;
use super::net::TRIP;

/// What a round trip takes, in the middle.
const ROUND: Duration = Duration::from_micros(2 * TRIP.delay_us + TRIP.jitter_us);

/// Answers the machine's own pings to whom it knows, after a usual time: nobody is sent any.
#[derive(Default)]
pub(crate) struct Trust {
    answers: VecDeque<(Time, Path, Vec<u8>)>,
}

impl Trust {
    /// Whether it is a ping to somebody of whom more than the address is known, which only asks whether that is there.
    pub(crate) fn takes(&mut self, now: Time, action: &Action) -> bool {
        let Action::SendDatagram { path, packet } = action else { return false };
        let Some(asked) = Fields::read(packet.bytes()) else { return false };
        let (Some("ping"), Some(exchange), Some(_)) = (asked.text("q"), asked.text("t"), asked.text("to")) else { return false };
        let answer = json!({"v": 1, "t": exchange, "r": "ping"}).to_string();
        self.answers.push_back((now + ROUND, *path, answer.into_bytes()));
        true
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.answers.front().map(|(at, ..)| *at)
    }

    /// What is to be heard now.
    pub(crate) fn answer(&mut self, now: Time) -> Option<(Path, Vec<u8>)> {
        self.deadline().filter(|at| *at <= now)?;
        self.answers.pop_front().map(|(_, path, answer)| (path, answer))
    }
}

#[cfg(test)]
mod tests {
    use overcom_core::Packet;

    use super::*;

    #[test]
    fn only_who_is_asked_whether_it_is_still_there_is_believed_to_be_after_a_round_trip() {
        let at = "20.1.1.1:7575".parse().expect("an address");
        let path = Path { local: at, remote: at };
        let said = |what: &str| Action::SendDatagram { path, packet: Packet::from(what.as_bytes().to_vec()) };
        let mut trust = Trust::default();
        for other in [
            r#"{"v":1,"t":"R9xUDJTOtwQ","q":"ping","pad":"..."}"#,
            r#"{"v":1,"t":"R9xUDJTOtwQ","q":"find","to":"OKdKEkNxGbw"}"#,
            r#"{"v":1,"t":"R9xUDJTOtwQ","r":"ping"}"#,
        ] {
            assert!(!trust.takes(Time::ZERO, &said(other)), "{other}");
        }
        assert!(trust.deadline().is_none());
        assert!(trust.takes(Time::ZERO, &said(r#"{"v":1,"t":"R9xUDJTOtwQ","q":"ping","to":"OKdKEkNxGbw"}"#)));
        assert_eq!((trust.deadline(), trust.answer(Time::from_millis(99))), (Some(Time::from_millis(100)), None));
        let answer = trust.answer(Time::from_millis(100)).map(|(from, answer)| (from, String::from_utf8(answer)));
        let expected = r#"{"r":"ping","t":"R9xUDJTOtwQ","v":1}"#.to_owned();
        assert_eq!((answer, trust.deadline()), (Some((path, Ok(expected))), None));
    }
}
