//! A node's memory under the worst that peers and embedders do, against what its configuration says.
//!
//! A binary of its own, since an allocator is the whole program's.

mod load;

use load::{Load, heap_bytes, large, lifted, loaded, tight, wordy};
use overcom_core::Config;
use overcom_counted::Counted;

#[global_allocator]
static COUNTED: Counted = Counted;

// spec-test: NODE-8
#[test]
fn no_load_makes_a_node_larger_than_it_says() {
    for config in [Config::embedded(), tight(), wordy(), large()] {
        let Load { node, kept, held, peak, terms, .. } = loaded(config, i64::MAX);
        // The count is a true one: as much comes back with the node.
        let before = heap_bytes();
        drop((node, kept));
        let freed = before - heap_bytes();
        assert!((held - freed).abs() * 50 < held, "{held} counted, {freed} freed");
        let max = config.memory_bytes_max() as i64;
        assert!(peak <= max, "{peak} of {max}");
        // And it is a load.
        assert!(peak * 3 >= max, "{peak} of {max}: {terms:?} of {:?}", config.memory_terms());
        // The DHT's term is held against its own load, in core.
        for (name, max) in config.memory_terms().into_iter().filter(|(name, _)| *name != "dht") {
            let held = terms.iter().find(|(term, _)| *term == name).unwrap().1;
            assert!(held * 12 >= max as i64 && held <= max as i64, "{name}: {held} of {max}");
        }
    }
    // Each bound is one: without it the same load holds more.
    let max = wordy().memory_bytes_max() as i64;
    for (name, config) in lifted() {
        let peak = loaded(config, 2 * max).peak;
        assert!(peak > max, "{peak} of {max} without {name}");
    }
}
