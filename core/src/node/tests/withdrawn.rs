//! Invitations that are taken back, and who is told of their use.

use super::invitations::{HOUR, alice_and_eve};
use super::*;

// spec-test: INVITE-11
#[test]
fn a_withdrawn_invitation_is_good_for_nobody_in_later_lives_too_and_who_has_used_one_stays() {
    let mut net = Net::new(&["alice", "eve", "mallory"]);
    let (open, used) = (net.invite(0, HOUR), net.invite(0, HOUR));
    net.join(1, &used);
    net.pass(Duration::from_secs(1));
    for id in [open.id(), used.id(), open.id(), InvitationId::from_bytes([9; 8])] {
        net.command(0, Command::withdraw(id)).unwrap();
    }
    net.run();
    assert_eq!((net.invitations(0), net.stored(0, b'i'), net.stored(0, b'b')), (Vec::new(), 0, 1));
    for life in 1..=2 {
        let late = net.join(2, &open);
        net.pass(Duration::from_secs(1));
        assert_eq!(net.failed(2, late), Some(FailReason::InvitationUnknown));
        net.restart(0, "alice", life);
        net.pass(Duration::from_secs(11));
    }
    assert_eq!(net.knows(0, 1), [net.seats[1].at.into()]);
}

// spec-test: INVITE-11
#[test]
fn who_is_forgotten_is_not_let_in_again_by_the_invitation_that_they_have_used() {
    let mut net = alice_and_eve();
    let invitation = net.invite(0, HOUR);
    net.join(1, &invitation);
    net.pass(Duration::from_secs(1));
    let eve = net.user(1);
    net.command(0, Command::forget(eve)).unwrap();
    net.pass(Duration::from_secs(30));
    let again = net.join(1, &invitation);
    net.pass(Duration::from_secs(1));
    assert_eq!((net.failed(1, again), net.joined(1)), (Some(FailReason::InvitationUnknown), 1));
    assert_eq!((net.knows(0, 1), net.stored(0, b'i'), net.stored(0, b'b')), (Vec::new(), 0, 0));
    // Nor is the application told of somebody whom it has forgotten before that was stored.
    let invitation = net.invite(0, HOUR);
    net.seats[0].hold_stores = true;
    net.join(1, &invitation);
    net.pass(Duration::from_millis(500));
    net.command(0, Command::forget(eve)).unwrap();
    net.seats[0].hold_stores = false;
    net.pass(Duration::from_secs(1));
    assert_eq!((net.joined_by(0), net.stored(0, b'i'), net.stored(0, b'b')), (1, 0, 0), "{}", net.ladder());
}

// spec-test: INVITE-12
#[test]
fn an_inviter_s_application_hears_once_in_all_lives_who_has_used_an_invitation() {
    let mut net = alice_and_eve();
    let invitation = net.invite(0, HOUR);
    let mut told = 0;
    for life in 1..=3 {
        let tag = net.join(1, &invitation);
        net.pass(Duration::from_secs(1));
        assert!(net.count(1, |it| matches!(it, Notice::Joined { tag: told, .. } if *told == tag)) == 1);
        told += net.joined_by(0);
        net.restart(0, "alice", life);
        net.pass(Duration::from_secs(11));
    }
    assert_eq!(told + net.joined_by(0), 1);
}
