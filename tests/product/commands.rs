//! The commands of the program, as typed.

use std::path::Path;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::program::{OPERATOR_KEY, Program, command, run, text};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_succeeds() {
    let output = run(&["demo"], &[]).await;
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert!(shown.contains("Every webhook arrived byte-exact"), "{shown}");
    assert_eq!(shown.matches("exact  valid").count(), 14, "{shown}");
    // The proof of one holds, and the same with a changed byte does not.
    assert!(shown.contains("PROVEN: the attempt DELIVERED the event"), "{shown}");
    let changed = shown.split("one byte of the leaf changed").nth(1).unwrap();
    assert!(changed.contains('✗') && !changed.contains("PROVEN: the attempt"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn listen_prints_what_arrives_and_whether_its_signature_holds() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let mut listen = command(&["listen", "--addr", "127.0.0.1:0", "--secret", secret, "--fail-first", "1"])
        .spawn()
        .expect("listen starts");
    let mut lines = BufReader::new(listen.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    let url = first.split_whitespace().nth(2).expect("the address it listens on").to_owned();

    for (key, verdict) in [(secret, "signature valid"), ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "SIGNATURE INVALID")]
    {
        let endpoint =
            program.create_endpoint(json!({"url": url, "signing_secret": key, "retry": {"base_seconds": 0.01}})).await;
        program.post(endpoint["ingest_url"].as_str().unwrap(), &[], "{\"hello\":\"world\"}").await.expect(200);
        for status in ["-> 500", "-> 200"] {
            let arrival = lines.next_line().await.unwrap().unwrap();
            assert!(arrival.contains(verdict) && arrival.contains(status), "{arrival}");
            assert!(lines.next_line().await.unwrap().unwrap().contains("{\"hello\":\"world\"}"));
        }
    }
}

/// What looks at a log makes none.
#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_log_say_when_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("nothing");
    let settings = [("KAPSEL_DATA_DIR", data.to_str().unwrap())];
    for (arguments, said) in [(&["keys", "rotate"][..], "none yet"), (&["fsck"], "no such folder")] {
        let output = run(arguments, &settings).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text(&output.stderr).contains(said), "{arguments:?}: {}", text(&output.stderr));
    }
    assert!(run(&["keys", "list"], &settings).await.stdout.is_empty());
    assert!(!data.exists());
    assert!(run(&["migrate"], &settings).await.status.success());
    let output = run(&["fsck"], &settings).await;
    assert!(output.status.success() && text(&output.stdout).contains("no log"), "{output:?}");
}

/// Arguments, settings, and what the message has to name.
type Case = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn wrong_configuration_is_one_line_that_names_the_setting_and_exit_code_2() {
    let cases: [Case; 7] = [
        (&["serve"], &[("SERVER_ADDR", "nowhere")], "SERVER_ADDR"),
        (&[], &[("KAPSEL_ALLOW_DESTINATIONS", "10.0.0.0/99")], "KAPSEL_ALLOW_DESTINATIONS"),
        (&["--max-body-bytes", "huge"], &[], "--max-body-bytes"),
        (&["serve"], &[("KAPSEL_OPERATOR_KEY", "short")], "KAPSEL_OPERATOR_KEY"),
        (&["serve"], &[("DATABASE_URL", "postgres://localhost/kapsel")], "DATABASE_URL"),
        (&["serve", "--config", "/no/such/file.toml"], &[], "/no/such/file.toml"),
        (&["check-config"], &[("KAPSEL_MAX_IN_FLIGHT", "0")], "KAPSEL_MAX_IN_FLIGHT"),
    ];
    for (arguments, settings, name) in cases {
        let output = run(arguments, settings).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {settings:?}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        assert!(said.contains(name), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_shows_everything_but_secrets() {
    let settings = [("KAPSEL_OPERATOR_KEY", OPERATOR_KEY), ("KAPSEL_DATA_DIR", "/somewhere")];
    let output = run(&["check-config", "--server-addr", "0.0.0.0:80"], &settings).await;
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(shown.contains("0.0.0.0:80  [flag]") && shown.contains("/somewhere  [environment]"), "{shown}");
    assert!(!shown.contains(OPERATOR_KEY), "{shown}");
    assert!(!Path::new("/somewhere").exists(), "checking changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let _owner = Program::start(folder.path()).await;
    let path = folder.path().to_str().unwrap();
    let output = run(&["serve", "--data-dir", path, "--server-addr", "127.0.0.1:0"], &[]).await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(path) && said.contains("use"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_occupied_address_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = occupied.local_addr().unwrap().to_string();
    let path = folder.path().to_str().unwrap();
    let output = run(&["serve", "--data-dir", path, "--server-addr", &address], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&address), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generated_operator_key_works_and_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start_with(folder.path(), &[("KAPSEL_OPERATOR_KEY", "")]).await;
    let path = folder.path().join("operator-key");
    assert!(program.greeting.contains(path.to_str().unwrap()), "{}", program.greeting);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = std::fs::read_to_string(&path).unwrap();
    assert!(!program.greeting.contains(key.trim()), "the key itself is not printed");
    let request = |key: &str| {
        http::Request::get(format!("{}/v1/endpoints", program.base))
            .header("authorization", format!("Bearer {key}"))
            .body(http_body_util::Full::default())
            .unwrap()
    };
    program.request(request(key.trim())).await.unwrap().expect(200);
    program.request(request(OPERATOR_KEY)).await.unwrap().expect(401);
}
