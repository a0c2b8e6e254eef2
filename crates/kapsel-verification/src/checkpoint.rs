//! What a log signs: its name, how many leaves it has, and the root over them (C2SP tlog-checkpoint).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::hash::{Hash, empty_root};
use crate::{base64_text, decimal};

/// The text of a signed checkpoint, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

/// Why something is not a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// There are less than three lines, an empty one, or no newline at the end.
    #[error("a checkpoint has three lines or more, none empty, each with a newline")]
    Lines,
    /// A line holds a control character.
    #[error("a checkpoint holds no control characters")]
    ControlCharacter,
    /// The second line is not a decimal number of 64 bits without leading zeros.
    #[error("the tree size is not a decimal number without leading zeros")]
    Size,
    /// The third line is not the base64 of 32 bytes.
    #[error("the root hash is not the base64 of 32 bytes")]
    Root,
    /// The tree is empty, and its root is not that of the empty tree.
    #[error("the tree is empty, but the root is not that of the empty tree")]
    EmptyTree,
}

impl Checkpoint {
    /// A checkpoint. Extension lines are opaque, and C2SP advises against them.
    ///
    /// # Errors
    /// [`CheckpointError`], where a line is empty or holds a control character, or the root cannot be that of an empty
    /// tree.
    pub fn new(origin: &str, size: u64, root: Hash, extensions: &[&str]) -> Result<Self, CheckpointError> {
        for line in extensions.iter().copied().chain([origin]) {
            if line.is_empty() {
                return Err(CheckpointError::Lines);
            }
            if line.contains(|c: char| c < ' ') {
                return Err(CheckpointError::ControlCharacter);
            }
        }
        if size == 0 && root != empty_root() {
            return Err(CheckpointError::EmptyTree);
        }
        let extensions = extensions.iter().map(|line| line.to_string()).collect();
        Ok(Checkpoint { origin: origin.to_string(), size, root, extensions })
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError::Lines);
        let (origin, size, root) = (line()?, line()?, line()?);
        let extensions: Vec<&str> = lines.collect();
        let size = decimal::parse_u64(size).ok_or(CheckpointError::Size)?;
        let root = base64_text::decode(root).ok_or(CheckpointError::Root)?;
        let root = Hash::from_slice(&root).ok_or(CheckpointError::Root)?;
        Checkpoint::new(origin, size, root, &extensions)
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree of that many leaves.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The lines after the third.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// The text that is signed, with the newline at its end.
    pub fn to_text(&self) -> String {
        let mut text = self.origin.clone();
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{}\n{}\n", self.size, base64_text::encode(self.root.as_bytes()));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP tlog-checkpoint.
    const TEXT: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_checkpoint_of_the_specification_comes_back() {
        let checkpoint = Checkpoint::parse(TEXT).unwrap();
        assert_eq!((checkpoint.origin(), checkpoint.size()), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.root().prefix(), 0x0ac5_186a_9186_3e8e);
        assert_eq!(checkpoint.to_text(), TEXT);
        let extended = TEXT.to_string() + "one\n\u{2014} two\n";
        assert_eq!(Checkpoint::parse(&extended).unwrap().extensions(), ["one", "\u{2014} two"]);
        assert_eq!(Checkpoint::parse(&extended).unwrap().to_text(), extended);
    }

    #[test]
    fn other_forms_are_refused() {
        let parse = |text: &str| Checkpoint::parse(text).unwrap_err();
        for lines in ["", "\n", "a\n1\n", "a\n1", &TEXT[..TEXT.len() - 1], &(TEXT.to_string() + "\n")] {
            assert_eq!(parse(lines), CheckpointError::Lines, "{lines:?}");
        }
        assert_eq!(parse(&TEXT.replace("example.com/behind-the-sofa", "")), CheckpointError::Lines);
        assert_eq!(parse(&(TEXT.to_string() + "\n\na\n")), CheckpointError::Lines);
        assert_eq!(parse(&TEXT.replace("sofa", "so\tfa")), CheckpointError::ControlCharacter);
        for size in ["020852163", "+1", "-1", "", " 1", "1.0", "99999999999999999999"] {
            assert_eq!(parse(&TEXT.replace("20852163", size)), CheckpointError::Size, "{size:?}");
        }
        for root in
            ["CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I", "AA=="]
        {
            let text = TEXT.replace("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", root);
            assert_eq!(parse(&text), CheckpointError::Root, "{root:?}");
        }
        assert_eq!(parse(&TEXT.replace("20852163", "0")), CheckpointError::EmptyTree);
        assert!(Checkpoint::new("a", 0, empty_root(), &[]).is_ok());
        assert_eq!(Checkpoint::new("a\nb", 0, empty_root(), &[]), Err(CheckpointError::ControlCharacter));
        assert_eq!(Checkpoint::new("a", 0, empty_root(), &[""]), Err(CheckpointError::Lines));
    }
}
