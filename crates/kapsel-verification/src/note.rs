//! Signed notes: a text and the signatures under it (C2SP signed-note).
//!
//! Only the exact form is accepted, so a note has one text: what [`SignedNote::parse`] takes, [`SignedNote::to_text`]
//! gives back byte for byte.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::base64_text;
use crate::key::{KeyId, SignatureError, VerifierKey, is_key_name};

/// Notes are no longer than this. It has room for 16 signatures of the post-quantum kind, which every reader has to
/// accept.
pub const NOTE_BYTES_MAX: usize = 128 * 1024;
/// A note has no more signatures than this.
pub const NOTE_SIGNATURES_MAX: usize = 100;

/// A text with signatures. Nothing is verified until it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// One signature of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    /// Who signed.
    pub name: String,
    /// Which key was used.
    pub key_id: KeyId,
    /// The signature, in the form that the type of the key has.
    pub signature: Vec<u8>,
}

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    /// The key that it was verified with.
    pub key: VerifierKey,
    /// For a cosignature the time that was signed, in whole seconds of the Unix epoch.
    pub time: Option<u64>,
}

/// Why something is not a signed note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is too long.
    #[error("the note has {0} bytes; {NOTE_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// It is not UTF-8.
    #[error("the note is not UTF-8")]
    NotUtf8,
    /// It holds a control character that is not a newline.
    #[error("the note holds the control character {0:?}")]
    ControlCharacter(char),
    /// The text does not end with a newline, or no empty line follows it.
    #[error("the note has no text with an empty line after it")]
    NoText,
    /// No signature follows the text.
    #[error("the note has no signature")]
    NoSignature,
    /// There are too many signatures.
    #[error("the note has more than {NOTE_SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// A line below the text is not a signature.
    #[error("line {0} below the text is not a signature")]
    SignatureLine(usize),
}

/// Why a note cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// None of the signatures is by a known key.
    #[error("none of its signatures is by a known key")]
    UnknownSigners,
    /// A signature claims to be by a known key and is not. This makes the whole note suspect.
    #[error("the signature of {name} with key {key_id} does not hold")]
    Signature {
        /// Who is said to have signed.
        name: String,
        /// Which key is said to have been used.
        key_id: KeyId,
        /// What is wrong.
        #[source]
        source: SignatureError,
    },
}

/// Writes a note.
///
/// # Errors
/// [`NoteError`], where text and signatures cannot make a note that [`SignedNote::parse`] would accept.
pub fn format(text: &str, signatures: &[SignatureLine]) -> Result<String, NoteError> {
    let note = SignedNote { text: text.to_string(), signatures: signatures.to_vec() };
    let written = note.to_text();
    // Names with spaces, texts without a newline: whatever would be read as something else.
    if SignedNote::parse(written.as_bytes())? == note { Ok(written) } else { Err(NoteError::NoText) }
}

impl SignedNote {
    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn parse(note: &[u8]) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong(note.len()));
        }
        let note = core::str::from_utf8(note).map_err(|_| NoteError::NotUtf8)?;
        if let Some(found) = note.chars().find(|&c| c < ' ' && c != '\n') {
            return Err(NoteError::ControlCharacter(found));
        }
        // The text may have empty lines; the last one in the note ends it.
        let (text, _) = note.rsplit_once("\n\n").ok_or(NoteError::NoText)?;
        let (text, lines) = note.split_at(text.len() + 1);
        let lines = lines.strip_prefix('\n').filter(|lines| !lines.is_empty()).ok_or(NoteError::NoSignature)?;
        let count = lines.split_inclusive('\n').count();
        if count > NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        let parse = |(index, line)| SignatureLine::parse(line).ok_or(NoteError::SignatureLine(index + 1));
        let signatures = lines.split_inclusive('\n').enumerate().map(parse).collect::<Result<_, _>>()?;
        Ok(SignedNote { text: text.to_string(), signatures })
    }

    /// The text, with the newline at its end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in the order of the note. They are not verified.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// The whole note, as it was read.
    pub fn to_text(&self) -> String {
        let mut note = self.text.clone();
        note.push('\n');
        for line in &self.signatures {
            note.push_str(&line.to_text());
        }
        note
    }

    /// Verifies the signatures that are by one of these keys, and gives each such key once. Signatures by others are
    /// ignored: that is how keys are rotated and how witnesses join.
    ///
    /// # Errors
    /// [`OpenError::UnknownSigners`] where no known key signed, and [`OpenError::Signature`] where a line has the name
    /// and the id of a known key but does not hold, even if others do.
    pub fn open(&self, keys: &[VerifierKey]) -> Result<Vec<VerifiedSignature>, OpenError> {
        let mut verified: Vec<VerifiedSignature> = Vec::new();
        for line in &self.signatures {
            let mut failure = None;
            let mut is_held = false;
            for key in keys.iter().filter(|key| key.id() == line.key_id && key.name() == line.name) {
                match key.verify(&self.text, &line.signature) {
                    Ok(time) => {
                        is_held = true;
                        if !verified.iter().any(|seen| seen.key == *key) {
                            verified.push(VerifiedSignature { key: key.clone(), time });
                        }
                    }
                    Err(error) => failure = Some(error),
                }
            }
            // Two known keys may share name and id; then the line has to be by one of them.
            if let (false, Some(source)) = (is_held, failure) {
                return Err(OpenError::Signature { name: line.name.clone(), key_id: line.key_id, source });
            }
        }
        if verified.is_empty() { Err(OpenError::UnknownSigners) } else { Ok(verified) }
    }
}

impl SignatureLine {
    /// One line of a note, newline included; none where it is of another form.
    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_suffix('\n')?.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let bytes = base64_text::decode(signature)?;
        let (&key_id, signature) = bytes.split_first_chunk()?;
        let is_whole = is_key_name(name) && !signature.is_empty();
        is_whole.then(|| SignatureLine {
            name: name.to_string(),
            key_id: KeyId::from_bytes(key_id),
            signature: signature.to_vec(),
        })
    }

    /// The line as it stands in a note, newline included.
    fn to_text(&self) -> String {
        let bytes = [self.key_id.as_bytes(), self.signature.as_slice()].concat();
        alloc::format!("\u{2014} {} {}\n", self.name, base64_text::encode(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    /// The example of C2SP signed-note.
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    fn key() -> VerifierKey {
        VKEY.parse().unwrap()
    }

    #[test]
    fn the_note_of_the_specification_opens() {
        let note = SignedNote::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.text(), "This is an example message.\n");
        assert_eq!(note.to_text(), NOTE);
        assert_eq!(note.open(&[key()]), Ok([VerifiedSignature { key: key(), time: None }].into()));
        assert_eq!(super::format(note.text(), note.signatures()).unwrap(), NOTE);
        assert_eq!(note.open(&[]), Err(OpenError::UnknownSigners));
    }

    #[test]
    fn unknown_lines_are_ignored_and_a_bad_known_line_is_not() {
        let stranger = "\u{2014} example.com/foo AAAAAAAA\n\u{2014} other Uw2QOkn8srU=\n";
        let with_strangers = format!("{NOTE}{stranger}");
        let note = SignedNote::parse(with_strangers.as_bytes()).unwrap();
        assert_eq!(note.open(&[key()]).unwrap().len(), 1);

        let twice = format!("{NOTE}{}", &NOTE[NOTE.find('\u{2014}').unwrap()..]);
        assert_eq!(SignedNote::parse(twice.as_bytes()).unwrap().open(&[key()]).unwrap().len(), 1);

        let bad = format!("{NOTE}\u{2014} example.com/foo Uw2QOkn8srU=\n");
        let opened = SignedNote::parse(bad.as_bytes()).unwrap().open(&[key()]);
        assert!(matches!(opened, Err(OpenError::Signature { source: SignatureError::Length(4), .. })));
    }

    #[test]
    fn other_forms_are_refused() {
        let parse = |note: &str| SignedNote::parse(note.as_bytes()).unwrap_err();
        assert_eq!(parse(""), NoteError::NoText);
        assert_eq!(parse("text\n"), NoteError::NoText);
        assert_eq!(parse("text\n\n"), NoteError::NoSignature);
        assert_eq!(parse(&NOTE[..NOTE.len() - 1]), NoteError::SignatureLine(1));
        assert_eq!(parse(&format!("{NOTE}\n")), NoteError::NoSignature);
        assert_eq!(parse(&format!("{NOTE}junk\n")), NoteError::SignatureLine(2));
        assert_eq!(parse(&NOTE.replace("\u{2014} ", "- ")), NoteError::SignatureLine(1));
        assert_eq!(parse(&NOTE.replace("foo U", "foo  U")), NoteError::SignatureLine(1));
        assert_eq!(parse(&NOTE.replace("foo", "f+o")), NoteError::SignatureLine(1));
        assert_eq!(parse(&NOTE.replace("foo", "f\u{2003}o")), NoteError::SignatureLine(1));
        assert_eq!(parse(&NOTE.replace("QM=\n", "QN=\n")), NoteError::SignatureLine(1));
        assert_eq!(parse(&NOTE.replace('\n', "\r\n")), NoteError::ControlCharacter('\r'));
        assert_eq!(parse("t\n\n\u{2014} n AAAAAA==\n"), NoteError::SignatureLine(1));
        assert_eq!(SignedNote::parse(&[0xff]), Err(NoteError::NotUtf8));
        assert_eq!(parse(&"a".repeat(NOTE_BYTES_MAX + 1)), NoteError::TooLong(NOTE_BYTES_MAX + 1));
        let lines = |count: usize| format!("t\n\n{}", "\u{2014} n AAAAAAA=\n".repeat(count));
        assert!(SignedNote::parse(lines(100).as_bytes()).is_ok());
        assert_eq!(parse(&lines(101)), NoteError::TooManySignatures);
    }

    #[test]
    fn nothing_is_written_that_would_be_read_otherwise() {
        let line = SignatureLine { name: "n".into(), key_id: KeyId::from_bytes([0; 4]), signature: [1].into() };
        assert!(super::format("a\n\nb\n", core::slice::from_ref(&line)).is_ok());
        assert!(super::format("a\n", &[]).is_err());
        assert!(super::format("a", core::slice::from_ref(&line)).is_err());
        assert!(super::format("", core::slice::from_ref(&line)).is_err());
        assert!(super::format("a\r\n", core::slice::from_ref(&line)).is_err());
        assert!(super::format("a\n", &[SignatureLine { name: "n m".into(), ..line.clone() }]).is_err());
        assert!(super::format("a\n", &[SignatureLine { name: "n\n".into(), ..line.clone() }]).is_err());
        assert!(super::format("a\n", &[SignatureLine { signature: Vec::new(), ..line }]).is_err());
    }
}
