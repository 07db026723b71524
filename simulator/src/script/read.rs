//! From a script's text to the scenario that it stands for, with the place of whatever is wrong.

use std::time::Duration;

use overcom_core::trace::Detail;
use overcom_core::{AppId, CommandError, DELEGATION_MS_MAX, INVITATION_LIFE_MAX, Message, StoreError};
use serde_json::value::RawValue;

use super::ScriptError;
use super::show::{LOOKS, Look};
use crate::clock::Clock;
use crate::network::Network;
use crate::scenario::{CryptoMode, Do, NodeSpec, Scenario, Step, TIME_MS_MAX};

/// When the first thing happens: by then every node has read its state.
const FIRST_MS: u64 = 1_000;
/// How long what happens takes before the next line.
const ACT_MS: u64 = 1;
/// What may stand before anything happens.
const SET_UPS: [&str; 4] = ["crypto", "node", "nodes", "seed"];
/// Every command, as an error lists them.
pub(super) const COMMANDS: &str = "clock, crash, crypto, detail, fail-disk, find, forget, heal, introduce, invite, join, mend-disk, network, node, nodes, partition, \
    pause, rebind, renew, restart, resume, revoke, seed, send, show, slow-disk, suspend, wait, wake, withdraw";

/// A script that was understood.
pub(super) struct Script<'a> {
    pub(super) lines: Vec<Line<'a>>,
    scenario: Scenario,
    now_ms: u64,
    /// The line of the first thing that happened.
    first: Option<usize>,
}

/// One line of it.
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    /// As it stands in the file.
    pub(super) text: &'a str,
    pub(super) act: Act,
    /// The time that passes at it, in milliseconds: from the first to before the second.
    pub(super) span: Option<(u64, u64)>,
}

/// What is done besides letting time pass.
pub(super) enum Act {
    Nothing,
    Detail(Detail),
    Look(Look),
}

impl<'a> Script<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, ScriptError> {
        let mut script = Self { lines: Vec::new(), scenario: Scenario::new(0), now_ms: FIRST_MS, first: None };
        for (number, text) in (1..).zip(text.lines()) {
            // What an earlier run said.
            if text.starts_with([' ', '\t']) && !text.trim().is_empty() {
                continue;
            }
            let mut words = Words { line: number, text, at: 0 };
            let act = match words.maybe() {
                Some(word) if !word.text.starts_with('#') => script.command(word, &mut words)?,
                _ => (Act::Nothing, None),
            };
            script.lines.push(Line { number, text, act: act.0, span: act.1 });
        }
        if script.scenario.nodes.is_empty() {
            return Err(ScriptError { line: 1, column: 1, why: "there are no nodes: begin with `nodes alice bob`".into() });
        }
        // What happens while the nodes start stands under the last line that speaks of them.
        let last = script.last_set_up();
        if let Some(line) = script.lines.iter_mut().find(|line| line.number == last) {
            line.span = Some((0, FIRST_MS));
        }
        script.scenario.until_ms = Some(script.now_ms);
        Ok(script)
    }

    pub(super) fn scenario(&self) -> Scenario {
        self.scenario.clone()
    }

    /// The number of the last line that sets a node up.
    pub(super) fn last_set_up(&self) -> usize {
        let is_set_up = |line: &&Line<'_>| line.text.split(' ').next().is_some_and(|word| word == "node" || word == "nodes");
        self.lines.iter().rfind(is_set_up).map_or(1, |line| line.number)
    }

    fn command(&mut self, word: Word<'a>, words: &mut Words<'a>) -> Result<(Act, Option<(u64, u64)>), ScriptError> {
        if SET_UPS.contains(&word.text) {
            if let Some(first) = self.first {
                return Err(word.error(format!("nodes are set up before anything happens: move this above line {first}")));
            }
            self.set_up(word, words)?;
            words.end()?;
            return Ok((Act::Nothing, None));
        }
        if self.scenario.nodes.is_empty() {
            return Err(word.error(format!("{} needs nodes: begin with `nodes alice bob`; commands are {COMMANDS}", word.text)));
        }
        self.first.get_or_insert(word.line);
        let from = self.now_ms;
        let act = match word.text {
            "detail" => Act::Detail(detail(words.next("app, link or wire")?)?),
            "show" => Act::Look(self.look(words)?),
            "wait" => {
                let (length, place) = words.duration()?;
                self.now_ms = self.now_ms.saturating_add(length);
                if self.now_ms > TIME_MS_MAX {
                    return Err(place.error("a script lasts a year at most".into()));
                }
                Act::Nothing
            }
            _ => {
                for what in self.happening(word, words)? {
                    let id = format!("line-{}-{}", word.line, self.scenario.steps.len() + 1);
                    self.scenario.steps.push(Step { id, at_ms: from, what });
                }
                self.now_ms = from + ACT_MS;
                Act::Nothing
            }
        };
        words.end()?;
        Ok((act, (self.now_ms > from).then_some((from, self.now_ms))))
    }

    fn set_up(&mut self, word: Word<'a>, words: &mut Words<'a>) -> Result<(), ScriptError> {
        match word.text {
            "seed" => self.scenario.seed = words.number("a number")?.0,
            "crypto" => {
                let mode = words.next("standard or ideal")?;
                let all = [CryptoMode::Standard, CryptoMode::Ideal];
                let found = all.into_iter().find(|known| known.to_string() == mode.text);
                self.scenario.crypto = found.ok_or_else(|| mode.error("it is standard or ideal".into()))?;
            }
            "nodes" => {
                self.add(words.next("the name of a node")?)?;
                while let Some(name) = words.maybe() {
                    self.add(name)?;
                }
            }
            _ => {
                self.add(words.next("the name of a node")?)?;
                while let Some(setting) = words.maybe() {
                    self.setting(setting)?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, name: Word<'a>) -> Result<(), ScriptError> {
        if name.text.contains([',', '=']) {
            return Err(name.error("a name has no comma and no =".into()));
        }
        if self.scenario.nodes.iter().any(|node| node.name == name.text) {
            return Err(name.error(format!("there is a node {} already", name.text)));
        }
        self.scenario.nodes.push(NodeSpec::new(name.text));
        Ok(())
    }

    /// One `key=value` of the node that was added last.
    fn setting(&mut self, word: Word<'a>) -> Result<(), ScriptError> {
        let (key, value) = word.pair()?;
        let known = (key.text == "knows").then(|| self.group(value)).transpose()?;
        let Some(node) = self.scenario.nodes.last_mut() else { return Ok(()) };
        match key.text {
            "user" => node.user = Some(value.text.into()),
            "app" => {
                AppId::new(value.text).map_err(|why| value.error(why.to_string()))?;
                node.app = Some(value.text.into());
            }
            "knows" => node.knows = known.unwrap_or_default(),
            "lasts" => match value.duration()? {
                ms @ 1..=DELEGATION_MS_MAX => node.delegation_ms = Some(ms),
                _ => return Err(value.error("a delegation lasts from 1ms to 30d".into())),
            },
            "clock" => node.clock = Clock { offset_ms: value.signed_duration()?, ..Clock::default() },
            _ => return Err(key.error(format!("there is no {}: it is app, clock, knows, lasts or user", key.text))),
        }
        Ok(())
    }

    /// What happens at this line.
    fn happening(&self, word: Word<'a>, words: &mut Words<'a>) -> Result<Vec<Do<String>>, ScriptError> {
        let pair = |words: &mut Words<'a>| Ok::<_, ScriptError>((self.node(words)?, self.node(words)?));
        Ok(vec![match word.text {
            "introduce" => {
                let (from, mut all) = (self.node(words)?, vec![self.node(words)?]);
                while let Some(name) = words.maybe() {
                    all.push(self.known(name)?);
                }
                return Ok(all.into_iter().map(|to| Do::Introduce { from: from.clone(), to }).collect());
            }
            "send" => self.send(words)?,
            "find" => pair(words).map(|(from, to)| Do::Find { from, to })?,
            "forget" => pair(words).map(|(from, to)| Do::Forget { from, to })?,
            "invite" => {
                let (node, (life_ms, place)) = (self.node(words)?, words.duration()?);
                if life_ms == 0 || Duration::from_millis(life_ms) > INVITATION_LIFE_MAX {
                    return Err(place.error("an invitation lasts from 1ms to 30d".into()));
                }
                Do::Invite { node, life_ms }
            }
            "join" => pair(words).map(|(from, to)| Do::Join { from, to })?,
            "withdraw" => Do::Withdraw(self.node(words)?),
            "revoke" => pair(words).map(|(by, device)| Do::Revoke { by, device })?,
            "renew" => Do::Renew(self.node(words)?),
            "suspend" => Do::Suspend(self.node(words)?),
            "wake" => Do::Wake(self.node(words)?),
            "crash" => Do::Crash(self.node(words)?),
            "restart" => Do::Restart(self.node(words)?),
            "pause" => Do::Pause(self.node(words)?),
            "resume" => Do::Resume(self.node(words)?),
            "rebind" => Do::Rebind { node: self.node(words)?, port: None },
            "partition" => {
                let mut group = || self.group(words.next("a group: names with commas between them")?);
                Do::Partition { from: group()?, to: group()?, one_way: false }
            }
            "heal" => Do::Heal,
            "network" => Do::SetNetwork(network(words)?),
            "slow-disk" => Do::SlowDisk { node: self.node(words)?, latency_ms: words.duration()?.0 },
            "fail-disk" => Do::FailDisk { node: self.node(words)?, why: Some(failure(words.next("full, corrupt, newer or failed")?)?) },
            "mend-disk" => Do::FailDisk { node: self.node(words)?, why: None },
            "clock" => Do::ClockStep { node: self.node(words)?, by_ms: words.next("a duration, as +5s or -2m")?.signed_duration()? },
            _ => return Err(word.error(format!("there is no command {}: commands are {COMMANDS}", word.text))),
        }])
    }

    fn send(&self, words: &mut Words<'a>) -> Result<Do<String>, ScriptError> {
        let (from, to, kind) = (self.node(words)?, self.node(words)?, words.next("the message's type")?);
        let payload = words.rest("the payload, as JSON")?;
        let wrong = |why: String| payload.error(why);
        Message::from_text(kind.text, payload.text).map_err(|why| {
            let is_kind = why == CommandError::Kind;
            if is_kind { kind.error(why.to_string()) } else { wrong(format!("{why}; text stands in quotes: \"hello\"")) }
        })?;
        let payload = RawValue::from_string(payload.text.into()).map_err(|why| wrong(why.to_string()))?;
        Ok(Do::Send { from, to, r#type: kind.text.into(), payload })
    }

    fn look(&self, words: &mut Words<'a>) -> Result<Look, ScriptError> {
        let all = || LOOKS.map(|(word, _)| word).join(", ");
        let word = words.next("what to show")?;
        let found = LOOKS.iter().find(|(known, _)| *known == word.text);
        let (_, count) = found.ok_or_else(|| word.error(format!("there is no {} to show: it is one of {}", word.text, all())))?;
        let mut nodes = Vec::new();
        for _ in 0..*count {
            let name = self.node(words)?;
            nodes.extend(self.scenario.position(&name).ok());
        }
        Look::new(word.text, &nodes).ok_or_else(|| word.error(format!("show is followed by one of {}", all())))
    }

    fn node(&self, words: &mut Words<'a>) -> Result<String, ScriptError> {
        self.known(words.next("the name of a node")?)
    }

    fn known(&self, name: Word<'_>) -> Result<String, ScriptError> {
        let names = || self.scenario.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
        self.scenario.position(name.text).map_err(|_| name.error(format!("there is no node {}: there are {}", name.text, names())))?;
        Ok(name.text.into())
    }

    fn group(&self, word: Word<'_>) -> Result<Vec<String>, ScriptError> {
        let (mut all, mut column) = (Vec::new(), word.column);
        for text in word.text.split(',') {
            all.push(self.known(Word { text, column, ..word })?);
            column += text.chars().count() + 1;
        }
        Ok(all)
    }
}

fn detail(word: Word<'_>) -> Result<Detail, ScriptError> {
    match word.text {
        "app" => Ok(Detail::App),
        "link" => Ok(Detail::Link),
        "wire" => Ok(Detail::Wire),
        _ => Err(word.error("it is app, link or wire".into())),
    }
}

fn failure(word: Word<'_>) -> Result<StoreError, ScriptError> {
    match word.text {
        "full" => Ok(StoreError::Full),
        "corrupt" => Ok(StoreError::Corrupt),
        "newer" => Ok(StoreError::Newer),
        "failed" => Ok(StoreError::Failed),
        _ => Err(word.error("it is full, corrupt, newer or failed".into())),
    }
}

fn network(words: &mut Words<'_>) -> Result<Network, ScriptError> {
    let mut network = Network::default();
    while let Some(word) = words.maybe() {
        let (key, value) = word.pair()?;
        match key.text {
            "delay" => network.delay_us = value.duration()?.saturating_mul(1_000),
            "jitter" => network.jitter_us = value.duration()?.saturating_mul(1_000),
            "loss" => {
                let loss = value.text.parse::<u32>().map_err(|_| value.error("losses in a million are needed, as loss=20000".into()));
                network.loss_ppm = loss?;
            }
            _ => return Err(key.error(format!("there is no {}: it is delay, jitter or loss", key.text))),
        }
        network.check("this line").map_err(|why| value.error(why.to_string()))?;
    }
    Ok(network)
}

/// A word and where it stands.
#[derive(Clone, Copy)]
struct Word<'a> {
    line: usize,
    /// In characters, from 1.
    column: usize,
    text: &'a str,
}

impl<'a> Word<'a> {
    const fn error(self, why: String) -> ScriptError {
        ScriptError { line: self.line, column: self.column, why }
    }

    /// The two sides of `key=value`.
    fn pair(self) -> Result<(Self, Self), ScriptError> {
        let (key, value) = self.text.split_once('=').ok_or_else(|| self.error("a setting is needed here, as key=value".into()))?;
        let column = self.column + key.chars().count() + 1;
        Ok((Self { text: key, ..self }, Self { text: value, column, ..self }))
    }

    /// Milliseconds.
    fn duration(self) -> Result<u64, ScriptError> {
        let wrong = || self.error(format!("{:?} is no duration: it is a number and ms, s, m, h or d, as 500ms or 2h", self.text));
        let digits = self.text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = self.text.split_at(digits);
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let length = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
        if length > TIME_MS_MAX { Err(self.error("nothing lasts longer than a year here".into())) } else { Ok(length) }
    }

    /// Milliseconds forward, or back with a minus.
    fn signed_duration(self) -> Result<i64, ScriptError> {
        let (sign, text) = match (self.text.strip_prefix('+'), self.text.strip_prefix('-')) {
            (Some(text), _) => (1, text),
            (_, Some(text)) => (-1, text),
            _ => return Err(self.error("a duration with a sign is needed here, as +5s or -2m".into())),
        };
        let length = Self { text, column: self.column + 1, ..self }.duration()?;
        Ok(sign * i64::try_from(length).unwrap_or(i64::MAX))
    }
}

/// The words of one line, one after the other.
struct Words<'a> {
    line: usize,
    text: &'a str,
    /// How many bytes were read.
    at: usize,
}

impl<'a> Words<'a> {
    fn place(&mut self) -> Word<'a> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.len() - rest.trim_start().len();
        let column = self.text.get(..self.at).unwrap_or_default().chars().count() + 1;
        Word { line: self.line, column, text: rest.trim() }
    }

    fn maybe(&mut self) -> Option<Word<'a>> {
        let rest = self.place();
        let text = rest.text.split_whitespace().next()?;
        self.at += text.len();
        Some(Word { text, ..rest })
    }

    fn next(&mut self, needed: &str) -> Result<Word<'a>, ScriptError> {
        let place = self.place();
        self.maybe().ok_or_else(|| place.error(format!("the line ends where {needed} is needed")))
    }

    fn rest(&mut self, needed: &str) -> Result<Word<'a>, ScriptError> {
        let place = self.place();
        self.at = self.text.len();
        if place.text.is_empty() { Err(place.error(format!("the line ends where {needed} is needed"))) } else { Ok(place) }
    }

    fn number(&mut self, needed: &str) -> Result<(u64, Word<'a>), ScriptError> {
        let word = self.next(needed)?;
        let number = crate::harness::read_number(word.text);
        number.map(|number| (number, word)).ok_or_else(|| word.error(format!("{needed} is needed, decimal or 0x…")))
    }

    fn duration(&mut self) -> Result<(u64, Word<'a>), ScriptError> {
        let word = self.next("a duration, as 500ms or 2h,")?;
        word.duration().map(|length| (length, word))
    }

    fn end(&mut self) -> Result<(), ScriptError> {
        match self.maybe() {
            None => Ok(()),
            Some(word) => Err(word.error(format!("the line should end before {:?}", word.text))),
        }
    }
}
