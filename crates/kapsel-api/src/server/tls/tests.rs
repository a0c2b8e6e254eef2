//! Reading and replacing certificates.

use std::fs;

use kapsel_store::error::with_sources;
use tempfile::TempDir;

use super::*;

/// Files in a folder of their own, the pair for this name.
struct Pair {
    folder: TempDir,
    files: TlsFiles,
}

fn fresh(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let files = TlsFiles { certificate: path("cert.pem"), key: path("key.pem"), clients: None };
        let pair = Pair { folder, files };
        let (certificate, key) = fresh("kapsel.example");
        pair.write(&certificate, &key);
        pair
    }

    fn write(&self, certificate: &str, key: &str) {
        fs::write(&self.files.certificate, certificate).unwrap();
        fs::write(&self.files.key, key).unwrap();
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(self.files.clone())
    }
}

#[test]
fn every_broken_file_is_named_with_what_is_wrong() {
    use TlsFile::{Certificate, ClientAuthorities, Key};
    let (certificate, key) = fresh("kapsel.example");
    let (other, _) = fresh("other.example");
    let cut_off = &key[..key.len() / 2];
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        ("", key.as_str(), Certificate, "holds no certificate"),
        (key.as_str(), key.as_str(), Certificate, "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n", &key, Certificate, "not base64"),
        (no_certificate, &key, Certificate, "cannot be used"),
        (certificate.as_str(), "", Key, "holds no private key"),
        (&certificate, &certificate, Key, "holds no private key"),
        (&certificate, cut_off, Key, "no END line"),
        (&other, &key, Key, "does not belong to the certificate"),
    ];
    let pair = Pair::new();
    for (certificate, key, file, problem) in cases {
        pair.write(certificate, key);
        let error = pair.load().unwrap_err();
        assert_eq!(error.file, file, "{error}");
        assert!(with_sources(&error).contains(problem), "{}", with_sources(&error));
    }

    pair.write(&certificate, &key);
    let absent = pair.folder.path().join("absent.pem");
    let without = |change: fn(&mut TlsFiles, PathBuf)| {
        let mut files = pair.files.clone();
        change(&mut files, absent.clone());
        Tls::load(files).unwrap_err()
    };
    let authorities = |files: &mut TlsFiles, path| {
        files.clients = Some(TlsClients { authorities: path, is_required: true });
    };
    let errors = [
        (Certificate, without(|files, path| files.certificate = path)),
        (Key, without(|files, path| files.key = path)),
        (ClientAuthorities, without(authorities)),
    ];
    for (file, error) in errors {
        assert_eq!((error.file, &error.path), (file, &absent));
        assert!(with_sources(&error).contains("cannot be read: No such file"), "{}", with_sources(&error));
    }
}

/// A key whose line ends were lost is one long BEGIN line to a parser, and would stand in its message.
#[test]
fn no_error_holds_a_piece_of_a_key() {
    let pair = Pair::new();
    let (certificate, key) = fresh("kapsel.example");
    let secret: String = key.lines().nth(1).unwrap().chars().take(24).collect();
    // As a list of bytes is printed.
    let in_numbers = format!("{:?}", secret.as_bytes()).replace(['[', ']'], "");
    let in_one_line = key.replace('\n', "");
    let with_spaces = key.replace('\n', " ");
    let no_end = key.replace("-----END PRIVATE KEY-----", "");
    for broken in [&in_one_line, &with_spaces, &no_end] {
        for (certificate, key) in [(&certificate, broken), (broken, &key)] {
            pair.write(certificate, key);
            let error = pair.load().unwrap_err();
            let shown = format!("{} {error:?}", with_sources(&error));
            assert!(!shown.contains(&secret) && !shown.contains(&in_numbers), "{shown}");
        }
    }
    pair.write(&certificate, &key);
    let shown = format!("{:?}", pair.load().unwrap());
    assert!(!shown.contains(&secret) && shown.contains("key.pem"), "{shown}");
}

#[test]
fn a_combined_file_of_key_and_certificate_is_fine() {
    let pair = Pair::new();
    let (certificate, key) = fresh("kapsel.example");
    let both = format!("{key}{certificate}");
    pair.write(&both, &both);
    pair.load().unwrap();
}

#[test]
fn a_new_pair_is_taken_and_a_broken_one_is_kept_out() {
    let pair = Pair::new();
    let tls = pair.load().unwrap();
    let first = tls.current();
    assert!(!tls.reload_if_changed().unwrap());
    assert!(Arc::ptr_eq(&first, &tls.current()));

    // The certificate is there before its key: files are replaced one after the other.
    let (certificate, key) = fresh("kapsel.example");
    fs::write(&pair.files.certificate, &certificate).unwrap();
    let error = tls.reload_if_changed().unwrap_err();
    assert_eq!(error.file, TlsFile::Key);
    assert!(Arc::ptr_eq(&first, &tls.current()));
    // Told once, unless somebody asks.
    assert!(!tls.reload_if_changed().unwrap());
    assert!(tls.reload().is_err());

    fs::write(&pair.files.key, &key).unwrap();
    assert!(tls.reload_if_changed().unwrap());
    let second = tls.current();
    assert!(!Arc::ptr_eq(&first, &second));

    // A file that is gone is told once as well, and the same files are not new when they are back.
    fs::remove_file(&pair.files.key).unwrap();
    assert_eq!(tls.reload_if_changed().unwrap_err().file, TlsFile::Key);
    assert!(!tls.reload_if_changed().unwrap());
    assert!(Arc::ptr_eq(&second, &tls.current()));
    fs::write(&pair.files.key, &key).unwrap();
    assert!(tls.reload_if_changed().unwrap());
    tls.reload().unwrap();
}
