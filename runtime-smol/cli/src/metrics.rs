//! The counters of a node as OpenMetrics text, for whoever asks on loopback.
//!
//! A responder of its own, and a small one: it reads one request, answers and closes. What is on crates.io either brings a
//! whole server with threads or an executor beside this one, or writes the text only, which is the least of it.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use overcom_core::{DhtStanding, Node, RealmView};
use overcom_smol::Handle;
use serde_json::Value;
use smol::future::or;
use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use smol::lock::Semaphore;
use smol::net::{TcpListener, TcpStream};

/// Requests that are answered at once; more wait in the system's queue (guess: a scraper or two, and a person).
const REQUESTS_MAX: usize = 4;
/// A request with its headers is not longer (guess: a browser's with cookies).
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// How long a request and its answer may take (guess: loopback's worst, on a busy machine).
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// What is told of each realm: its name, and how much it is.
type Gauge = (&'static str, fn(&RealmView) -> u64);

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, node: Handle) {
    let places = Arc::new(Semaphore::new(REQUESTS_MAX));
    loop {
        let place = places.acquire_arc().await;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files, for instance: it may pass.
            smol::Timer::after(Duration::from_millis(100)).await;
            continue;
        };
        let node = node.clone();
        smol::spawn(async move {
            let _place = place;
            // Whoever asked and left has no use for the rest.
            let _ = in_time(answer(stream, &node)).await;
        })
        .detach();
    }
}

async fn in_time(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    or(work, async {
        smol::Timer::after(REQUEST_MAX).await;
        Err(io::ErrorKind::TimedOut.into())
    })
    .await
}

async fn answer(mut stream: TcpStream, node: &Handle) -> io::Result<()> {
    let local = stream.local_addr()?;
    let request = request(&mut stream).await?;
    let (status, body) = match wanted(&request, local) {
        Ok(()) => match node.look(text).await {
            Ok(body) => ("200 OK", body),
            Err(_) => ("503 Service Unavailable", "the node has ended\n".to_owned()),
        },
        Err((status, why)) => (status, why.to_owned()),
    };
    respond(&mut stream, status, &body).await
}

/// The head of a request, as far as it came before the bound or its end.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let (mut head, mut part) = (Vec::new(), [0; 1_024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() <= REQUEST_BYTES_MAX {
        let length = stream.read(&mut part).await?;
        if length == 0 {
            break;
        }
        head.extend_from_slice(part.get(..length).unwrap_or_default());
    }
    Ok(head)
}

/// Whether this asks for the counters, and nobody has lured a browser here: a page of another host may ask under its own
/// name only.
fn wanted(head: &[u8], local: SocketAddr) -> Result<(), (&'static str, &'static str)> {
    let text = std::str::from_utf8(head).unwrap_or_default();
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return Err(("400 Bad Request", "this is no request of at most 8 KiB\n"));
    };
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    if !first.next().is_some_and(|version| version.starts_with("HTTP/1.")) {
        return Err(("400 Bad Request", "this is no request of HTTP/1\n"));
    }
    if method != "GET" {
        return Err(("405 Method Not Allowed", "ask with GET\n"));
    }
    let mut hosts = lines.filter_map(|line| line.split_once(':')).filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let is_here = |host: &str| host == local.to_string() || host == format!("localhost:{}", local.port());
    if !hosts.all(|(_, host)| is_here(host.trim())) {
        return Err(("421 Misdirected Request", "ask by the address that --metrics names\n"));
    }
    if path != "/metrics" {
        return Err(("404 Not Found", "the counters are at /metrics\n"));
    }
    Ok(())
}

async fn respond(stream: &mut (impl AsyncWrite + Unpin), status: &str, body: &str) -> io::Result<()> {
    let kind = if status.starts_with("200") { "application/openmetrics-text; version=1.0.0" } else { "text/plain" };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.close().await
}

/// Everything that is counted, by the names of [`overcom_core::Stats`]; nobody's address or name is among it.
fn text(node: &Node) -> String {
    let mut text = String::new();
    let Ok(Value::Object(stats)) = serde_json::to_value(node.stats()) else { return text };
    for (name, count) in stats {
        let _ = writeln!(text, "# TYPE overcom_{name} counter\novercom_{name}_total {count}");
    }
    let seen = node.inspect();
    for (name, count) in [
        ("links", seen.links.len()),
        ("pipes_pending", seen.pipes_pending as usize),
        ("outbox_messages", seen.outbox.len()),
        ("users", seen.book.len()),
        ("invitations_open", seen.invitations.len()),
    ] {
        let _ = writeln!(text, "# TYPE overcom_{name} gauge\novercom_{name} {count}");
    }
    let realms = seen.dht.map(|dht| dht.realms).unwrap_or_default();
    let each: [Gauge; 5] = [
        ("nodes", |realm| realm.nodes),
        ("verified", |realm| realm.verified),
        ("leaves", |realm| realm.leaves),
        ("estimate", |realm| realm.estimate),
        ("is_serving", |realm| u64::from(realm.standing == DhtStanding::Serving)),
    ];
    for (name, of) in each.into_iter().filter(|_| !realms.is_empty()) {
        let _ = writeln!(text, "# TYPE overcom_dht_{name} gauge");
        for realm in &realms {
            let reach = format!("{:?}", realm.reach).to_lowercase();
            let _ = writeln!(text, "overcom_dht_{name}{{family=\"{}\",reach=\"{reach}\"}} {}", realm.family, of(realm));
        }
    }
    text + "# EOF\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_of_the_counters_under_this_host_s_own_name_is_answered() {
        let local = SocketAddr::from(([127, 0, 0, 1], 9_000));
        let status = |request: &str| wanted(request.as_bytes(), local).map_err(|(status, _)| status.split(' ').next().unwrap_or_default());
        for good in ["", "Host: 127.0.0.1:9000\r\n", "host:localhost:9000\r\nAccept: */*\r\n"] {
            assert_eq!(status(&format!("GET /metrics HTTP/1.1\r\n{good}\r\n")), Ok(()), "{good}");
        }
        for (bad, code) in [
            ("", "400"),
            ("GET /metrics HTTP/1.1\r\n", "400"),
            ("GET /metrics\r\n\r\n", "400"),
            ("\r\n\r\n", "400"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("GET /metrics HTTP/1.1\r\nHost: evil.example:9000\r\n\r\n", "421"),
            ("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nHost: evil.example\r\n\r\n", "421"),
        ] {
            assert_eq!(status(bad), Err(code), "{bad:?}");
        }
        assert_eq!(wanted(b"GET /metrics\xff HTTP/1.1\r\n\r\n", local).map_err(|(status, _)| status), Err("400 Bad Request"));
    }

    #[test]
    fn a_request_without_end_is_read_no_further_than_its_bound() {
        smol::block_on(async {
            let long = vec![b'x'; 1 << 20];
            let mut input = long.as_slice();
            let head = request(&mut input).await.expect("memory reads");
            assert!(head.len() <= REQUEST_BYTES_MAX + 1_024 && wanted(&head, SocketAddr::from(([127, 0, 0, 1], 1))).is_err());
        });
    }
}
