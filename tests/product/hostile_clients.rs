//! Clients that misbehave take the service from nobody and grow no memory.

use std::net::SocketAddr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use test_harness::destination::{Behaviour, Destination};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::program::{PATIENCE, Program};
use crate::tls::{self, Pair};

const MIB: u64 = 1024 * 1024;
/// Far more than it needs, far less than the attacks would take if what they begin were kept.
const RESIDENT_BYTES_MAX: u64 = 256 * MIB;
const IDLE_CONNECTIONS: usize = 2_000;
/// Requests of somebody who behaves, during each attack.
const GOOD_REQUESTS: usize = 5;
const HTTP2_BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}
type Line = Box<dyn Stream>;

/// A way into the program: a port, from an address of the loopback network, bare or after a TLS handshake.
#[derive(Clone, Copy)]
struct Door<'a> {
    name: &'static str,
    base: &'a str,
    inside: Option<&'a Pair>,
    from: [u8; 4],
}

impl<'a> Door<'a> {
    fn bare(name: &'static str, base: &'a str, from: [u8; 4]) -> Self {
        Door { name, base, inside: None, from }
    }

    /// `None` if the program turns it away, which it may.
    async fn enter(&self) -> Option<Line> {
        if let Some(pair) = self.inside {
            return pair.connect(self.base).await.ok().map(|stream| Box::new(stream) as Line);
        }
        let (_, addr) = self.base.split_once("://").expect("a base");
        let addr: SocketAddr = addr.parse().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((self.from, 0).into()).expect("a loopback address");
        socket.connect(addr).await.ok().map(|stream| Box::new(stream) as Line)
    }
}

/// What each connection of an attack writes, one piece after the other; then it stays open.
struct Attack {
    name: &'static str,
    connections: usize,
    pieces: Box<dyn Fn(usize) -> Vec<Vec<u8>>>,
}

fn attack(name: &'static str, connections: usize, pieces: impl Fn(usize) -> Vec<Vec<u8>> + 'static) -> Attack {
    Attack { name, connections, pieces: Box::new(pieces) }
}

/// Bytes that follow from a seed (splitmix64): a failure is repeated by its number.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).to_le_bytes()
    });
    words.flatten().take(length).collect()
}

fn attacks(path: &str) -> Vec<Attack> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n");
    let (slow_head, slow_body, large_head) = (head.clone(), head.clone(), head.clone());
    vec![
        attack("noise", 200, move |index| {
            // After each of the ways to begin, so that every parser gets some.
            let beginnings: [&[u8]; 4] = [b"", HTTP2_BEGINNING, b"\x16\x03\x01\x02\x00\x01\x00", head.as_bytes()];
            vec![[beginnings[index % beginnings.len()], &noise(index as u64, 16 * 1024)].concat()]
        }),
        attack("slow heads", 300, move |_| {
            vec![slow_head.clone().into_bytes(), b"X-Slow: a".to_vec(), b"a".to_vec(), b"a".to_vec()]
        }),
        attack("slow bodies", 300, move |_| {
            let head = format!("{slow_body}Content-Length: 10000000\r\n\r\n");
            vec![head.into_bytes(), b"a".to_vec(), b"a".to_vec(), b"a".to_vec()]
        }),
        attack("large heads", 50, move |_| vec![format!("{large_head}X-Large: {}", "a".repeat(1_000_000)).into()]),
        attack("rapid resets", 50, |_| {
            let mut flood = HTTP2_BEGINNING.to_vec();
            for stream in (1..4_000_u32).step_by(2) {
                // GET, http, and the path `/`, each an index of the static table; then RST_STREAM.
                flood.extend(b"\0\0\x03\x01\x05".iter().chain(&stream.to_be_bytes()).chain(b"\x82\x86\x84"));
                flood.extend(b"\0\0\x04\x03\0".iter().chain(&stream.to_be_bytes()).chain(&[0, 0, 0, 8]));
            }
            vec![flood]
        }),
        attack("silence", IDLE_CONNECTIONS, |_| Vec::new()),
    ]
}

/// Begins an attack and returns its connections, which go on.
async fn begin(door: Door<'_>, attack: &Attack, connections: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for index in 0..connections {
        let Some(line) = door.enter().await else { continue };
        lines.push((line, (attack.pieces)(index).into_iter()));
    }
    // Everybody's first piece, everybody's second, and so on. Who is closed has got what was meant for him.
    let mut writing = JoinSet::new();
    for (mut line, pieces) in lines {
        writing.spawn(async move {
            for piece in pieces {
                if line.write_all(&piece).await.is_err() || line.flush().await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            line
        });
    }
    writing.join_all().await
}

/// The test holds as many descriptors as its attacks have connections.
fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum.map_or(16_384, |maximum| maximum.min(16_384));
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).expect("a limit below the maximum");
    assert!(current > 2 * IDLE_CONNECTIONS as u64, "this machine allows {current} open files only");
}

#[track_caller]
fn assert_small(program: &Program, doing: &str) {
    let resident = program.resident_bytes();
    assert!(resident < RESIDENT_BYTES_MAX, "{doing}: {} MiB", resident / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_take_the_service_from_nobody() {
    raise_descriptor_limit();
    let folder = tempfile::tempdir().unwrap();
    let settings = [("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"), ("KAPSEL_MANAGEMENT_ADDR", "127.0.0.1:0")];
    let program = Program::start_with(folder.path(), &settings).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let url = endpoint["ingest_url"].as_str().unwrap();
    let path = url.strip_prefix(&program.base).unwrap();
    let doors = [
        Door::bare("plain", &program.base, [127, 0, 0, 2]),
        Door::bare("management", &program.management_base, [127, 0, 0, 3]),
    ];
    let mut sent = 0;
    for attack in attacks(path) {
        for door in doors {
            let doing = format!("{} at {}", attack.name, door.name);
            let lines = tokio::time::timeout(PATIENCE, begin(door, &attack, attack.connections)).await.expect(&doing);
            for _ in 0..GOOD_REQUESTS {
                program.post(url, &[], "good").await.expect(200);
                sent += 1;
            }
            // Neither are new connections kept out: this client has used none of them before.
            let fresh = http::Request::get(format!("{}/v1/events", program.management_base)).body(Default::default());
            let answer = crate::program::send(&crate::program::http_client(), fresh.unwrap()).await;
            answer.expect(&doing).expect(401);
            assert_small(&program, &doing);
            drop(lines);
        }
    }
    program.post(url, &[], "afterwards").await.expect(200);
    tokio::time::timeout(PATIENCE, destination.wait_for(sent + 1)).await.expect("all of it is delivered");
    program.wait_until_nothing_is_undelivered().await;
    assert!(program.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_take_tls_from_nobody() {
    raise_descriptor_limit();
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new();
    let mut log = tempfile::NamedTempFile::new().unwrap();
    let program = tls::start(&folder, &pair, &[], log.reopen().unwrap()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let path = pair.create_endpoint(&program, json!({"url": destination.url()})).await;
    let outside = Door::bare("TLS", &program.base, [127, 0, 0, 2]);
    let inside = Door { name: "the inside of TLS", inside: Some(&pair), ..outside };
    let mut sent = 0;
    for attack in attacks(&path) {
        // Handshakes are dear on both sides.
        for (door, connections) in [(outside, attack.connections), (inside, attack.connections.min(50))] {
            let doing = format!("{} at {}", attack.name, door.name);
            let lines = tokio::time::timeout(PATIENCE, begin(door, &attack, connections)).await.expect(&doing);
            for _ in 0..GOOD_REQUESTS {
                pair.post(&program, &path, "good").await.expect(200);
                sent += 1;
            }
            assert_small(&program, &doing);
            drop(lines);
        }
    }
    pair.post(&program, &path, "afterwards").await.expect(200);
    tokio::time::timeout(PATIENCE, destination.wait_for(sent + 1)).await.expect("all of it is delivered");
    assert!(program.terminate().await.success());
    // Thousands of broken connections are no reason to write thousands of lines.
    let mut said = String::new();
    std::io::Read::read_to_string(&mut log, &mut said).unwrap();
    assert!(said.lines().count() < 10, "{said}");
}

/// One address may have a quarter of all connections; the other three quarters are for others.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_takes_all_it_can_leaves_room_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("KAPSEL_MAX_CONNECTIONS", "40"), ("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8")];
    let program = Program::start_with(folder.path(), &settings).await;
    let greedy = Door::bare("plain", &program.base, [127, 0, 0, 2]);
    let mut lines = Vec::new();
    for _ in 0..200 {
        lines.extend(greedy.enter().await);
    }
    program.manage(http::Method::GET, "/v1/endpoints", None).await.expect(200);
    let mut answered = 0;
    for line in &mut lines {
        // What it has too many is closed already.
        let _ = line.write_all(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let first = tokio::time::timeout(PATIENCE, line.read_u8()).await.expect("an answer or the end");
        answered += usize::from(first.is_ok());
    }
    assert_eq!((lines.len(), answered), (200, 10));
}
