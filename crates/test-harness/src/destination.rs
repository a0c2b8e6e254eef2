//! Destinations over real sockets.
