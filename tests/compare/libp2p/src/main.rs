//! The work on libp2p-kad: nodes on TCP with Noise and Yamux, each a task, all on one thread.
//!
//! Its records are bytes that nobody checks, so the writer signs them here and the reader checks that. A read is that of one
//! record (it goes on until told to stop), a write is over when one node has it, which is the least that it offers.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use compare_ruler::{Peer, VALUE};
use futures::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::kad::store::MemoryStore;
use libp2p::kad::{Behaviour, Config, Event, GetRecordOk, Mode, QueryId, QueryResult, Quorum, Record, RecordKey};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

/// Longer than anything here may take, two hundred nodes that all join at once on one thread among it.
const PATIENCE: Duration = Duration::from_secs(240);
const PROTOCOL: StreamProtocol = StreamProtocol::new("/compare/1");
/// Bytes of a signature in front of the value.
const SIGNATURE: usize = 64;

fn main() -> ExitCode {
    compare_ruler::main::<Libp2p>()
}

struct Libp2p {
    runtime: Runtime,
    tasks: LocalSet,
    nodes: Vec<Node>,
}

struct Node {
    keys: Keypair,
    wishes: UnboundedSender<Wish>,
    told: UnboundedReceiver<Told>,
}

enum Wish {
    Know(PeerId, Multiaddr),
    Join(PeerId, Multiaddr),
    Put(Record),
    Get(RecordKey),
}

enum Told {
    Listens(Multiaddr),
    Joined(Result<(), String>),
    Written(Result<(), String>),
    Record(Vec<u8>),
    ReadEnded,
}

impl Peer for Libp2p {
    const NAME: &str = "libp2p-kad 0.49.0";

    fn start(nodes: usize) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|why| why.to_string())?;
        let mut network = Self { runtime, tasks: LocalSet::new(), nodes: Vec::new() };
        for _ in 0..nodes {
            network.add()?;
        }
        let mut places = Vec::new();
        for node in 0..nodes {
            let Told::Listens(at) = network.told(node)? else { return Err("it does not listen".into()) };
            places.push(at);
        }
        let entry = network.nodes[0].keys.public().to_peer_id();
        let at = places[0].clone();
        // Without one more protocol nobody learns where those who dial listen: the first is told of all, the others ask it.
        for (node, place) in network.nodes.iter().zip(places).skip(1) {
            let known = Wish::Know(node.keys.public().to_peer_id(), place);
            network.nodes[0].wishes.send(known).map_err(|why| why.to_string())?;
        }
        for node in &network.nodes[1..] {
            node.wishes.send(Wish::Join(entry, at.clone())).map_err(|why| why.to_string())?;
        }
        for node in 1..nodes {
            let Told::Joined(outcome) = network.told(node)? else { return Err("it says something else".into()) };
            outcome?;
        }
        Ok(network)
    }

    fn rest(&mut self, time: Duration) -> Result<(), String> {
        self.tasks.block_on(&self.runtime, async { tokio::time::sleep(time).await });
        // The answers that come after a read was ended.
        self.nodes.iter_mut().for_each(|node| while node.told.try_recv().is_ok() {});
        Ok(())
    }

    fn put(&mut self, writer: usize) -> Result<(), String> {
        let node = &self.nodes[writer];
        let signature = node.keys.sign(VALUE).map_err(|why| why.to_string())?;
        let record = Record::new(self.key(writer), [signature.as_slice(), VALUE].concat());
        node.wishes.send(Wish::Put(record)).map_err(|why| why.to_string())?;
        match self.told(writer)? {
            Told::Written(outcome) => outcome,
            _ => Err("it says something else".into()),
        }
    }

    fn get(&mut self, reader: usize, writer: usize, first: &mut dyn FnMut()) -> Result<(), String> {
        let (key, public) = (self.key(writer), self.nodes[writer].keys.public());
        self.nodes[reader].wishes.send(Wish::Get(key)).map_err(|why| why.to_string())?;
        loop {
            match self.told(reader)? {
                Told::Record(bytes) => {
                    let (signature, value) = bytes.split_at_checked(SIGNATURE).ok_or("a short record")?;
                    if value != VALUE || !public.verify(value, signature) {
                        return Err("a record that nobody wrote".into());
                    }
                    first();
                }
                Told::ReadEnded => return Ok(()),
                Told::Listens(_) | Told::Joined(_) | Told::Written(_) => return Err("it says something else".into()),
            }
        }
    }
}

impl Libp2p {
    fn add(&mut self) -> Result<(), String> {
        let keys = Keypair::generate_ed25519();
        let swarm = {
            let _entered = self.runtime.enter();
            swarm(keys.clone())?
        };
        let ((wishes, wished), (tell, told)) = (unbounded_channel(), unbounded_channel());
        self.tasks.spawn_local(run(swarm, wished, tell));
        self.nodes.push(Node { keys, wishes, told });
        Ok(())
    }

    /// What a node says next.
    fn told(&mut self, node: usize) -> Result<Told, String> {
        let told = &mut self.nodes[node].told;
        let said = self.tasks.block_on(&self.runtime, async { tokio::time::timeout(PATIENCE, told.recv()).await });
        said.map_err(|_| "waited in vain".to_owned())?.ok_or_else(|| "it has ended".into())
    }

    fn key(&self, writer: usize) -> RecordKey {
        RecordKey::new(&self.nodes[writer].keys.public().to_peer_id().to_bytes())
    }
}

fn swarm(keys: Keypair) -> Result<Swarm<Behaviour<MemoryStore>>, String> {
    let mut swarm = SwarmBuilder::with_existing_identity(keys)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|why| why.to_string())?
        .with_behaviour(|keys| {
            let mut config = Config::new(PROTOCOL);
            // As many as hold a record of Overcom's; with its own twenty a write would cost it four times as much.
            config.set_replication_factor(NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN));
            config.set_periodic_bootstrap_interval(None);
            let me = keys.public().to_peer_id();
            Behaviour::with_config(me, MemoryStore::new(me), config)
        })
        .map_err(|why| why.to_string())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    swarm.behaviour_mut().set_mode(Some(Mode::Server));
    let anywhere: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().map_err(|_| "an address that is none")?;
    swarm.listen_on(anywhere).map_err(|why| why.to_string())?;
    Ok(swarm)
}

/// One node, until nobody wishes anything of it any more.
async fn run(mut swarm: Swarm<Behaviour<MemoryStore>>, mut wished: UnboundedReceiver<Wish>, tell: UnboundedSender<Told>) {
    let mut reading: Option<QueryId> = None;
    loop {
        let told = tokio::select! {
            wish = wished.recv() => match wish {
                None => return,
                Some(wish) => begin(&mut swarm, wish, &mut reading),
            },
            event = swarm.select_next_some() => heard(&mut swarm, event, &mut reading),
        };
        if told.is_some_and(|told| tell.send(told).is_err()) {
            return;
        }
    }
}

/// Begins what is wished; why it cannot, if so.
fn begin(swarm: &mut Swarm<Behaviour<MemoryStore>>, wish: Wish, reading: &mut Option<QueryId>) -> Option<Told> {
    let dht = swarm.behaviour_mut();
    match wish {
        Wish::Know(peer, at) => {
            dht.add_address(&peer, at);
            None
        }
        Wish::Join(peer, at) => {
            dht.add_address(&peer, at);
            dht.bootstrap().err().map(|why| Told::Joined(Err(why.to_string())))
        }
        Wish::Put(record) => dht.put_record(record, Quorum::One).err().map(|why| Told::Written(Err(why.to_string()))),
        Wish::Get(key) => {
            *reading = Some(dht.get_record(key));
            None
        }
    }
}

/// What a node has to say of an event.
fn heard(swarm: &mut Swarm<Behaviour<MemoryStore>>, event: SwarmEvent<Event>, reading: &mut Option<QueryId>) -> Option<Told> {
    match event {
        SwarmEvent::NewListenAddr { address, .. } => {
            swarm.add_external_address(address.clone());
            Some(Told::Listens(address))
        }
        SwarmEvent::Behaviour(Event::OutboundQueryProgressed { id, result, step, .. }) => match result {
            QueryResult::Bootstrap(outcome) if step.last => Some(Told::Joined(outcome.map(drop).map_err(|why| why.to_string()))),
            QueryResult::PutRecord(outcome) => Some(Told::Written(outcome.map(drop).map_err(|why| why.to_string()))),
            QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))) if *reading == Some(id) => {
                if let Some(mut query) = swarm.behaviour_mut().query_mut(&id) {
                    query.finish();
                }
                Some(Told::Record(found.record.value))
            }
            QueryResult::GetRecord(_) if *reading == Some(id) && step.last => {
                *reading = None;
                Some(Told::ReadEnded)
            }
            _ => None,
        },
        _ => None,
    }
}
