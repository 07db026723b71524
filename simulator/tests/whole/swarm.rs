//! Swarms: the same as the plainest engine, whole networks that come and go, and peers that do not keep to the protocol.

use overcom_core::Time;
use overcom_simulator::swarm::{Lasting, Swarm, Terrain};
use overcom_simulator::{Network, compare};

use crate::ping;

#[test]
fn a_swarm_does_to_the_byte_what_the_plainest_engine_does() {
    for (seed, machines) in [(1, 1), (2, 7), (3, 60), (4, 400)] {
        let mut swarm = ping::swarm(seed, machines).expect("they rest");
        let mut plain = ping::Plain::new(seed, machines);
        // Past the minute at which the wall clock is told again, with the small ones.
        for secs in [1, 2, 4, if machines < 100 { 62 } else { 5 }] {
            swarm.run_until(Time::from_secs(secs)).expect("they rest");
            plain.run_until(Time::from_secs(secs));
            let tally = swarm.tally();
            assert_eq!(
                (swarm.marks().digest(), tally.ticks + tally.received),
                (plain.digest(), plain.happened),
                "{machines} machines, {secs} s"
            );
        }
        let answered: u64 = swarm.machines().map(|(_, machine)| u64::from(machine.answered)).sum();
        assert!(answered > 40 * u64::from(machines), "{answered}");
    }
}

/// If this fails and the change was meant, write the new line here.
#[test]
fn the_digest_of_a_swarm_is_that_of_every_build() {
    let terrain = Terrain::world(5, Network { loss_ppm: 10_000, duplicate_ppm: 10_000, reorder_ppm: 10_000, ..ping::network() });
    let run = |seed| {
        let mut swarm = Swarm::new(seed, terrain.clone(), |birth| ping::Ping::new(birth, 300));
        swarm.start(300).expect("they rest");
        swarm.churn(overcom_simulator::swarm::Churn { members: 0..200, session: Lasting::SESSIONS, absence: Lasting::SESSIONS });
        swarm.run_until(Time::from_secs(20)).expect("they rest");
        swarm
    };
    let (one, two) = (run(5), run(5));
    assert_eq!(compare(one.marks(), two.marks()), None);
    assert_ne!(run(6).marks().digest(), one.marks().digest());
    let told = format!("{} after {} events, {:?}", one.marks().digest(), one.marks().count(), one.tally());
    assert_eq!(
        told,
        "792c26df9a56a42a0f7cfca03589b619 after 289184 events, Tally { ticks: 58750, received: 113905, sent: 115929, \
         lost: 1108, unreachable: 1215, joined: 300, left: 12 }"
    );
}
