//! What checks may look at: the applications and nodes of a run, read only.

use overcom_core::{App, Explanation, Inspection, LinkView, Node, Notice, OutboxView, Phase, Stats, Time, UserId};

use crate::run::Run;
use crate::sim::NodeId;

/// A run at one moment.
#[derive(Clone, Copy)]
pub struct World<'a, A> {
    pub(crate) run: &'a Run<A>,
}

impl<A> std::fmt::Debug for World<'_, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World(at {})", self.run.engine.now)
    }
}

impl<'a, A: App> World<'a, A> {
    /// The time.
    pub const fn now(&self) -> Time {
        self.run.engine.now
    }

    /// The application of a node; `None` while the node is down.
    pub fn app(&self, node: NodeId) -> Option<&'a A> {
        self.run.life(node.0).map(|life| &life.hosted.app().app)
    }

    /// The applications of all nodes that are up, in the order of the nodes.
    pub fn apps(&self) -> Apps<'a, A> {
        Apps { run: self.run, next: 0 }
    }

    /// A node's own view of itself; empty while it is down.
    pub fn node(&self, node: NodeId) -> NodeView<'a> {
        NodeView { node: self.run.life(node.0).map(|life| life.driver.node()) }
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<A> {
        (0..self.run.engine.machines.len()).map(NodeId)
    }

    /// A node's name.
    pub fn name(&self, node: NodeId) -> &'a str {
        self.run.engine.machines.get(node.0).map_or("", |machine| &machine.name)
    }

    /// A node's user.
    pub fn user(&self, node: NodeId) -> UserId {
        self.run.user(node.0)
    }

    /// What a node told its application since its process started: the first 100,000.
    pub fn notices(&self, node: NodeId) -> &'a [Notice] {
        self.run.life(node.0).map_or(&[], |life| &life.hosted.app().notices)
    }
}

/// A node's view of itself.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    node: Option<&'a Node>,
}

impl<'a> NodeView<'a> {
    /// Whether its process runs.
    pub const fn is_up(&self) -> bool {
        self.node.is_some()
    }

    /// The node itself.
    pub const fn core(&self) -> Option<&'a Node> {
        self.node
    }

    /// Its links.
    pub fn links(&self) -> Vec<LinkView> {
        self.node.map(|node| node.links().collect()).unwrap_or_default()
    }

    /// What it has not delivered.
    pub fn outbox(&self) -> Vec<OutboxView> {
        self.node.map(|node| node.outbox().collect()).unwrap_or_default()
    }

    /// Its counters.
    pub fn stats(&self) -> Stats {
        self.node.map(|node| *node.stats()).unwrap_or_default()
    }

    /// Where it is in its life.
    pub fn phase(&self) -> Option<Phase> {
        self.node.map(|node| node.inspect().phase)
    }

    /// All of it at a glance, for snapshots; `None` while it is down.
    pub fn inspect(&self) -> Option<Inspection> {
        self.node.map(Node::inspect)
    }

    /// Why a user cannot be reached.
    pub fn explain(&self, user: UserId) -> Option<Explanation> {
        self.node.map(|node| node.explain(user))
    }
}

/// The applications that are up.
pub struct Apps<'a, A> {
    run: &'a Run<A>,
    next: usize,
}

impl<A> std::fmt::Debug for Apps<'_, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Apps(from {})", self.next)
    }
}

impl<'a, A: App> Apps<'a, A> {
    /// What each of them answers; beside [`Iterator::map`] the answer can tell whether all are equal.
    pub fn map<B>(self, ask: impl FnMut(&'a A) -> B) -> Answers<B> {
        Answers(Iterator::map(self, ask).collect::<Vec<B>>().into_iter())
    }
}

impl<'a, A: App> Iterator for Apps<'a, A> {
    type Item = &'a A;

    fn next(&mut self) -> Option<&'a A> {
        while self.next < self.run.engine.machines.len() {
            let life = self.run.life(self.next);
            self.next += 1;
            if let Some(life) = life {
                return Some(&life.hosted.app().app);
            }
        }
        None
    }
}

/// What the applications answered.
#[derive(Debug)]
pub struct Answers<B>(std::vec::IntoIter<B>);

impl<B: PartialEq> Answers<B> {
    /// Whether all are equal; so are none and one.
    pub fn all_equal(mut self) -> bool {
        let first = self.0.next();
        self.0.all(|answer| Some(&answer) == first.as_ref())
    }
}

impl<B> Iterator for Answers<B> {
    type Item = B;

    fn next(&mut self) -> Option<B> {
        self.0.next()
    }
}
