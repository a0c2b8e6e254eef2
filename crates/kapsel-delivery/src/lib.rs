//! Delivery of Kapsel: claim, send, settle; the HTTP transport and its address guard.
