//! A checkpoint together with the signatures under it: a tree head as logs of C2SP publish it.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::cosignature::{Cosignature, timestamp_name};
use crate::note::{NoteError, SignatureLine, SignedNote};

/// A signed note whose text is a checkpoint. Nothing is verified until the note is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: SignedNote,
    checkpoint: Checkpoint,
}

/// Why something is not a signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedCheckpointError {
    /// It is not a signed note.
    #[error("the checkpoint is not a signed note")]
    Note(#[from] NoteError),
    /// It is one, with another text.
    #[error("the signed note is not a checkpoint")]
    Checkpoint(#[from] CheckpointError),
}

impl SignedCheckpoint {
    /// Reads the note with which a log publishes a tree head.
    ///
    /// # Errors
    /// [`SignedCheckpointError`].
    pub fn parse(note: &[u8]) -> Result<Self, SignedCheckpointError> {
        let note = SignedNote::parse(note)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(SignedCheckpoint { note, checkpoint })
    }

    /// The note.
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// What its text says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The lines with which the log says when it made this head, with their times in whole seconds of the Unix epoch.
    /// They are not verified. There may be several while the key for them is being replaced.
    pub fn timestamps(&self) -> impl Iterator<Item = (&SignatureLine, u64)> {
        let name = timestamp_name(self.checkpoint.origin());
        let lines = self.note.signatures().iter().filter(move |line| line.name == name);
        // A signature of another kind may stand under the same name one day.
        lines.filter_map(|line| Some((line, Cosignature::from_bytes(&line.signature).ok()?.time)))
    }
}
