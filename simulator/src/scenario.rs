//! A scenario: everything about a run that is data. The builder and the JSON file are the same object.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{Config, Crypto, Entry, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Clock;
use crate::network::{Network, standard_address};

/// The version of scenario files that this crate reads and writes.
pub const SCENARIO_VERSION: u32 = 0;

/// The longest run, a leap year: a delegation lasts for a month, a message for a week.
pub(crate) const TIME_MS_MAX: u64 = 366 * 24 * 3_600_000;
const TIME_RANGE: &str = "at most 31622400000, a year";

/// What nodes seal, sign and agree on keys with. Nodes of different modes cannot meet (spec: CRYPTO-8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CryptoMode {
    /// What goes over real networks.
    #[default]
    Standard,
    /// Next to free, of the same sizes, refuses what was changed by accident, keeps no secret: for many nodes or many
    /// seeds. Where links are opened all the time a run takes less than a third of the CPU (measured: `examples/crowd.rs`,
    /// 3,000 nodes, 12,000 links: 1.9 s against 6.5 s).
    Ideal,
}

impl CryptoMode {
    /// The table of functions.
    pub const fn table(self) -> Crypto {
        match self {
            Self::Standard => Crypto::standard(),
            Self::Ideal => Crypto::ideal(),
        }
    }
}

impl fmt::Display for CryptoMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table().name())
    }
}

/// Nodes, network and steps; JSON `{"overcom_scenario":0,"seed":…,"nodes":[…],"network":{…},"steps":[…],"until_ms":…}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// [`SCENARIO_VERSION`].
    pub overcom_scenario: u32,
    /// Decides every draw.
    pub seed: u64,
    /// What all nodes compute with; default [`CryptoMode::Standard`].
    #[serde(default)]
    pub crypto: CryptoMode,
    /// In the order in which they start.
    #[serde(default)]
    pub nodes: Vec<NodeSpec>,
    /// Every link that no step has changed.
    #[serde(default)]
    pub network: Network,
    /// What happens, in any order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// When the run ends; without it ten seconds after the last step, or when the last check is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// One node and its machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Its name, alone in the scenario; `<name>.sim` resolves to its address.
    pub name: String,
    /// Where it listens; default `10.0.0.1:7575` for the first node, and on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Whose device it is: nodes with the same user have the same identity. Default: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its app id; default `sim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The nodes whose addresses stand in its address book.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knows: Vec<String>,
    /// The nodes that it enters the network by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
    /// How wrong its wall clock is.
    #[serde(default)]
    pub clock: Clock,
    /// How long its delegation lasts from the start of the run; default 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation_ms: Option<u64>,
    /// What it computes with; default the scenario's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crypto: Option<CryptoMode>,
    /// Its bounds; default [`Config::desktop`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Config>,
}

impl NodeSpec {
    /// A node of this name with every default.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            address: None,
            user: None,
            app: None,
            knows: Vec::new(),
            entries: Vec::new(),
            clock: Clock::default(),
            delegation_ms: None,
            crypto: None,
            config: None,
        }
    }
}

/// One thing that happens at one time; shrinking takes steps away by their ids.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Alone in the scenario.
    pub id: String,
    /// When, in milliseconds from the start.
    pub at_ms: u64,
    /// What.
    #[serde(rename = "do")]
    pub what: Do<String>,
}

/// What a step does. `N` is how nodes are named: [`NodeId`](crate::NodeId) in the builder, text in files.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Do<N> {
    /// Nothing passes from the first group to the second, nor back unless `one_way`.
    Partition {
        /// The first group.
        from: Vec<N>,
        /// The second group.
        to: Vec<N>,
        /// Whether the way back stays open.
        #[serde(default)]
        one_way: bool,
    },
    /// All partitions end.
    Heal,
    /// The process and its memory are gone; of unsynced writes a prefix survives.
    Crash(N),
    /// A crashed node starts again, on its disk, with a fresh seed.
    Restart(N),
    /// The process stands still; its machine's system works on.
    Pause(N),
    /// A paused process goes on.
    Resume(N),
    /// All its sockets are new.
    Rebind {
        /// Which node.
        node: N,
        /// Its new port; none: the same as before.
        #[serde(default)]
        port: Option<u16>,
    },
    /// It crashes, gets the disk back that it had at an earlier time, and starts.
    Rollback {
        /// Which node.
        node: N,
        /// The time, in milliseconds from the start.
        to_ms: u64,
    },
    /// Its disk takes so long from now on.
    SlowDisk {
        /// Which node.
        node: N,
        /// For each batch and each read.
        latency_ms: u64,
    },
    /// Its disk fails from now on: `full` when it is written, `corrupt` and `newer` when it is read, `failed` both; `null`
    /// mends it.
    FailDisk {
        /// Which node.
        node: N,
        /// How.
        why: Option<StoreError>,
    },
    /// Its wall clock is set, and it is told.
    ClockStep {
        /// Which node.
        node: N,
        /// Forward by so many milliseconds (negative: back).
        by_ms: i64,
    },
    /// One direction of one link changes.
    SetLink {
        /// From where.
        from: N,
        /// To where.
        to: N,
        /// To what.
        network: Network,
    },
    /// All links change.
    SetNetwork(Network),
    /// A node sends a message to another one's user.
    Send {
        /// Who sends.
        from: N,
        /// To whose user.
        to: N,
        /// The message's type.
        r#type: String,
        /// Any JSON.
        payload: Box<RawValue>,
    },
    /// A node looks for another one's user.
    Find {
        /// Who looks.
        from: N,
        /// Whose user is looked for.
        to: N,
    },
    /// A node gets another one's address into its address book.
    Introduce {
        /// Who learns.
        from: N,
        /// About whom.
        to: N,
    },
    /// A node takes another one's user out of its address book and gives up what waits for them.
    Forget {
        /// Who forgets.
        from: N,
        /// Whose user is forgotten.
        to: N,
    },
    /// A node makes an invitation with its own address.
    Invite {
        /// Who invites.
        node: N,
        /// For how long: up to 30 days.
        life_ms: u64,
    },
    /// A node uses the last invitation that another one has made; nothing if there is none yet.
    Join {
        /// Who joins.
        from: N,
        /// Whose invitation.
        to: N,
    },
    /// A node takes back the last invitation that it has made; nothing if there is none yet.
    Withdraw(N),
    /// A node's identity signs that a device of its own is taken back, and the node spreads it.
    Revoke {
        /// Who spreads it.
        by: N,
        /// Whose device; one of the same user, or it means nothing to anybody.
        device: N,
    },
    /// A node gets a new delegation, which lasts from now as long as its first.
    Renew(N),
    /// A node goes to sleep.
    Suspend(N),
    /// A suspended node gets new sockets and wakes.
    Wake(N),
    /// One call of a workload of the test's own.
    Call {
        /// Which node's application.
        node: N,
        /// The workload's name.
        workload: String,
        /// The number of the call, which decides its draws.
        number: u64,
    },
}

impl<N> Do<N> {
    /// The same with other names for nodes; the first name that cannot be told is the error.
    pub(crate) fn rename<M, E>(self, mut name: impl FnMut(N) -> Result<M, E>) -> Result<Do<M>, E> {
        let n = &mut name;
        Ok(match self {
            Self::Partition { from, to, one_way } => {
                let from = from.into_iter().map(&mut *n).collect::<Result<_, E>>()?;
                Do::Partition { from, to: to.into_iter().map(n).collect::<Result<_, E>>()?, one_way }
            }
            Self::Heal => Do::Heal,
            Self::Crash(node) => Do::Crash(n(node)?),
            Self::Restart(node) => Do::Restart(n(node)?),
            Self::Pause(node) => Do::Pause(n(node)?),
            Self::Resume(node) => Do::Resume(n(node)?),
            Self::Rebind { node, port } => Do::Rebind { node: n(node)?, port },
            Self::Rollback { node, to_ms } => Do::Rollback { node: n(node)?, to_ms },
            Self::SlowDisk { node, latency_ms } => Do::SlowDisk { node: n(node)?, latency_ms },
            Self::FailDisk { node, why } => Do::FailDisk { node: n(node)?, why },
            Self::ClockStep { node, by_ms } => Do::ClockStep { node: n(node)?, by_ms },
            Self::SetLink { from, to, network } => Do::SetLink { from: n(from)?, to: n(to)?, network },
            Self::SetNetwork(network) => Do::SetNetwork(network),
            Self::Send { from, to, r#type, payload } => Do::Send { from: n(from)?, to: n(to)?, r#type, payload },
            Self::Find { from, to } => Do::Find { from: n(from)?, to: n(to)? },
            Self::Introduce { from, to } => Do::Introduce { from: n(from)?, to: n(to)? },
            Self::Forget { from, to } => Do::Forget { from: n(from)?, to: n(to)? },
            Self::Invite { node, life_ms } => Do::Invite { node: n(node)?, life_ms },
            Self::Join { from, to } => Do::Join { from: n(from)?, to: n(to)? },
            Self::Withdraw(node) => Do::Withdraw(n(node)?),
            Self::Revoke { by, device } => Do::Revoke { by: n(by)?, device: n(device)? },
            Self::Renew(node) => Do::Renew(n(node)?),
            Self::Suspend(node) => Do::Suspend(n(node)?),
            Self::Wake(node) => Do::Wake(n(node)?),
            Self::Call { node, workload, number } => Do::Call { node: n(node)?, workload, number },
        })
    }
}

/// What is wrong with a scenario file, in words that say the way out.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read: which, and why.
    File(String, String),
    /// Not JSON at all: line, column and what is expected there.
    Json(String),
    /// JSON, but not a scenario's: line, column and what is expected there.
    Shape(String),
    /// There is no node.
    NoNodes,
    /// A number beyond its range: where, and the range in words.
    Range(String, &'static str),
    /// Two nodes listen at this address.
    SameAddress(SocketAddr),
    /// Of another version.
    Version(u32),
    /// Two nodes or two steps with this name.
    Twice(String),
    /// A step or a node names a node that is not there.
    UnknownNode(String),
    /// A step that only a test with this workload can do.
    UnknownWorkload(String),
    /// Something else about this node.
    Node(String, String),
    /// It is of other nodes than those of the test that follows it, which are these.
    OtherNodes(Vec<String>),
    /// A message that cannot be sent, by its step.
    Message(String, String),
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, why) => write!(f, "{file} cannot be read: {why}"),
            Self::Json(why) => {
                write!(f, "this is not JSON: {why}; a scenario begins {{\"overcom_scenario\":0,\"seed\":1,\"nodes\":[{{\"name\":\"ann\"}}]")
            }
            Self::Shape(why) => {
                write!(f, "not a scenario: {why}; mend it there, as `overcom_simulator::Scenario` says what may stand where")
            }
            Self::NoNodes => f.write_str("there are no nodes, so nothing would happen: \"nodes\":[{\"name\":\"ann\"}]"),
            Self::Range(place, range) => write!(f, "{place} must be {range}"),
            Self::SameAddress(address) => write!(f, "two nodes listen at {address}: give one of them another \"address\""),
            Self::Version(version) => {
                write!(f, "this is a scenario of version {version}; this program reads version {SCENARIO_VERSION}: \"overcom_scenario\":0")
            }
            Self::Twice(name) => write!(f, "\"{name}\" is there twice: names of nodes and ids of steps must differ"),
            Self::UnknownNode(name) => write!(f, "there is no node \"{name}\": add it to \"nodes\" or correct the name"),
            Self::UnknownWorkload(name) => {
                write!(f, "there is no workload \"{name}\" here: run the test that wrote this file, with OVERCOM_SCENARIO=FILE")
            }
            Self::Node(name, why) => write!(f, "node \"{name}\" cannot be made: {why}"),
            Self::OtherNodes(names) => {
                write!(f, "the test has other nodes than this file: {}; run the test that wrote it", names.join(", "))
            }
            Self::Message(id, why) => write!(f, "step \"{id}\" cannot send: {why}"),
        }
    }
}

impl std::error::Error for ScenarioError {}

impl Scenario {
    /// An empty one.
    pub fn new(seed: u64) -> Self {
        let network = Network::default();
        let crypto = CryptoMode::Standard;
        Self { overcom_scenario: SCENARIO_VERSION, seed, crypto, nodes: Vec::new(), network, steps: Vec::new(), until_ms: None }
    }

    /// Reads and checks a file's text.
    ///
    /// # Errors
    /// [`ScenarioError`] with line and column, or with the name that is wrong.
    pub fn from_json(text: &str) -> Result<Self, ScenarioError> {
        let wrong = |why: serde_json::Error| {
            // Numbers and depths beyond what is read are JSON all the same.
            let is_json =
                why.is_data() || ["recursion limit", "number out of range"].iter().any(|limit| why.to_string().starts_with(limit));
            if is_json { ScenarioError::Shape(why.to_string()) } else { ScenarioError::Json(why.to_string()) }
        };
        let scenario: Self = serde_json::from_str(text).map_err(wrong)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The text of a file, one key a line.
    ///
    /// # Errors
    /// [`ScenarioError::Json`], when a message holds what JSON cannot.
    pub fn to_json(&self) -> Result<String, ScenarioError> {
        serde_json::to_string_pretty(self).map_err(|why| ScenarioError::Json(why.to_string()))
    }

    /// Checks version, names and numbers.
    ///
    /// # Errors
    /// [`ScenarioError`] with the first that is wrong.
    pub fn check(&self) -> Result<(), ScenarioError> {
        if self.overcom_scenario != SCENARIO_VERSION {
            return Err(ScenarioError::Version(self.overcom_scenario));
        }
        let mut seen = std::collections::BTreeSet::new();
        let names = self.nodes.iter().map(|node| ("node", &node.name)).chain(self.steps.iter().map(|step| ("step", &step.id)));
        if let Some((_, twice)) = names.into_iter().find(|name| !seen.insert(*name)) {
            return Err(ScenarioError::Twice(twice.clone()));
        }
        for name in self.nodes.iter().flat_map(|node| &node.knows) {
            self.position(name)?;
        }
        self.check_numbers()?;
        for step in &self.steps {
            step.what.clone().rename(|name| self.position(&name))?;
            if let Do::Send { r#type, payload, .. } = &step.what {
                let wrong = |why: overcom_core::CommandError| ScenarioError::Message(step.id.clone(), why.to_string());
                overcom_core::Message::from_text(r#type, payload.get()).map_err(wrong)?;
            }
        }
        if self.nodes.is_empty() { Err(ScenarioError::NoNodes) } else { Ok(()) }
    }

    /// A number that is too large must not become a run that never ends.
    fn check_numbers(&self) -> Result<(), ScenarioError> {
        let time = |place: String, ms: u64| if ms > TIME_MS_MAX { Err(ScenarioError::Range(place, TIME_RANGE)) } else { Ok(()) };
        time("\"until_ms\"".into(), self.until_ms.unwrap_or(0))?;
        self.network.check("\"network\"")?;
        let mut taken = std::collections::BTreeSet::new();
        for (n, node) in self.nodes.iter().enumerate() {
            time(format!("\"delegation_ms\" of node \"{}\"", node.name), node.delegation_ms.unwrap_or(0))?;
            let address = node.address.unwrap_or_else(|| standard_address(n));
            if !taken.insert(address) {
                return Err(ScenarioError::SameAddress(address));
            }
        }
        for Step { id, at_ms, what } in &self.steps {
            time(format!("\"at_ms\" of step \"{id}\""), *at_ms)?;
            if let Do::SlowDisk { latency_ms, .. } = what {
                time(format!("\"latency_ms\" of step \"{id}\""), *latency_ms)?;
            }
            if let Do::SetLink { network, .. } | Do::SetNetwork(network) = what {
                network.check(&format!("step \"{id}\""))?;
            }
        }
        Ok(())
    }

    pub(crate) fn position(&self, name: &str) -> Result<usize, ScenarioError> {
        self.nodes.iter().position(|node| node.name == name).ok_or_else(|| ScenarioError::UnknownNode(name.into()))
    }

    /// When the last step happens.
    pub fn last_step(&self) -> Duration {
        Duration::from_millis(self.steps.iter().map(|step| step.at_ms).max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_where_it_is_wrong_and_what_is_expected() {
        let error = |text: &str| Scenario::from_json(text).expect_err("it is wrong").to_string();
        assert!(
            error("{\"overcom_scenario\":0,\n\"sed\":1}").contains("line 2 column"),
            "{}",
            error("{\"overcom_scenario\":0,\n\"sed\":1}")
        );
        assert!(error(r#"{"overcom_scenario":0,"sed":1}"#).contains("expected one of"));
        assert!(error(r#"{"overcom_scenario":9,"seed":1}"#).contains("reads version 0"));
        let step = r#"{"overcom_scenario":0,"seed":1,"nodes":[{"name":"ann"}],"steps":[{"id":"s1","at_ms":1,"do":{"crash":"bob"}}]}"#;
        assert!(error(step).contains("no node \"bob\""));
        let twice = r#"{"overcom_scenario":0,"seed":1,"nodes":[{"name":"ann"},{"name":"ann"}]}"#;
        assert!(error(twice).contains("twice"));
        assert!(error(&step.replace("crash", "crush")).contains("unknown variant `crush`"));
        assert!(error("hello").contains("not JSON") && error("").contains("not JSON"));
        assert!(error(r#"{"overcom_scenario":0,"seed":1e400}"#).starts_with("not a scenario: number out of range"));
        assert!(error(r#"{"overcom_scenario":0,"seed":1}"#).contains("no nodes"));
        assert!(error(&"[".repeat(100_000)).contains("not a scenario"));
    }

    #[test]
    fn a_number_that_would_never_end_is_refused_with_its_range() {
        let error = |rest: &str| {
            let text = format!(r#"{{"overcom_scenario":0,"seed":1,"nodes":[{{"name":"ann"}}],{rest}}}"#);
            Scenario::from_json(&text).expect_err("it is wrong").to_string()
        };
        let most = u64::MAX;
        assert!(error(&format!(r#""until_ms":{most}"#)).contains("\"until_ms\" must be at most"));
        assert!(error(r#""until_ms":99999999999999999999"#).contains("line 1 column"));
        assert!(error(&format!(r#""steps":[{{"id":"s1","at_ms":{most},"do":"heal"}}]"#)).contains("\"at_ms\" of step \"s1\""));
        let slow = format!(r#""steps":[{{"id":"s1","at_ms":1,"do":{{"slow_disk":{{"node":"ann","latency_ms":{most}}}}}}}]"#);
        assert!(error(&slow).contains("\"latency_ms\" of step \"s1\""));
        assert!(error(r#""network":{"loss_ppm":1000001}"#).contains("\"loss_ppm\" of \"network\" must be at most 1000000"));
        assert!(error(r#""network":{"bytes_per_second":0}"#).contains("at least 1"));
        assert!(error(&format!(r#""network":{{"delay_us":{most}}}"#)).contains("an hour"));
    }

    #[test]
    fn two_nodes_cannot_listen_at_one_address_and_a_config_may_be_a_part() {
        let with = |node: &str| {
            let text = format!(r#"{{"overcom_scenario":0,"seed":1,"nodes":[{{"name":"ann"}},{{"name":"ben"{node}}}]}}"#);
            Scenario::from_json(&text)
        };
        assert_eq!(
            with(r#","address":"10.0.0.1:7575""#).expect_err("it is taken").to_string().find("two nodes listen at 10.0.0.1:7575"),
            Some(0)
        );
        assert!(with(r#","config":{"keep_alive_ms":5000}"#).is_ok());
        assert!(with(r#","config":{"keep_alive":5000}"#).expect_err("there is none").to_string().contains("unknown field `keep_alive`"));
    }

    #[test]
    fn the_example_in_the_readme_is_a_scenario() {
        let readme = include_str!("../README.md");
        let example = readme.split_once("```json\n").and_then(|(_, rest)| rest.split_once("```")).expect("there is one").0;
        assert_eq!(Scenario::from_json(example).map(|scenario| scenario.steps.len()), Ok(5));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut scenario = Scenario::new(7);
        scenario.nodes.push(NodeSpec::new("ann"));
        scenario.nodes.push(NodeSpec { knows: vec!["ann".into()], ..NodeSpec::new("ben") });
        let payload = RawValue::from_string("{\"n\":1.50}".into()).expect("JSON");
        let send = Do::Send { from: "ann".into(), to: "ben".into(), r#type: "t".into(), payload };
        let partition = Do::Partition { from: vec!["ann".into()], to: vec!["ben".into()], one_way: true };
        for (at_ms, what) in
            [send, partition, Do::Heal, Do::FailDisk { node: "ann".into(), why: Some(StoreError::Full) }].into_iter().enumerate()
        {
            scenario.steps.push(Step { id: format!("s{at_ms}"), at_ms: at_ms as u64, what });
        }
        let text = scenario.to_json().expect("it can be written");
        let again = Scenario::from_json(&text).expect("it can be read");
        assert_eq!(again.to_json().expect("it can be written"), text);
        assert!(text.contains("1.50"), "numbers stay as written");
    }
}
