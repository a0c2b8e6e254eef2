//! Signatures that say when: the Ed25519 form of C2SP tlog-cosignature, version 1.
//!
//! A witness signs so that it has seen a checkpoint. Kapsel's log signs its own heads so, too, under the name of
//! [`timestamp_name`] and with a key of its own, because a checkpoint has no time in it.

use alloc::format;
use alloc::string::String;

use crate::key::{SIGNATURE_LEN, SignatureError};

/// The length of a timestamped signature in bytes: a time and an Ed25519 signature.
pub const COSIGNATURE_LEN: usize = 8 + SIGNATURE_LEN;
/// The latest time that may be signed.
pub const COSIGNATURE_TIME_MAX: u64 = i64::MAX as u64;

/// A time and the signature over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cosignature {
    /// When it was signed, in whole seconds of the Unix epoch.
    pub time: u64,
    /// The Ed25519 signature over [`cosigned_message`].
    pub signature: [u8; SIGNATURE_LEN],
}

impl Cosignature {
    /// The bytes that follow the key id in a note's signature line.
    pub fn to_bytes(&self) -> [u8; COSIGNATURE_LEN] {
        let mut bytes = [0; COSIGNATURE_LEN];
        let (time, signature) = bytes.split_at_mut(8);
        time.copy_from_slice(&self.time.to_be_bytes());
        signature.copy_from_slice(&self.signature);
        bytes
    }

    /// Takes the bytes apart. Nothing is verified by it.
    ///
    /// # Errors
    /// [`SignatureError::Length`] and [`SignatureError::Time`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        let length = SignatureError::Length(bytes.len());
        let (time, signature) = bytes.split_first_chunk().ok_or(length)?;
        let (time, signature) = (u64::from_be_bytes(*time), signature.try_into().map_err(|_| length)?);
        if time > COSIGNATURE_TIME_MAX { Err(SignatureError::Time(time)) } else { Ok(Cosignature { time, signature }) }
    }
}

/// What is signed: a header, the time in whole seconds of the Unix epoch, and the whole text of the checkpoint.
pub fn cosigned_message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// The name under which a log says when it made a head.
pub fn timestamp_name(origin: &str) -> String {
    format!("{origin}/timestamp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_come_back() {
        let cosignature = Cosignature { time: 0x0102_0304, signature: [7; 64] };
        let bytes = cosignature.to_bytes();
        assert_eq!(bytes[..9], [0, 0, 0, 0, 1, 2, 3, 4, 7]);
        assert_eq!(Cosignature::from_bytes(&bytes), Ok(cosignature));
        assert_eq!(Cosignature::from_bytes(&bytes[1..]), Err(SignatureError::Length(71)));
        assert_eq!(Cosignature::from_bytes(&[]), Err(SignatureError::Length(0)));
        assert_eq!(Cosignature::from_bytes(&[0xff; 72]), Err(SignatureError::Time(u64::MAX)));
    }

    #[test]
    fn the_message_is_that_of_the_specification() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let message = cosigned_message(1_679_315_147, text);
        assert!(message.starts_with("cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n2"));
        assert!(message.ends_with(text));
    }
}
