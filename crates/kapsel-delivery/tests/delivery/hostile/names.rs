//! Names that resolve to what they should not.
//!
//! The destination listens on 127.0.0.1 alone. Where this is the one address that is allowed, it stands for a public
//! one, and every other for a private one.

use kapsel_core::FailureKind::{Blocked, Connection, Dns, Timeout};

use super::row::{Answer, Fails, Row, name};
use crate::network::Names;

const PUBLIC: &[&str] = &["127.0.0.1/32"];
const LOOPBACK: &[&str] = &["127.0.0.0/8"];
const NOTHING: &[&str] = &[];

fn once(addresses: &[&str]) -> Names {
    Names::of(&[addresses])
}

/// So many addresses on which nothing listens, and then `last`.
fn many(count: u16, last: &[&str]) -> Names {
    let closed = |at: u16| format!("127.9.{}.{}", at / 250, at % 250 + 1);
    let all: Vec<String> = (0..count).map(closed).chain(last.iter().map(|last| (*last).to_owned())).collect();
    once(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

pub(super) fn rows() -> Vec<Row> {
    let blocked = Fails(&[Blocked]);
    vec![
        // What a name may stand for.
        name("a name for a public address", once(&["127.0.0.1"]), PUBLIC, Answer(200)),
        name("a name for a private address", once(&["10.0.0.7"]), PUBLIC, blocked),
        name("a name for loopback", once(&["127.0.0.1"]), NOTHING, blocked),
        name("a name for loopback of IPv6", once(&["::1"]), NOTHING, blocked),
        name("a name for loopback, mapped into IPv6", once(&["::ffff:127.0.0.1"]), NOTHING, blocked),
        name("a name for loopback, translated into IPv6", once(&["64:ff9b::7f00:1"]), NOTHING, blocked),
        name("a name for the unspecified address", once(&["0.0.0.0", "::"]), NOTHING, blocked),
        name("a name for the metadata of a cloud", once(&["169.254.169.254", "fd00:ec2::254"]), NOTHING, blocked),
        name("a name for everybody", once(&["255.255.255.255", "224.0.0.1", "ff02::1"]), NOTHING, blocked),
        // Several addresses.
        name("public and private addresses", once(&["10.0.0.7", "127.0.0.1", "127.0.0.2"]), PUBLIC, Answer(200)),
        name("first public, then private", Names::of(&[&["127.0.0.1"], &["127.0.0.2"]]), PUBLIC, blocked).second(),
        name("thousands of addresses, all closed", many(5_000, &[]), LOOPBACK, Fails(&[Connection])),
        name("thousands of addresses, all private", many(5_000, &[]), PUBLIC, blocked),
        name("thousands of addresses, the last one public", many(5_000, &["127.0.0.1"]), PUBLIC, Answer(200)),
        // No address.
        name("a name without address", once(&[]), LOOPBACK, Fails(&[Dns])),
        name("a name that is never answered", Names::Silent, LOOPBACK, Fails(&[Timeout])),
    ]
}
