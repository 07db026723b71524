//! How fast this machine is beside the one on which absolute promises were made, so that they can be held to on another.

use std::fmt;

use overcom_core::Crypto;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::figure::median;
use crate::meter::cpu_of;

/// What each took on the reference, in nanoseconds: one strict check of a signature and the decode of a line of 324 bytes with
/// its payload (measured), one look-up in a table of 64 MiB whose place follows from the one before (guess: a server's memory).
const REFERENCE: [f64; 3] = [50_000.0, 242.0, 100.0];
/// Entries of the table.
const ENTRIES: usize = 64 << 20 >> 2;
/// Measurements of each; the middle one counts.
const ROUNDS: u64 = 5;

/// This machine, now.
pub(crate) struct Speed {
    nanos: [f64; 3],
}

impl Speed {
    /// Measures it; takes about a second.
    pub(crate) fn measure() -> Result<Self, String> {
        let crypto = Crypto::standard();
        let (secret, message) = ([7; 32], b"how fast is this machine");
        let (public, signature) = (crypto.public_of_signing(&secret), crypto.sign(&secret, message));
        if !crypto.verify(&public, message, &signature) {
            return Err("a signature is not accepted".into());
        }
        let verify = nanos(500, || crypto.verify(&public, message, &signature));
        let line = line();
        let decode = nanos(50_000, || {
            let line = serde_json::from_str::<Line<'_>>(&line).ok()?;
            serde_json::from_str::<Payload<'_>>(line.message.payload.get()).ok().map(|payload| payload.text.len())
        });
        let table: Vec<u32> = (0..ENTRIES as u32).map(|n| n.wrapping_mul(0x9E37_79B1)).collect();
        let (mut place, mut step) = (0_u32, 0_u32);
        let look_up = nanos(1_000_000, || {
            let entry = table.get(place as usize % ENTRIES).copied().unwrap_or_default();
            // Without the step it would soon go round in a circle that fits the cache.
            step = step.wrapping_add(0x6C07_8965);
            place = (entry ^ place).wrapping_add(step).wrapping_mul(0x85EB_CA6B).rotate_left(13);
            place
        });
        Ok(Self { nanos: [verify, decode, look_up] })
    }

    /// How many times as fast as the reference: the geometric mean of the three.
    pub(crate) fn factor(&self) -> f64 {
        REFERENCE.iter().zip(self.nanos).map(|(reference, here)| reference / here).product::<f64>().cbrt()
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [verify, decode, look_up] = self.nanos;
        write!(f, "{:.2} times the reference: verify {verify:.0}, decode {decode:.0}, look-up {look_up:.0} ns", self.factor())
    }
}

/// One call of `work`: the middle of some means.
fn nanos<T>(times: u32, mut work: impl FnMut() -> T) -> f64 {
    median((0..ROUNDS).map(|_| cpu_of(times, &mut work).as_nanos() as f64).collect())
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    message: Inner<'a>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(rename = "number")]
    _number: u64,
    #[serde(borrow, rename = "type")]
    _kind: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Payload<'a> {
    text: &'a str,
}

/// A message as it goes over a link, 324 bytes.
fn line() -> String {
    format!(r#"{{"message":{{"number":1234567,"type":"text","payload":{{"text":"{}"}}}}}}"#, "x".repeat(258))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_its_length_and_reads() {
        assert_eq!(line().len(), 324);
        let line = line();
        let message = serde_json::from_str::<Line<'_>>(&line).expect("it reads").message;
        assert_eq!(serde_json::from_str::<Payload<'_>>(message.payload.get()).expect("it reads").text.len(), 258);
    }

    #[test]
    fn a_machine_that_takes_half_the_time_is_twice_as_fast() {
        assert!((Speed { nanos: REFERENCE.map(|nanos| nanos / 2.0) }.factor() - 2.0).abs() < 1e-9);
    }
}
