//! The real program, as somebody uses it whose machine has burnt down: set up, copy, prove, restore.

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn cordon(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordon"));
    command.arg("--data-dir").arg(dir).args(args).stdin(std::process::Stdio::null());
    command.env_remove("CORDON_CONFIG").output().unwrap()
}

fn done(dir: &Path, args: &[&str]) -> Value {
    let output = cordon(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn refused(dir: &Path, args: &[&str]) -> String {
    let output = cordon(dir, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn from_set_up_to_a_new_machine() {
    let old = tempfile::tempdir().unwrap();
    let drawer = tempfile::tempdir().unwrap();
    let (home, new) = (old.path().join("data"), old.path().join("new"));
    let (code, password) = (drawer.path().join("code.txt"), drawer.path().join("ada.txt"));
    std::fs::write(&password, "tin roof in may\n").unwrap();
    let (code_file, password_file) = (code.to_str().unwrap(), password.to_str().unwrap());
    let setup = [
        "setup",
        "--json",
        "--organization",
        "Hill School",
        "--hostname",
        "mdm.hill.example",
        "--admin",
        "ada",
        "--admin-password-file",
        password_file,
        "--recovery-code-file",
        code_file,
    ];
    let first = done(&home, &setup);
    assert_eq!((first["admin_created"].as_bool(), first["recovery_code"].as_str()), (Some(true), None));
    let text = std::fs::read_to_string(&code).unwrap();
    assert_eq!((text.trim().len(), std::fs::metadata(&code).unwrap().permissions().mode() & 0o777), (39, 0o600));

    // Again, with the same words: nothing changes, and no second code is made or shown.
    let audit = done(&home, &["audit", "list", "--json"])["items"].as_array().unwrap().len();
    let second = done(&home, &setup);
    assert_eq!((second["admin_created"].as_bool(), second["recovery_code"].as_str()), (Some(false), None));
    assert_eq!(std::fs::read_to_string(&code).unwrap(), text);
    assert_eq!(done(&home, &["audit", "list", "--json"])["items"].as_array().unwrap().len(), audit);
    done(&home, &["recovery-code", "check", "--recovery-code-file", code_file]);
    assert_eq!(done(&home, &["admin", "list", "--json"])["items"][0]["role"], "owner");

    // The copy, and what it is worth.
    let copy = drawer.path().join("monday.db");
    std::fs::copy(home.join("cordon.db"), &copy).unwrap();
    let copy_file = copy.to_str().unwrap();
    let before = std::fs::read(&copy).unwrap();
    for (dir, args) in [
        (&home, &["restore", copy_file, "--verify", "--json"][..]),
        (&new, &["restore", copy_file, "--verify", "--json", "--recovery-code-file", code_file][..]),
    ] {
        let proof = done(dir, args);
        assert_eq!((proof["ok"].as_bool(), proof["organization"].as_str()), (Some(true), Some("Hill School")));
        assert!(proof["authority_keys"].as_u64() >= Some(3), "{proof}");
    }
    assert_eq!(std::fs::read(&copy).unwrap(), before, "a proof touches nothing");
    assert!(!new.exists(), "a proof leaves nothing behind");

    // A thief has the copy alone, or the copy and a guess.
    assert!(refused(&new, &["restore", copy_file]).contains("recovery code"));
    let guess = drawer.path().join("guess.txt");
    std::fs::write(&guess, "abcd-efgh-jkmn-pqrs-tvwx-yz23-4567-89ab\n").unwrap();
    assert!(
        refused(&new, &["restore", copy_file, "--recovery-code-file", guess.to_str().unwrap()])
            .contains("does not open this school")
    );
    assert!(!new.join("cordon.db").exists() && !new.join("machine.key").exists());

    // The new machine.
    done(&new, &["restore", copy_file, "--json", "--recovery-code-file", code_file]);
    assert_eq!(done(&new, &["admin", "list", "--json"])["items"][0]["name"], "ada");
    assert_eq!(done(&new, &["audit", "verify", "--json"])["broken_at"], Value::Null);
    assert_ne!(std::fs::read(home.join("machine.key")).unwrap(), std::fs::read(new.join("machine.key")).unwrap());

    // Not over a school that is there, but for --replace, and then it is kept.
    assert!(refused(&new, &["restore", copy_file, "--recovery-code-file", code_file]).contains("--replace"));
    // The copy was sealed on the old machine: the new one's key alone does not open it.
    assert!(refused(&new, &["restore", copy_file, "--replace"]).contains("recovery code"));
    let kept = done(&new, &["restore", copy_file, "--json", "--replace", "--recovery-code-file", code_file])["kept_as"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(Path::new(&kept).exists());
    done(&new, &["recovery-code", "check", "--recovery-code-file", code_file]);
}

#[test]
fn a_copy_of_a_running_server_without_its_wal_is_recognised() {
    let (house, drawer) = (super::House::new(), tempfile::tempdir().unwrap());
    house.person("ada", "owner");
    let file = house.cx.store.path().to_owned();
    let copy = drawer.path().join("cordon.db");
    std::fs::copy(&file, &copy).unwrap();
    let told = refused(&drawer.path().join("new"), &["restore", copy.to_str().unwrap(), "--verify"]);
    assert!(told.contains("copy the cordon.db-wal file too"), "{told}");
    std::fs::copy(file.with_extension("db-wal"), drawer.path().join("cordon.db-wal")).unwrap();
    let home = file.parent().unwrap();
    let proof = done(home, &["restore", copy.to_str().unwrap(), "--verify", "--json"]);
    assert_eq!(proof["admins"], 1, "what was only in the WAL is there");
}
