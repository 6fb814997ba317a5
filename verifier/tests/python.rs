//! The Python client and its reward functions, put to a real service by `python/tests/check_client.py`.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "common/service.rs"]
mod service;

use std::path::Path;
use std::process::Command;

use service::Server;

#[test]
fn the_client_and_its_reward_functions_do_what_they_say() {
    let server = Server::start(&["--math-only"]);
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let output = Command::new("python3")
        .arg(python.join("tests/check_client.py"))
        .arg(format!("http://{}", server.address))
        .env("PYTHONPATH", &python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: python3 is not installed");
        return;
    };
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim() == "ok", "{said}");
}
