//! Where the next page of a list begins, as an opaque text that can stand in a URL.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kapsel_core::{ApiKeyId, EndpointId, EventId, ReplayId, TenantId};

use crate::problem::Problem;

/// Grows when the meaning of a cursor changes, so that an old one is refused and not misread.
const FORM: u8 = 1;
const CURSOR_BYTES: usize = 18;

/// An id that a list can continue behind.
pub(crate) trait Position: Copy {
    /// Tells the cursors of different lists apart.
    const LIST: u8;
    /// The bytes of the id.
    fn to_bytes(self) -> [u8; 16];
    /// The id of these bytes.
    fn from_bytes(bytes: [u8; 16]) -> Self;
}

macro_rules! positions {
    ($($id:ty = $list:literal;)*) => {
        $(impl Position for $id {
            const LIST: u8 = $list;

            fn to_bytes(self) -> [u8; 16] {
                *self.as_bytes()
            }

            fn from_bytes(bytes: [u8; 16]) -> Self {
                <$id>::from_bytes(bytes)
            }
        })*
    };
}

positions! {
    ApiKeyId = b'k';
    EndpointId = b'p';
    EventId = b'v';
    ReplayId = b'r';
    TenantId = b't';
}

/// The cursor of the page behind `last`.
pub(crate) fn encode<P: Position>(last: P) -> String {
    let mut bytes = [0; CURSOR_BYTES];
    bytes[0] = FORM;
    bytes[1] = P::LIST;
    bytes[2..].copy_from_slice(&last.to_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What [`encode`] was given.
pub(crate) fn decode<P: Position>(cursor: &str) -> Result<P, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let bytes: Option<[u8; CURSOR_BYTES]> = bytes.and_then(|bytes| bytes.try_into().ok());
    match bytes {
        Some([FORM, list, id @ ..]) if list == P::LIST => Ok(P::from_bytes(id)),
        _ => Err(Problem::bad_request("cursor: must be the next_cursor of an earlier page of this list, unchanged")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_fit_into_a_url() {
        for id in [EventId::MIN, EventId::MAX, EventId::from_bytes([0x5a; 16])] {
            let cursor = encode(id);
            assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{cursor}");
            assert_eq!(decode::<EventId>(&cursor).unwrap(), id);
        }
    }

    #[test]
    fn what_is_no_cursor_of_this_list_is_refused() {
        let mut other_form = URL_SAFE_NO_PAD.decode(encode(EventId::MIN)).unwrap();
        other_form[0] += 1;
        let event = encode(EventId::MIN);
        let refused = [
            String::new(),
            "garbage!".to_owned(),
            format!("{event}A"),
            event[1..].to_owned(),
            EventId::MIN.to_string(),
            encode(EndpointId::MIN),
            URL_SAFE_NO_PAD.encode(other_form),
        ];
        for cursor in refused {
            assert!(decode::<EventId>(&cursor).is_err(), "{cursor}");
        }
    }
}
