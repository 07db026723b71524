//! `memory-bound`: the most that a node holds, against what its configuration says.

use overcom_core::Config;

use crate::figure::{Measured, Size};
use crate::load::loaded;

/// The most bytes that a node held under everything at once, over `Config::memory_bytes_max`; the largest of some
/// configurations. The control's node may keep eight times the messages that the bound was reckoned with.
pub(crate) fn memory_bound(size: Size) -> Result<Measured, String> {
    let small = Config::embedded();
    let tight = small.line_bytes_max(4 << 10).window_bytes(64 << 10).outbox_bytes_max(1 << 20);
    let large = Config::test().links_user_max(6).line_bytes_max(256 << 10).pipes_pending_max(16).book_users_max(64);
    let mut worst = (0.0, String::new());
    let rows = [(small, 8, 40, 1), (tight, 8, 40, 3), (large, 6, 80, 200)];
    let rows = if size == Size::Quick { &rows[..2] } else { &rows[..] };
    for (config, links, users, kib) in rows {
        let (peak, max) = (loaded(*config, *links, *users, *kib, 2_000).peak as f64, config.memory_bytes_max() as f64);
        if peak / max > worst.0 {
            worst = (peak / max, format!("{:.0} of {:.0} KiB with {links} links", peak / 1_024.0, max / 1_024.0));
        }
    }
    let lifted = tight.outbox_bytes_max(64 << 20).outbox_messages_max(65_536);
    let control = loaded(lifted, 8, 40, 3, 20_000).peak as f64 / tight.memory_bytes_max() as f64;
    Ok(Measured {
        value: worst.0,
        unit: "of the bound",
        target: 1.0,
        control,
        size: rows.len() as u64,
        seeds: 1,
        detail: format!("{}; control: a node whose outbox may hold 64 MiB, against the bound for 1 MiB", worst.1),
    })
}
