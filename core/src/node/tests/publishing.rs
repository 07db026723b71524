//! What an application may have told of where its device is.

use super::dht::{ask, entered};
use super::*;

// spec-test: DHT-162
#[test]
fn what_no_record_may_tell_is_refused_with_its_reason_and_so_is_a_fourth_address_of_a_reach() {
    let mut net = entered(&["seed", "alice", "carol"]);
    let mut publish = |addresses: &[&str]| {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|at| at.parse().unwrap()).collect();
        net.command(1, Command::publish(DhtPolicy::Everyone, addresses)).map(|_| ())
    };
    for (at, why) in [
        ("224.0.0.1:1", Undialled::Multicast),
        ("[ff02::1]:1", Undialled::Multicast),
        ("0.0.0.0:1", Undialled::Unspecified),
        ("10.0.0.9:0", Undialled::Port),
        ("[fe80::1]:5", Undialled::LinkLocal),
        ("[fe80::1%3]:5", Undialled::LinkLocal),
        ("[2002:cb00:7109::1]:5", Undialled::Gateway),
        ("[64:ff9b::203.0.113.9]:5", Undialled::Gateway),
    ] {
        assert_eq!(publish(&["10.0.0.97:1", at]), Err(CommandError::Undialled(why)), "{at}");
    }
    let four = ["10.0.0.99:1", "10.0.0.99:2", "10.0.0.99:3", "10.0.0.99:4"];
    assert_eq!(publish(&four), Err(CommandError::Places));
    assert_eq!(publish(&[four[0], four[0], four[1], "[::ffff:10.0.0.99]:2", four[2]]), Ok(()), "said twice is said once");
    assert_eq!(publish(&[four[0], four[1], four[2], "203.0.113.1:1", "203.0.113.1:2", "203.0.113.1:3"]), Ok(()));
    net.pass(Duration::from_secs(30));
    let told: Vec<SocketAddr> = four[..3].iter().map(|at| at.parse().unwrap()).collect();
    assert_eq!(ask(&mut net, 2, 1).0, [told], "each that was taken is told");
}

// spec-test: DHT-162
#[test]
fn until_when_others_may_say_where_a_device_is_is_known_and_after_a_restart_too() {
    let mut net = entered(&["seed", "alice", "carol"]);
    let told = |net: &Net| (net.seats[1].driver.node().told_until(), net.seats[1].driver.node().is_leaving());
    let (Some(until), false) = told(&net) else { panic!("{:?}", told(&net)) };
    net.pass(Duration::from_secs(3_600));
    let (Some(later), false) = told(&net) else { panic!("{:?}", told(&net)) };
    assert!((2_100..=3_300).contains(&later.since(until).as_secs()), "{until:?} {later:?}");
    net.command(1, Command::publish(DhtPolicy::Nobody, [])).unwrap();
    assert_eq!(told(&net), (Some(later), true), "nobody has been asked yet");
    net.pass(Duration::from_secs(20));
    assert_eq!(told(&net), (None, true), "those who were told have forgotten it");
    net.pass(Duration::from_secs(60));
    assert_eq!(told(&net), (None, false));
    let mut net = entered(&["seed", "alice", "carol"]);
    let (Some(until), false) = told(&net) else { panic!("{:?}", told(&net)) };
    // The next life has told nobody anything, so nobody is asked to forget.
    net.restart(1, "alice", 1);
    net.pass(Duration::from_millis(500));
    net.command(1, Command::publish(DhtPolicy::Nobody, [])).unwrap();
    assert_eq!(told(&net), (Some(until), false));
    net.pass(Duration::from_secs(7_000));
    assert_eq!(told(&net), (Some(until), false));
    net.pass(Duration::from_secs(300));
    assert_eq!(told(&net), (None, false));
}
