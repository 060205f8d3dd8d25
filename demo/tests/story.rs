//! The story is told to its end, and all is as it says.

use std::process::Command;

/// Runs the demo with these words, after which it ends by itself.
fn tell(words: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_streamgate-demo")).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("the demo does not start: {error}"));
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{told}\n{errors}", output.status);
    assert!(told.contains("checks are as they should be."), "{told}\n{errors}");
}

#[test]
fn on_this_machine() {
    tell(&["--once"]);
}

#[test]
fn by_kubectl_on_a_control_plane() {
    tell(&["--once", "--cluster"]);
}
