//! Where a page of a list begins and in which direction it goes, as an opaque text that can stand in a URL.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kapsel_core::{ApiKeyId, EndpointId, ErasureId, EventId, ReplayId, TenantId};

use crate::problem::Problem;

/// Grows when the meaning of a cursor changes, so that an old one is refused and not misread.
const FORM: u8 = 2;
pub(crate) const CURSOR_BYTES: usize = 19;

/// In which direction a page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// On in the order of the list.
    Next,
    /// Back.
    Previous,
}

impl Direction {
    const fn byte(self) -> u8 {
        match self {
            Direction::Next => b'>',
            Direction::Previous => b'<',
        }
    }
}

/// An id that a list can continue behind.
pub(crate) trait Position: Copy {
    /// Tells the cursors of different lists apart.
    const LIST: u8;
    /// Whether the list can be read backwards too.
    const GOES_BOTH_WAYS: bool = false;
    /// The bytes of the id.
    fn to_bytes(self) -> [u8; 16];
    /// The id of these bytes.
    fn from_bytes(bytes: [u8; 16]) -> Self;
}

macro_rules! positions {
    ($($id:ty = $list:literal $(, $both_ways:literal)?;)*) => {
        $(impl Position for $id {
            const LIST: u8 = $list;
            $(const GOES_BOTH_WAYS: bool = $both_ways;)?

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
    ErasureId = b'x';
    EventId = b'v', true;
    ReplayId = b'r';
    TenantId = b't';
}

/// The cursor of the page that lies in this direction from `id`.
pub(crate) fn encode<P: Position>(id: P, direction: Direction) -> String {
    let mut bytes = [0; CURSOR_BYTES];
    bytes[..3].copy_from_slice(&[FORM, P::LIST, direction.byte()]);
    bytes[3..].copy_from_slice(&id.to_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What [`encode`] was given.
pub(crate) fn decode<P: Position>(cursor: &str) -> Result<(P, Direction), Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let bytes: Option<[u8; CURSOR_BYTES]> = bytes.and_then(|bytes| bytes.try_into().ok());
    match bytes {
        Some([FORM, list, b'>', id @ ..]) if list == P::LIST => Ok((P::from_bytes(id), Direction::Next)),
        Some([FORM, list, b'<', id @ ..]) if list == P::LIST && P::GOES_BOTH_WAYS => {
            Ok((P::from_bytes(id), Direction::Previous))
        }
        _ => Err(Problem::bad_request("cursor: must be the cursor that an earlier page of this list names, unchanged")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_fit_into_a_url() {
        for id in [EventId::MIN, EventId::MAX, EventId::from_bytes([0x5a; 16])] {
            for direction in [Direction::Next, Direction::Previous] {
                let cursor = encode(id, direction);
                assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{cursor}");
                assert_eq!(decode::<EventId>(&cursor).unwrap(), (id, direction));
            }
        }
    }

    #[test]
    fn what_is_no_cursor_of_this_list_is_refused() {
        let mut other_form = URL_SAFE_NO_PAD.decode(encode(EventId::MIN, Direction::Next)).unwrap();
        other_form[0] += 1;
        let event = encode(EventId::MIN, Direction::Next);
        let refused = [
            String::new(),
            "garbage!".to_owned(),
            format!("{event}A"),
            event[1..].to_owned(),
            EventId::MIN.to_string(),
            encode(EndpointId::MIN, Direction::Next),
            URL_SAFE_NO_PAD.encode(other_form),
        ];
        for cursor in refused {
            assert!(decode::<EventId>(&cursor).is_err(), "{cursor}");
        }
        // Not every list can be read backwards.
        assert!(decode::<EndpointId>(&encode(EndpointId::MIN, Direction::Next)).is_ok());
        assert!(decode::<EndpointId>(&encode(EndpointId::MIN, Direction::Previous)).is_err());
    }
}
