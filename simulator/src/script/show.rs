//! What scripts look at between two commands.

use overcom_core::{Keep, Node, OutboxView};

use crate::inbox::Inbox;
use crate::sim::{NodeId, Sim};
use crate::world::World;

/// One question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    Nodes,
    Links(usize),
    Outbox(usize),
    Inbox(usize),
    Book(usize),
    Why(usize, usize),
}

/// How each is written: its word, and how many names follow.
pub(super) const LOOKS: [(&str, usize); 6] = [("nodes", 0), ("links", 1), ("outbox", 1), ("inbox", 1), ("book", 1), ("why", 2)];

impl Look {
    /// The question of this word about these nodes, if there are as many as [`LOOKS`] says.
    pub(super) fn new(word: &str, nodes: &[usize]) -> Option<Self> {
        Some(match (word, nodes) {
            ("nodes", []) => Self::Nodes,
            ("links", [node]) => Self::Links(*node),
            ("outbox", [node]) => Self::Outbox(*node),
            ("inbox", [node]) => Self::Inbox(*node),
            ("book", [node]) => Self::Book(*node),
            ("why", [node, about]) => Self::Why(*node, *about),
            _ => return None,
        })
    }

    /// The answer, at least one line.
    pub(super) fn lines(self, sim: &Sim<Inbox>) -> Vec<String> {
        let (Self::Links(node) | Self::Outbox(node) | Self::Inbox(node) | Self::Book(node) | Self::Why(node, _)) = self else {
            return sim.report().nodes;
        };
        let Ok(world) = sim.world() else { return Vec::new() };
        let Some(core) = world.node(NodeId(node)).core() else { return vec![format!("{} is down", world.name(NodeId(node)))] };
        let (lines, none) = match self {
            Self::Links(_) => (links(&world, core), "no links"),
            Self::Outbox(_) => (core.outbox().map(|view| waiting(&world, &view)).collect(), "nothing waits"),
            Self::Inbox(_) => (inbox(&world, NodeId(node)), "nothing came"),
            Self::Book(_) => (core.inspect().book.iter().map(|user| world.run.names.user(*user)).collect(), "nobody"),
            Self::Why(_, about) => (why(&world, core, NodeId(about)), "nothing waits"),
            Self::Nodes => (sim.report().nodes, "no nodes"),
        };
        if lines.is_empty() { vec![none.into()] } else { lines }
    }
}

fn links(world: &World<'_, Inbox>, core: &Node) -> Vec<String> {
    let line = |view: overcom_core::LinkView| {
        let dialled = if view.dialled { ", dialled" } else { "" };
        format!("linked with {}{dialled}", world.run.names.link(view.with))
    };
    let mut lines: Vec<String> = core.links().map(line).collect();
    lines.sort();
    lines
}

fn waiting(world: &World<'_, Inbox>, view: &OutboxView) -> String {
    let (kept, sent) = (if view.keep == Keep::Disk { "on disk" } else { "in memory" }, if view.sent { ", on its way" } else { "" });
    format!("{} to {}, kept {kept}{sent}", view.kind, world.run.names.user(view.to))
}

fn inbox(world: &World<'_, Inbox>, node: NodeId) -> Vec<String> {
    let messages = world.app(node).map(Inbox::messages).unwrap_or_default();
    let line = |message: &overcom_core::Received| {
        // What a payload holds must not steer the terminal that shows a difference.
        let payload: String = message.payload().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        format!("{} from {}: {payload}", message.kind(), world.run.names.peer(message.from))
    };
    messages.iter().map(line).collect()
}

fn why(world: &World<'_, Inbox>, core: &Node, about: NodeId) -> Vec<String> {
    let explanation = core.explain(world.user(about));
    let causes = explanation.why.iter().map(|why| format!("{} waiting: {why}", explanation.waiting));
    causes.chain(explanation.last_failure.map(|why| format!("what failed last: {why}"))).collect()
}
