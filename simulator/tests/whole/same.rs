//! One seed is one run: again, and in every build until somebody changes what happens on purpose.

use overcom_simulator::{Inbox, Network, Sim, compare, fault, millis, secs};

const SEEDS: [u64; 3] = [0, 1, 0xC0FFEE];

/// Three nodes that talk while nothing goes wrong.
fn calm(sim: &mut Sim<Inbox>) {
    let [ann, ben, cho] = sim.nodes(["ann", "ben", "cho"], Inbox::new);
    sim.introduce(ann, [ben]);
    sim.introduce(cho, [ben]);
    for n in 0..10 {
        sim.send_at(secs(1) + millis(n * 300), ann, ben, "note", &n.to_string()).expect("it is a message");
        sim.send_at(secs(2) + millis(n * 200), cho, ann, "note", &n.to_string()).expect("it is a message");
    }
    sim.until(secs(40));
}

/// The same on a bad network, with a node that falls and one whose sockets change.
fn rough(sim: &mut Sim<Inbox>) {
    calm(sim);
    let [ann, ben, cho] = ["ann", "ben", "cho"].map(|name| sim.find(name).expect("she is there"));
    sim.network(Network::default().loss_ppm(50_000));
    sim.at(secs(2), fault::partition_one_way([ann], [ben]));
    sim.at(secs(3), fault::crash(ben));
    sim.at(secs(4), fault::restart(ben));
    sim.at(secs(5), fault::rebind(cho, Some(7_600)));
    sim.at(secs(6), fault::rollback(ann, secs(3)));
    sim.at(secs(7), fault::heal());
}

type Build = fn(&mut Sim<Inbox>);

const SCENARIOS: [(&str, Build); 2] = [("calm", calm), ("rough", rough)];

fn ran(build: Build, seed: u64) -> (overcom_simulator::Report, String) {
    let mut sim = Sim::new(seed);
    build(&mut sim);
    let report = sim.run().expect("it runs");
    assert_eq!(report.failure, None);
    (report, sim.ladder().to_string())
}

#[test]
fn the_same_seed_gives_the_same_digest_and_the_same_ladder() {
    for (name, build) in SCENARIOS {
        for seed in 0..24 {
            let ((one, ladder), (two, again)) = (ran(build, seed), ran(build, seed));
            assert_eq!(compare(&one.marks, &two.marks), None, "{name}, seed {seed:#x}");
            assert_eq!((one.digest, ladder), (two.digest, again), "{name}, seed {seed:#x}");
        }
    }
}

/// If this fails and the change was meant, write the new lines here.
#[test]
fn the_digests_of_these_seeds_are_those_of_every_build() {
    let mut lines = Vec::new();
    for (name, build) in SCENARIOS {
        for seed in SEEDS {
            let (report, _) = ran(build, seed);
            lines.push(format!("{name} {seed:#x}: {} after {} events", report.digest, report.marks.count()));
        }
    }
    assert_eq!(lines, GOLDEN, "{lines:#?}");
}

const GOLDEN: [&str; 6] = [
    "calm 0x0: 4e2f4b1e59658fcbc02985b650ca29e8 after 372 events",
    "calm 0x1: d64ddae88eafb9cfe7ce7ff513aed6d0 after 372 events",
    "calm 0xc0ffee: 7ae28a934e78e1a1d1f5c88e95702664 after 372 events",
    "rough 0x0: 840d14878f2a11dd6eb41073beecde8c after 317 events",
    "rough 0x1: 67ee797f11e8bd549614bad00c47ea73 after 352 events",
    "rough 0xc0ffee: 34c37992900d48d69c30c7e109d76ecd after 297 events",
];
