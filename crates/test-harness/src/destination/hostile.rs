//! The bad behaviours that have a name, in steps.

use super::{Behaviour, Step};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n";

/// What a destination of this behaviour does on each connection.
pub(super) fn steps(behaviour: &Behaviour) -> Vec<Step> {
    match behaviour {
        Behaviour::Steps(steps) | Behaviour::TlsSteps(_, steps) => steps.clone(),
        Behaviour::ResetAfterAccept => vec![Step::Reset],
        Behaviour::LostAnswer => vec![Step::Request, Step::Close],
        Behaviour::Drip(period) => {
            let head = format!("{HEAD}content-length: 1000000\r\n\r\n");
            vec![Step::Request, Step::send(head), Step::Drip(".".into(), *period)]
        }
        Behaviour::EndlessBody => {
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            let head = format!("{HEAD}transfer-encoding: chunked\r\n\r\n");
            vec![Step::Request, Step::send(head), Step::SendForever(chunk.into())]
        }
        Behaviour::InformationalFlood => {
            vec![Step::Request, Step::SendForever("HTTP/1.1 100 Continue\r\n\r\n".repeat(100).into())]
        }
        Behaviour::Garbage => {
            let garbage = b"SSH-2.0-OpenSSH_9.9\r\n\0\x01\x02\xff garbage\r\n\r\n";
            vec![Step::Request, Step::send(&garbage[..]), Step::Close]
        }
        Behaviour::CloseKeepAlive => {
            let answer = format!("{HEAD}connection: keep-alive\r\ncontent-length: 2\r\n\r\nok");
            vec![Step::Request, Step::send(answer), Step::Close]
        }
        // `Hang` notes each request and never says anything.
        _ => vec![Step::Request],
    }
}
