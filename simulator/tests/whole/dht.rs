//! The DHT alone, in networks of few machines: from the first two on, found within seconds.

use overcom_core::{
    AppId, Config, Credentials, Delegation, DeviceKeys, DhtNotice, IdentitySecret, NodeSecret, Rng, Seed, Solo, Time, UserId, WallTime,
};
use overcom_simulator::Network;
use overcom_simulator::swarm::{Swarm, Terrain, address};

fn app() -> AppId {
    AppId::new("demo.chat").expect("an app id")
}

fn credentials(n: u8, wall: WallTime) -> (UserId, Credentials) {
    let mut rng = Rng::from_seed(&Seed::from_bytes([n; 32]));
    let (identity, keys) = (IdentitySecret::from_bytes(rng.array()), DeviceKeys::draw(&mut rng));
    let until = WallTime::from_millis(wall.as_millis() + 7 * 24 * 3_600_000);
    let delegation = Delegation::sign(&identity, &keys.grant(app(), wall, until)).expect("a delegation");
    (delegation.user(), keys.credentials(delegation))
}

fn swarm(seed: u64, network: Network) -> Swarm<Solo> {
    Swarm::new(seed, Terrain::flat(network), move |birth| {
        let mut draws = birth.draws;
        let (secret, seed) = (NodeSecret::from_bytes(draws.bytes()), Seed::from_bytes(draws.bytes()));
        let mut solo = Solo::new(Config::test(), &secret, &seed, birth.now, birth.wall).expect("a configuration");
        if birth.machine > 0 {
            solo.set_entries(birth.now, &[address(0)]);
        }
        solo
    })
}

#[test]
fn two_to_fifty_nodes_find_each_other_five_seconds_after_the_last_one_began() {
    for n in [2, 3, 8, 20, 50] {
        let mut swarm = swarm(n.into(), Network { delay_us: 1_000, ..Network::default() });
        swarm.start(n).expect("a start");
        let (user, credentials) = credentials(1, WallTime::from_millis(1_767_225_600_000));
        swarm.with(1, |solo, now| solo.publish(now, credentials)).expect("a run");
        swarm.run_until(Time::from_millis(4_900)).expect("a run");
        let reader = n - 1;
        swarm.with(reader, |solo, now| solo.find(now, user, &app(), None, &[]).map(|_| ())).expect("a run");
        swarm.run_until(Time::from_secs(5)).expect("a run");
        let told = swarm.with(reader, |solo, _| std::iter::from_fn(|| solo.told()).collect::<Vec<_>>()).expect("a run").expect("it is up");
        assert!(told.iter().any(|told| matches!(told, DhtNotice::Found { is_final: true, .. })), "{n}: {told:?}");
    }
}
