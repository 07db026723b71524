//! Sockets with the options that std lacks: both families at once, one port for TCP and UDP, connecting without blocking.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use overcom_core::ConnectError;
use socket2::{Domain, Protocol, Socket, Type};

/// The port that is tried when nobody names one (ME-05) (spec: SHELL-5).
pub const PORT_PREFERRED: u16 = 7_575;
/// How often a random port is drawn again when its UDP half is taken (guess: 1 in 2¹⁶ is taken, twice is rare).
const TRIES_MAX: u32 = 16;
/// Connections that the operating system keeps for us between two turns (guess: a restart in which everybody comes back).
const BACKLOG: i32 = 1_024;
/// Bytes of datagrams that the operating system is asked to keep for us between two turns; it may keep fewer (spec: SHELL-4). In Linux a short
/// one counts as 768 bytes: the usual 208 KiB hold 277, and a crowd that begins with one node sends more than that at once.
const RECEIVE_BYTES: usize = 1 << 20;
/// Addresses kept for documentation: a route to them is looked up, nothing is ever sent.
const OUTSIDE: [(SocketAddr, SocketAddr); 2] = [
    (
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9),
    ),
    (
        SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9),
    ),
];

/// A TCP listener and a UDP socket on the same port, neither of which blocks.
#[derive(Debug)]
pub struct Bound {
    /// For pipes.
    pub tcp: TcpListener,
    /// For datagrams.
    pub udp: UdpSocket,
    /// Where both are bound; the port is never 0. Keep the port for the next start (spec: SHELL-5).
    pub local: SocketAddr,
}

impl Bound {
    /// Every address on which others may reach this: the routes' own addresses and loopback, with the port. Sends nothing.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        addresses(self.local)
    }
}

/// Every address on which others may reach sockets bound to `local`: itself, or what a wildcard stands for. Sends nothing.
pub fn addresses(local: SocketAddr) -> Vec<SocketAddr> {
    if !local.ip().is_unspecified() {
        return vec![local];
    }
    let loopback = [SocketAddr::from((Ipv4Addr::LOCALHOST, local.port())), SocketAddr::from((Ipv6Addr::LOCALHOST, local.port()))];
    let routed = OUTSIDE.into_iter().filter_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        let found = socket.local_addr().ok()?.ip();
        (!found.is_unspecified() && !found.is_loopback()).then(|| SocketAddr::new(found, local.port()))
    });
    routed.chain(loopback).filter(|address| local.is_ipv6() || address.is_ipv4()).collect()
}

/// Why nothing was bound. What it says names the way out.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody listens there already.
    PortInUse(u16),
    /// Anything else that the operating system says.
    Io(SocketAddr, io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortInUse(port) => {
                write!(f, "port {port} is in use; stop the program that listens there, or name another port (0 takes any)")
            }
            Self::Io(local, why) if why.kind() == io::ErrorKind::AddrNotAvailable => {
                write!(f, "this machine has no address {}; name one that it has, or none", local.ip())
            }
            Self::Io(local, why) if why.kind() == io::ErrorKind::PermissionDenied => {
                write!(f, "this user may not listen on {local}; name a port from 1024 on")
            }
            Self::Io(local, why) => write!(f, "cannot listen on {local}: {why}"),
        }
    }
}

impl std::error::Error for BindError {}

impl From<BindError> for io::Error {
    fn from(why: BindError) -> Self {
        let kind = match &why {
            BindError::PortInUse(_) => io::ErrorKind::AddrInUse,
            BindError::Io(_, why) => why.kind(),
        };
        Self::new(kind, why)
    }
}

/// Binds TCP, then UDP on the same port (spec: SHELL-4). Port 0 takes any that is free for both.
///
/// `[::]` takes both families; where the machine has no IPv6 it becomes `0.0.0.0`.
///
/// # Errors
/// [`BindError`] says what is wrong and what to do.
pub fn bind(local: SocketAddr) -> Result<Bound, BindError> {
    match try_bind(local) {
        Err(BindError::Io(_, why)) if local.ip() == Ipv6Addr::UNSPECIFIED && is_without_ipv6(&why) => {
            try_bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, local.port())))
        }
        other => other,
    }
}

/// Binds every address of the machine on the port of the last start, else on 7575, else on any (spec: SHELL-5).
///
/// # Errors
/// As [`bind`]; a taken port is none, the next choice is tried.
pub fn bind_anywhere(remembered: Option<u16>) -> Result<Bound, BindError> {
    let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    for port in remembered.into_iter().chain([PORT_PREFERRED]) {
        match bind(any(port)) {
            Err(BindError::PortInUse(_)) => {}
            other => return other,
        }
    }
    bind(any(0))
}

fn try_bind(local: SocketAddr) -> Result<Bound, BindError> {
    let wrong = |why: io::Error| {
        if why.kind() == io::ErrorKind::AddrInUse { BindError::PortInUse(local.port()) } else { BindError::Io(local, why) }
    };
    let mut tries = if local.port() == 0 { TRIES_MAX } else { 1 };
    loop {
        tries -= 1;
        let tcp = listen(local).map_err(wrong)?;
        let both = tcp.local_addr().map_err(wrong)?;
        match datagrams(both) {
            Ok(udp) => return Ok(Bound { tcp, udp, local: both }),
            Err(why) if why.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(why) => return Err(wrong(why)),
        }
    }
}

fn listen(local: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))?;
    both_families(&socket, local)?;
    // Windows lets two listeners share a port with it; elsewhere it only ends the wait after a restart.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&local.into())?;
    socket.listen(BACKLOG)?;
    // Set after binding: another listener is still refused, but `connect` may dial from this port.
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn datagrams(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    both_families(&socket, local)?;
    // Where that much is not allowed there is less.
    let _ = socket.set_recv_buffer_size(RECEIVE_BYTES);
    socket.bind(&local.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn both_families(socket: &Socket, local: SocketAddr) -> io::Result<()> {
    if local.is_ipv6() { socket.set_only_v6(!local.ip().is_unspecified()) } else { Ok(()) }
}

fn is_without_ipv6(why: &io::Error) -> bool {
    // EAFNOSUPPORT: Linux 97, macOS and BSD 47, Windows 10047.
    matches!(why.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || matches!(why.raw_os_error(), Some(97 | 47 | 10_047))
}

/// Starts to connect without blocking. Wait until the stream is writable, then ask [`is_connected`].
///
/// `from` binds the listening port first, so that a NAT maps the dial as it maps the listener (simultaneous open).
///
/// # Errors
/// If the attempt is over before it began.
pub fn connect(to: SocketAddr, from: Option<SocketAddr>) -> Result<TcpStream, ConnectError> {
    let begin = || -> io::Result<TcpStream> {
        let from = from.filter(|from| from.is_ipv6() || to.is_ipv4());
        let socket = Socket::new(Domain::for_address(from.unwrap_or(to)), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        let mut target = to;
        if let Some(from) = from {
            both_families(&socket, from)?;
            socket.set_reuse_address(true)?;
            #[cfg(unix)]
            socket.set_reuse_port(true)?;
            socket.bind(&from.into())?;
            if let (true, SocketAddr::V4(v4)) = (from.is_ipv6(), to) {
                target = SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()));
            }
        }
        match socket.connect(&target.into()) {
            Err(why) if !is_in_progress(&why) => Err(why),
            _ => Ok(socket.into()),
        }
    };
    begin().map_err(|why| connect_error(&why))
}

fn is_in_progress(why: &io::Error) -> bool {
    // EINPROGRESS: Linux 115, macOS and BSD 36; Windows says WouldBlock.
    matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) || matches!(why.raw_os_error(), Some(115 | 36))
}

/// Whether a stream that [`connect`] made is up: its two ends, or `None` while it still tries.
///
/// # Errors
/// When it has come to nothing.
pub fn is_connected(stream: &TcpStream) -> Result<Option<(SocketAddr, SocketAddr)>, ConnectError> {
    ends(stream.take_error(), stream.local_addr(), stream.peer_addr())
}

/// [`is_connected`] for streams that are not std's, from what they say of themselves.
///
/// # Errors
/// As [`is_connected`].
pub fn ends(
    error: io::Result<Option<io::Error>>,
    local: io::Result<SocketAddr>,
    remote: io::Result<SocketAddr>,
) -> Result<Option<(SocketAddr, SocketAddr)>, ConnectError> {
    if let Ok(Some(why)) | Err(why) = error {
        return Err(connect_error(&why));
    }
    match (local, remote) {
        (Ok(local), Ok(remote)) => Ok(Some((plain(local), plain(remote)))),
        (_, Err(why)) if why.kind() == io::ErrorKind::NotConnected => Ok(None),
        (Err(why), _) | (_, Err(why)) => Err(connect_error(&why)),
    }
}

/// What a node needs to know of an error while connecting.
pub fn connect_error(why: &io::Error) -> ConnectError {
    if why.kind() == io::ErrorKind::ConnectionRefused {
        ConnectError::Refused
    } else if why.kind() == io::ErrorKind::TimedOut {
        ConnectError::TimedOut
    } else if matches!(why.kind(), io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable) {
        ConnectError::Unreachable
    } else {
        ConnectError::Failed
    }
}

/// An IPv4 address that a dual-stack socket shows as IPv6, as what it is (spec: SHELL-6).
pub fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An address as a socket bound to `local` wants it: the inverse of [`plain`] on dual-stack sockets.
pub fn for_socket(local: SocketAddr, to: SocketAddr) -> SocketAddr {
    match (local, to) {
        (SocketAddr::V6(_), SocketAddr::V4(v4)) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        _ => to,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    fn settle(stream: &TcpStream) -> Result<(SocketAddr, SocketAddr), ConnectError> {
        for _ in 0..500 {
            if let Some(ends) = is_connected(stream)? {
                return Ok(ends);
            }
            thread::sleep(Duration::from_millis(2));
        }
        Err(ConnectError::TimedOut)
    }

    // spec-test: SHELL-4
    #[test]
    fn a_crowd_of_datagrams_waits_until_it_is_read() {
        // More than fit into what a socket of Linux has by itself; other systems have other sizes.
        const CROWD: usize = if cfg!(target_os = "linux") { 400 } else { 100 };
        let bound = bind(loopback(0)).unwrap();
        let sender = UdpSocket::bind(loopback(0)).unwrap();
        for _ in 0..CROWD {
            sender.send_to(&[b'.'; 40], bound.local).unwrap();
        }
        let mut bytes = [0; 64];
        assert_eq!((0..CROWD + 1).filter(|_| bound.udp.recv_from(&mut bytes).is_ok()).count(), CROWD);
    }

    // spec-test: SHELL-4
    #[test]
    fn both_sockets_have_one_port_and_a_second_shell_is_told_what_to_do() {
        let bound = bind(loopback(0)).unwrap();
        assert_ne!(bound.local.port(), 0);
        assert_eq!(bound.udp.local_addr().unwrap(), bound.tcp.local_addr().unwrap());
        let why = bind(bound.local).unwrap_err();
        assert!(matches!(why, BindError::PortInUse(port) if port == bound.local.port()));
        assert!(why.to_string().contains("name another port"));
        // An address for documentation, which no machine has.
        let why = bind(SocketAddr::from(([192, 0, 2, 77], 0))).unwrap_err();
        assert!(why.to_string().contains("192.0.2.77; name one that it has"), "{why}");
    }

    #[test]
    fn a_port_whose_udp_half_is_taken_counts_as_in_use() {
        let udp = UdpSocket::bind(loopback(0)).unwrap();
        assert!(matches!(bind(udp.local_addr().unwrap()), Err(BindError::PortInUse(_))));
    }

    // spec-test: SHELL-5
    #[test]
    fn a_remembered_port_that_is_taken_gives_way_to_another() {
        let taken = bind_anywhere(None).unwrap();
        let other = bind_anywhere(Some(taken.local.port())).unwrap();
        assert_ne!(other.local.port(), taken.local.port());
        let port = other.local.port();
        drop(other);
        assert_eq!(bind_anywhere(Some(port)).unwrap().local.port(), port);
    }

    // spec-test: SHELL-5
    #[test]
    fn without_a_remembered_port_the_usual_one_is_taken_and_any_other_while_it_is_busy() {
        let (first, second) = (bind_anywhere(None).unwrap(), bind_anywhere(None).unwrap());
        // Whoever has it, this test or another program: it is 7575 that is not free any more.
        assert!(matches!(bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 7_575))), Err(BindError::PortInUse(7_575))));
        assert!(second.local.port() != 7_575 && second.local.port() != first.local.port());
    }

    #[test]
    fn a_dial_may_leave_from_the_listening_port() {
        let (here, there) = (bind(loopback(0)).unwrap(), bind(loopback(0)).unwrap());
        let stream = connect(there.local, Some(here.local)).unwrap();
        assert_eq!(settle(&stream), Ok((here.local, there.local)));
    }

    #[test]
    fn a_closed_port_refuses() {
        let closed = bind(loopback(0)).unwrap().local;
        let outcome = connect(closed, None).and_then(|stream| settle(&stream));
        assert_eq!(outcome, Err(ConnectError::Refused));
    }

    // spec-test: SHELL-6
    #[test]
    fn a_wildcard_stands_for_loopback_and_every_route_but_never_for_itself() {
        let found = addresses(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 7)));
        assert!(found.contains(&loopback(7)));
        assert!(found.iter().all(|address| !address.ip().is_unspecified() && address.port() == 7));
        assert!(addresses(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7))).iter().all(SocketAddr::is_ipv4));
        assert_eq!(addresses(loopback(9)), [loopback(9)]);
        let dual = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 1));
        assert_eq!(plain(for_socket(dual, loopback(9))), loopback(9));
    }
}
