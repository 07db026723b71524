//! Under the harness of `main!`, over every seed: faults do to processes what they say, the protocol keeps its promises and
//! an application comes together.

mod promise;
mod todo;

use overcom_simulator::{Inbox, Sim, fault, main, secs};
use promise::{
    a_rolled_back_store_stops_nobody, a_store_from_before_the_first_link_says_the_same_ids, stored_messages_come_through_every_fault,
};
use todo::a_partition_heals;

fn a_crashed_node_comes_back(sim: &mut Sim<Inbox>) {
    let [ann, ben] = sim.nodes(["ann", "ben"], Inbox::new);
    sim.introduce(ann, [ben]);
    sim.at(secs(5), fault::crash(ben));
    sim.at(secs(9), fault::restart(ben));
    sim.always("ann is up", move |w| w.node(ann).is_up());
    sim.sometimes("ben is down", move |w| !w.node(ben).is_up());
    sim.eventually("ben is up", secs(70), move |w| w.node(ben).is_up());
}

fn a_rolled_back_node_starts_again(sim: &mut Sim<Inbox>) {
    let [ann, ben] = sim.nodes(["ann", "ben"], Inbox::new);
    sim.at(secs(5), fault::pause(ann));
    sim.at(secs(6), fault::rollback(ben, secs(1)));
    sim.at(secs(7), fault::resume(ann));
    sim.eventually("both are up", secs(70), move |w| w.node(ann).is_up() && w.node(ben).is_up());
}

main!(
    a_crashed_node_comes_back,
    a_rolled_back_node_starts_again,
    stored_messages_come_through_every_fault,
    a_rolled_back_store_stops_nobody,
    a_store_from_before_the_first_link_says_the_same_ids,
    a_partition_heals,
);
