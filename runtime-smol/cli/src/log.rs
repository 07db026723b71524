//! What a node does, in lines on standard error, for whoever looks after it.
//!
//! Who it is with and where stands at `debug` and below only. What messages hold, keys and invitations stand nowhere.

use clap::ValueEnum;
use overcom_core::{DhtNotice, DhtStanding, Notice};
use tracing::level_filters::LevelFilter;
use tracing::{debug, info, warn};

/// How much is told.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Level {
    /// What somebody has to do something about
    Warn,
    /// And what happens, without anybody's name or address
    Info,
    /// And with whom, and where
    Debug,
}

/// From now on lines of this level and above are written. Once in a process.
pub(crate) fn start(level: Level) {
    let level = match level {
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false).with_ansi(false).init();
}

/// Tells of a notice; what kind it is stands in its line for sessions.
pub(crate) fn notice(kind: &str, notice: &Notice) {
    let why = if let Notice::LinkDown { why, .. } | Notice::Refused { why, .. } = notice {
        why.to_string()
    } else if let Notice::Failed { why, .. } = notice {
        why.to_string()
    } else if let Notice::Stopped { why, .. } = notice {
        why.explain().0.to_owned()
    } else if let Notice::Dht(DhtNotice::Standing { standing, .. }) = notice {
        standing.to_string()
    } else {
        String::new()
    };
    let is_ill = matches!(
        notice,
        Notice::Stopped { .. }
            | Notice::Expired
            | Notice::Revoked
            | Notice::ClockOff { .. }
            | Notice::Twin { .. }
            | Notice::EntryChanged { .. }
            | Notice::Dht(DhtNotice::EclipseSuspected | DhtNotice::Fork | DhtNotice::Standing { standing: DhtStanding::Isolated, .. })
    );
    // Most notices have no reason, and no empty field for it.
    match (is_ill, why.as_str()) {
        (true, "") => warn!("{kind}"),
        (true, why) => warn!(why, "{kind}"),
        (false, "") => info!("{kind}"),
        (false, why) => info!(why, "{kind}"),
    }
    let remote = if let Notice::LinkUp { remote, .. } | Notice::Refused { remote, .. } = notice { Some(remote) } else { None };
    match (notice.user(), remote) {
        (Some(user), Some(remote)) => debug!(%user, %remote, "{kind}"),
        (Some(user), None) => debug!(%user, "{kind}"),
        (None, Some(remote)) => debug!(%remote, "{kind}"),
        (None, None) => {}
    }
}

/// Tells that the node runs.
pub(crate) fn started(app: &str) {
    info!(version = env!("CARGO_PKG_VERSION"), app, "the node runs");
}

/// Tells that it has ended.
pub(crate) fn ended() {
    info!("the node has ended");
}
