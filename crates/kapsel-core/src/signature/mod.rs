//! Signatures: of webhooks that come in ([`inbound`]) and of requests that go out ([`outbound`]).
//!
//! Both work on the raw bytes, compare in constant time and fail closed: what is not understood is refused.

pub mod inbound;
pub mod outbound;

mod mac;
mod standard_webhooks;

pub use inbound::{InvalidVerification, SignatureError, VerificationScheme, Verifier};
pub use outbound::{InvalidSigningKey, OutboundSigner};
