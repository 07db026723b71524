//! One node for a data folder: whoever holds its lock serves the others over a control socket in it.
//!
//! The socket is a Unix socket that only its owner may use. Where there are none, or where the folder's path is longer
//! than a socket's may be, it is a TCP port of loopback, with a [`Door`] in front of it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use smol::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use smol::lock::Semaphore;
use smol::net::{TcpListener, TcpStream};

use crate::door::Door;
use crate::fail::Fail;
use crate::proto::{Fault, Id, answer};
use crate::session::{Entrance, Role};

/// The longest path of a Unix socket that every system takes: macOS and the BSDs have 104 bytes with the last zero, and the
/// socket is made under a name that is 4 bytes longer.
#[cfg(unix)]
const PATH_BYTES_MAX: usize = 99;
/// Sessions at once (guess: a person's terminals and a program's workers).
const SESSIONS_MAX: usize = 64;
/// Connections at once of which it is not known yet whether they may come in (guess: as many). More wait in the system's queue.
const DOORWAYS_MAX: usize = 64;

/// The right to run the node of a data folder, for as long as this is there. The system takes it from a process that dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// `None` if another process has it.
    pub(crate) fn try_take(folder: &Path) -> Result<Option<Self>, Fail> {
        let path = folder.join("lock");
        let wrong = |why: &io::Error| Fail::failed(format!("{}: {}", path.display(), overcom_std::advice(why)));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use rustix::fs::OFlags;
            use std::os::unix::fs::OpenOptionsExt as _;
            // A pipe in its place is not waited for.
            options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        }
        let file = options.open(&path).map_err(|why| {
            if fs::symlink_metadata(&path).is_ok_and(|it| it.is_symlink()) {
                return Fail::failed(format!("{} is a link to somewhere else, which this program never makes: remove it", path.display()));
            }
            wrong(&why)
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(why)) => Err(wrong(&why)),
        }
    }
}

/// Both ways of a connection.
pub(crate) type Reader = Box<dyn AsyncRead + Unpin + Send>;
/// See [`Reader`].
pub(crate) type Writer = Box<dyn AsyncWrite + Unpin + Send>;

/// The control socket of a node. It is gone when this is dropped.
pub(crate) struct Control {
    listener: Listener,
    path: PathBuf,
}

enum Listener {
    #[cfg(unix)]
    Unix(smol::net::unix::UnixListener),
    Tcp(TcpListener, Door),
}

impl Control {
    /// Opens the socket, in the place of one that a dead process left. The lock says that there is no other.
    pub(crate) async fn open(folder: &Path, _lock: &Lock) -> io::Result<Self> {
        let (socket, door) = (folder.join("control.sock"), folder.join("control.json"));
        for old in [&socket, &door] {
            match fs::remove_file(old) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
                _ => {}
            }
        }
        #[cfg(unix)]
        if socket.as_os_str().len() <= PATH_BYTES_MAX {
            return Self::open_unix(socket);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let made = Door::make(&door, listener.local_addr()?.port())?;
        Ok(Self { listener: Listener::Tcp(listener, made), path: door })
    }

    /// Under another name first, so that it is never there without its mode.
    #[cfg(unix)]
    fn open_unix(path: PathBuf) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let beside = path.with_extension("sock.new");
        match fs::remove_file(&beside) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        let listener = smol::net::unix::UnixListener::bind(&beside)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
        fs::rename(&beside, &path)?;
        Ok(Self { listener: Listener::Unix(listener), path })
    }

    /// Lets sessions in until this is cancelled.
    pub(crate) async fn serve(self, entrance: Entrance) {
        let (seats, doorways) = (Arc::new(Semaphore::new(SESSIONS_MAX)), Arc::new(Semaphore::new(DOORWAYS_MAX)));
        loop {
            let doorway = match self.door() {
                Some(door) => Some((door.clone(), doorways.acquire_arc().await)),
                None => None,
            };
            let Ok((mut reader, mut writer)) = self.accept().await else {
                // Out of files, for instance: it may pass.
                smol::Timer::after(Duration::from_millis(100)).await;
                continue;
            };
            let (entrance, seats) = (entrance.clone(), seats.clone());
            smol::spawn(async move {
                if let Some((door, _doorway)) = doorway
                    && !door.admit(&mut reader, &mut writer).await
                {
                    return;
                }
                match seats.try_acquire_arc() {
                    // How a guest's session ends is the guest's own matter.
                    Some(_seat) => drop(entrance.hold(Role::Guest, reader, writer).await),
                    None => refuse(writer).await,
                }
            })
            .detach();
        }
    }

    async fn accept(&self) -> io::Result<(Reader, Writer)> {
        match &self.listener {
            #[cfg(unix)]
            Listener::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| (Box::new(stream.clone()) as Reader, Box::new(stream) as Writer))
            }
            Listener::Tcp(listener, _) => {
                listener.accept().await.map(|(stream, _)| (Box::new(stream.clone()) as Reader, Box::new(stream) as Writer))
            }
        }
    }

    const fn door(&self) -> Option<&Door> {
        match &self.listener {
            #[cfg(unix)]
            Listener::Unix(_) => None,
            Listener::Tcp(_, door) => Some(door),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // The next one takes it away if this fails.
        let _ = fs::remove_file(&self.path);
    }
}

/// Connects with the node of a data folder; `None` if none is running.
pub(crate) async fn connect(folder: &Path) -> io::Result<Option<(Reader, Writer)>> {
    #[cfg(unix)]
    {
        let socket = folder.join("control.sock");
        if socket.as_os_str().len() <= PATH_BYTES_MAX {
            return match smol::net::unix::UnixStream::connect(&socket).await {
                Ok(stream) => {
                    belongs_to(&stream, &socket, rustix::process::geteuid())?;
                    Ok(Some((Box::new(stream.clone()), Box::new(stream))))
                }
                Err(why) if is_nobody(&why) => Ok(None),
                Err(why) => Err(why),
            };
        }
    }
    let Some(door) = Door::read(&folder.join("control.json"))? else { return Ok(None) };
    match TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, door.port))).await {
        // Somebody else may have taken the port of a node that was killed.
        Ok(mut stream) => Ok(match door.enter(&mut stream).await {
            true => Some((Box::new(stream.clone()), Box::new(stream))),
            false => None,
        }),
        Err(why) if is_nobody(&why) => Ok(None),
        Err(why) => Err(why),
    }
}

/// What a session hears for which there is no seat, in the place of a greeting.
async fn refuse(mut writer: Writer) {
    let fault = Fault::new("full", format!("{SESSIONS_MAX} sessions with this node are open"), "end some of them, then try again");
    let line = answer(&Id::unknown(), &Err(fault)) + "\n";
    // One line fits into what the system holds for a new connection; whoever is gone has no use for it.
    let _ = writer.write_all(line.as_bytes()).await;
    let _ = writer.close().await;
}

/// Refuses a socket that another user serves: nothing is said to them.
#[cfg(unix)]
fn belongs_to(stream: &smol::net::unix::UnixStream, path: &Path, user: rustix::process::Uid) -> io::Result<()> {
    // Linux says who listens there; elsewhere whose the socket is has to do.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let theirs = {
        let _ = path;
        rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw()
    };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let theirs = {
        let _ = stream;
        std::os::unix::fs::MetadataExt::uid(&fs::symlink_metadata(path)?)
    };
    if theirs == user.as_raw() {
        return Ok(());
    }
    Err(io::Error::other(format!("another user serves it, number {theirs}; see who may write into the folder, then remove control.sock")))
}

fn is_nobody(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_socket_of_another_user_is_told_nothing() {
        use rustix::process::{Uid, geteuid};
        smol::block_on(async {
            let path = std::env::temp_dir().join(format!("overcom-peer-{}.sock", std::process::id()));
            let listener = smol::net::unix::UnixListener::bind(&path).expect("there is room");
            let stream = smol::net::unix::UnixStream::connect(&path).await.expect("it listens");
            assert!(belongs_to(&stream, &path, geteuid()).is_ok());
            // As if this process were somebody else's.
            let refused = belongs_to(&stream, &path, Uid::from_raw(geteuid().as_raw() + 1)).expect_err("it is not theirs");
            assert!(refused.to_string().contains("another user serves it"), "{refused}");
            drop(listener);
            fs::remove_file(&path).expect("it is there");
        });
    }

    #[test]
    fn a_lock_is_one_process_s_and_free_again_when_it_is_dropped() {
        let folder = std::env::temp_dir().join(format!("overcom-lock-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("there is room");
        let lock = Lock::try_take(&folder).expect("it can be written").expect("nobody has it");
        assert!(Lock::try_take(&folder).expect("it can be written").is_none());
        drop(lock);
        assert!(Lock::try_take(&folder).expect("it can be written").is_some());
        fs::remove_dir_all(&folder).expect("it is there");
    }
}
