//! The control socket where there are no Unix sockets: a port of loopback.
//!
//! Everybody on this machine may connect with it; and once a node was killed, whoever takes its port is connected with in
//! its place. So before anything else is said, both ends prove that they can read a file that only the folder's owner may
//! read. What they say for that is worth nothing on another connection.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use overcom_std::keys::write_private;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use smol::future::or;
use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How long the other end may take for its part (guess).
const PROOF_WAIT: Duration = Duration::from_secs(2);
/// No door's file is longer.
const FILE_BYTES_MAX: u64 = 1_024;
/// Of the secret, of what each end draws, and of a proof.
const BYTES: usize = 32;

/// Where the node of a folder listens, and what proves that it is this node, and who may command it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Door {
    pub(crate) port: u16,
    secret: String,
}

/// Which end proves something, so that nobody can send a proof back.
#[derive(Clone, Copy)]
enum End {
    Node,
    Client,
}

impl Door {
    /// A door of this life, with a secret that nobody else knows, written down for the folder's owner.
    pub(crate) fn make(path: &Path, port: u16) -> io::Result<Self> {
        let secret: [u8; BYTES] = overcom_std::entropy()?;
        let door = Self { port, secret: secret.iter().map(|byte| format!("{byte:02x}")).collect() };
        write_private(path, &serde_json::to_vec(&door)?).map_err(io::Error::other)?;
        Ok(door)
    }

    /// The door that a node has written down, if there is one.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        match overcom_std::open_plain(path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some(serde_json::from_reader(file?.take(FILE_BYTES_MAX))?)),
        }
    }

    /// The client's part: whether the node of this folder is at the other end. Nothing is told to anybody else.
    pub(crate) async fn enter(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
        in_time(async {
            let mine: [u8; BYTES] = overcom_std::entropy()?;
            stream.write_all(&mine).await?;
            stream.flush().await?;
            let (mut theirs, mut proof) = ([0; BYTES], [0; BYTES]);
            stream.read_exact(&mut theirs).await?;
            stream.read_exact(&mut proof).await?;
            self.mac(End::Node, &mine, &theirs)?.verify_slice(&proof).map_err(io::Error::other)?;
            stream.write_all(&self.mac(End::Client, &mine, &theirs)?.finalize().into_bytes()).await?;
            stream.flush().await
        })
        .await
    }

    /// The node's part: whether who has connected may command it. The first bytes after it belong to the session.
    pub(crate) async fn admit(&self, reader: &mut (impl AsyncRead + Unpin), writer: &mut (impl AsyncWrite + Unpin)) -> bool {
        in_time(async {
            let (mut theirs, mine): (_, [u8; BYTES]) = ([0; BYTES], overcom_std::entropy()?);
            reader.read_exact(&mut theirs).await?;
            let proof = self.mac(End::Node, &theirs, &mine)?.finalize().into_bytes();
            writer.write_all(&[mine.as_slice(), &proof].concat()).await?;
            writer.flush().await?;
            let mut proof = [0; BYTES];
            reader.read_exact(&mut proof).await?;
            self.mac(End::Client, &theirs, &mine)?.verify_slice(&proof).map_err(io::Error::other)
        })
        .await
    }

    fn mac(&self, end: End, client: &[u8; BYTES], node: &[u8; BYTES]) -> io::Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).map_err(io::Error::other)?;
        mac.update(match end {
            End::Node => b"overcom/1 door node\0",
            End::Client => b"overcom/1 door client\0",
        });
        mac.update(client);
        mac.update(node);
        Ok(mac)
    }
}

async fn in_time(part: impl Future<Output = io::Result<()>>) -> bool {
    let late = async {
        smol::Timer::after(PROOF_WAIT).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    or(part, late).await.is_ok()
}

#[cfg(test)]
mod tests {
    use smol::Task;
    use smol::net::{TcpListener, TcpStream};

    use super::*;

    fn door(secret: &str) -> Door {
        Door { port: 0, secret: secret.into() }
    }

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        (client, listener.accept().await.expect("it comes").0)
    }

    /// A node, and whether it lets in who comes.
    fn admits(door: Door, stream: TcpStream) -> Task<bool> {
        smol::spawn(async move { door.admit(&mut stream.clone(), &mut stream.clone()).await })
    }

    /// Somebody in the place of a node, with what they answer to what the client has drawn: whether the client is taken in,
    /// or says anything more.
    async fn imposes(answer: impl FnOnce([u8; BYTES]) -> Vec<u8> + Send + 'static) -> bool {
        let (mut stream, mut theirs) = connected().await;
        let heard = smol::spawn(async move {
            let mut drawn = [0; BYTES];
            theirs.read_exact(&mut drawn).await.expect("it draws");
            let _ = theirs.write_all(&answer(drawn)).await;
            let mut rest = Vec::new();
            let _ = theirs.read_to_end(&mut rest).await;
            rest
        });
        let enters = door("a").enter(&mut stream).await;
        drop(stream);
        enters || !heard.await.is_empty()
    }

    /// Somebody in the place of a client, who says this and makes a proof of what the node says: whether they are let in.
    async fn intrudes(drawn: &[u8], prove: impl FnOnce([u8; 2 * BYTES]) -> Vec<u8>) -> bool {
        let (mut stream, theirs) = connected().await;
        let admits = admits(door("a"), theirs);
        stream.write_all(drawn).await.expect("it reads");
        let mut said = [0; 2 * BYTES];
        stream.read_exact(&mut said).await.expect("it proves itself");
        stream.write_all(&prove(said)).await.expect("it reads");
        admits.await
    }

    /// Whether a client with one secret enters, and whether a node with another lets it in.
    async fn meet(client: &str, node: &str) -> (bool, bool) {
        let (mut stream, theirs) = connected().await;
        let admits = admits(door(node), theirs);
        let enters = door(client).enter(&mut stream).await;
        drop(stream);
        (enters, admits.await)
    }

    #[test]
    fn both_ends_know_each_other_by_the_same_secret_and_neither_by_another() {
        smol::block_on(async {
            assert_eq!(meet("a", "a").await, (true, true));
            assert_eq!(meet("a", "b").await, (false, false));
        });
    }

    /// What a client and a node of the same secret say, overheard: what the client draws, what the node answers, and what the
    /// client answers to that.
    async fn overheard() -> [Vec<u8>; 3] {
        let ((mut client, mut nodes), (mut clients, theirs)) = (connected().await, connected().await);
        let admits = admits(door("a"), theirs);
        let enters = smol::spawn(async move { door("a").enter(&mut client).await });
        let drawn = pass(&mut nodes, &mut clients, BYTES).await;
        let nodes_part = pass(&mut clients, &mut nodes, 2 * BYTES).await;
        let proof = pass(&mut nodes, &mut clients, BYTES).await;
        assert!(enters.await && admits.await, "both are content");
        [drawn, nodes_part, proof]
    }

    async fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: usize) -> Vec<u8> {
        let mut said = vec![0; bytes];
        from.read_exact(&mut said).await.expect("it is said");
        to.write_all(&said).await.expect("it is heard");
        said
    }

    #[test]
    fn what_a_node_has_proved_to_one_client_proves_nothing_to_the_next() {
        smol::block_on(async {
            let [_, nodes_part, _] = overheard().await;
            assert!(!imposes(|_| nodes_part).await);
        });
    }

    #[test]
    fn what_a_client_has_proved_once_does_not_let_anybody_in_again() {
        smol::block_on(async {
            let [drawn, _, proof] = overheard().await;
            assert!(!intrudes(&drawn, |_| proof).await);
        });
    }

    #[test]
    fn who_knows_no_secret_proves_nothing_by_what_it_was_sent() {
        smol::block_on(async {
            // In the place of a node: what the client has drawn, twice, or more of nothing.
            assert!(!imposes(|drawn| [drawn, drawn].concat()).await);
            assert!(!imposes(|_| vec![0; 2 * BYTES]).await);
            assert!(!imposes(|_| vec![7; 2 * BYTES]).await);
            // In the place of a client: the node's own proof.
            assert!(!intrudes(&[0; BYTES], |said| said.get(BYTES..).unwrap_or_default().to_vec()).await);
        });
    }
}
