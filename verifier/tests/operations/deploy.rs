//! The files in `deploy/`: that they can be read, that what makes them safe is there, and that every flag, setting, route and
//! metric they name is one that the binary has.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use crate::service::{Server, file};

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The options of `assay serve`.
fn options() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["config", "dump", "serve", "--json"])
        .output()
        .unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    all["serve"].as_object().unwrap().keys().cloned().collect()
}

fn check_flags<'a>(words: impl Iterator<Item = &'a str>) {
    let known = options();
    let flags: Vec<&str> =
        words.filter_map(|word| word.strip_prefix("--")).filter(|flag| *flag != "config").collect();
    for flag in flags {
        assert!(known.contains(flag), "assay serve has no --{flag}");
    }
}

#[test]
fn the_unit_delegates_and_does_not_break_the_sandbox() {
    let unit = text("assay.service");
    let lines: Vec<(&str, &str)> = unit
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with('[') && !line.is_empty())
        .map(|line| line.split_once('=').unwrap_or_else(|| panic!("no setting: {line}")))
        .collect();
    let value = |key: &str| lines.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    for section in ["[Unit]", "[Service]", "[Install]"] {
        assert_eq!(unit.lines().filter(|line| *line == section).count(), 1, "{section}");
    }
    assert!(
        value("Delegate")
            .unwrap()
            .split(' ')
            .collect::<BTreeSet<_>>()
            .is_superset(&["memory", "pids"].into())
    );
    assert_eq!((value("KillMode"), value("ExecReload")), (Some("mixed"), Some("/bin/kill -HUP $MAINPID")));
    // Each of these makes a step of the sandbox's own set-up fail.
    for broken in [
        "RestrictNamespaces",
        "PrivateUsers",
        "ProtectHostname",
        "ProtectProc",
        "ProcSubset",
        "ProtectControlGroups",
        "SystemCallFilter",
        "MemoryDenyWriteExecute",
        "NoNewPrivileges",
        "DynamicUser",
    ] {
        assert_eq!(value(broken), None, "{broken}");
    }
    let start = value("ExecStart").unwrap();
    assert!(start.starts_with("/usr/local/bin/assay serve "), "{start}");
    check_flags(start.split(' '));
    let grace: u64 = start.split("--grace ").nth(1).unwrap().trim_end_matches('s').parse().unwrap();
    assert!(value("TimeoutStopSec").unwrap().parse::<u64>().unwrap() > grace);
    let image = text("Containerfile");
    let command: Vec<&str> = image.lines().filter(|line| line.starts_with("CMD ")).collect();
    assert_eq!(command.len(), 1, "{image}");
    check_flags(command[0].split('"'));
}

#[test]
fn the_manifests_are_whole_and_name_what_there_is() {
    let documents = YamlLoader::load_from_str(&text("kubernetes.yaml")).unwrap();
    let kinds: Vec<&str> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
    let one = |kind: &str| {
        &documents[kinds.iter().position(|one| *one == kind).unwrap_or_else(|| panic!("no {kind}"))]
    };
    for (kind, version) in [
        ("ConfigMap", "v1"),
        ("Deployment", "apps/v1"),
        ("Service", "v1"),
        ("NetworkPolicy", "networking.k8s.io/v1"),
        ("PodDisruptionBudget", "policy/v1"),
        ("HorizontalPodAutoscaler", "autoscaling/v2"),
    ] {
        assert_eq!(one(kind)["apiVersion"].as_str(), Some(version), "{kind}");
        assert_eq!(one(kind)["metadata"]["name"].as_str(), Some("assay"), "{kind}");
    }

    let pod = &one("Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let rows = [
        (&pod["automountServiceAccountToken"], Yaml::Boolean(false)),
        (&pod["securityContext"]["runAsNonRoot"], Yaml::Boolean(true)),
        (&pod["securityContext"]["seccompProfile"]["type"], Yaml::String("RuntimeDefault".into())),
        (&container["securityContext"]["allowPrivilegeEscalation"], Yaml::Boolean(false)),
        (&container["securityContext"]["readOnlyRootFilesystem"], Yaml::Boolean(true)),
        (&container["securityContext"]["capabilities"]["drop"][0], Yaml::String("ALL".into())),
        (&one("NetworkPolicy")["spec"]["egress"], Yaml::Array(Vec::new())),
    ];
    for (found, wanted) in rows {
        assert_eq!(*found, wanted);
    }
    // What selects the pods selects these.
    let labels = &one("Deployment")["spec"]["template"]["metadata"]["labels"];
    for selector in [
        &one("Deployment")["spec"]["selector"]["matchLabels"],
        &one("Service")["spec"]["selector"],
        &one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        &one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ] {
        assert!(selector == labels && !labels.is_badvalue(), "{selector:?}");
    }

    // The settings are settings, but that the tokens are not here.
    let settings = one("ConfigMap")["data"]["assay.toml"].as_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let tokens = file(directory.path(), "tokens", "a-token\n");
    let here = settings.replace("/run/secrets/assay/tokens", tokens.to_str().unwrap());
    assert_ne!(here, settings);
    let path = file(directory.path(), "assay.toml", &here);
    let check = Command::new(env!("CARGO_BIN_EXE_assay"))
        .arg("--config")
        .arg(path)
        .args(["config", "check"])
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    check_flags(container["args"].as_vec().unwrap().iter().filter_map(Yaml::as_str));

    // The probes' routes and the metric are the service's.
    let server = Server::start(&["--math-only"]);
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let route = container[probe]["httpGet"]["path"].as_str().unwrap();
        assert_eq!(server.get(route).status, 200, "{probe}: {route}");
    }
    let metric =
        one("HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"]["name"].as_str().unwrap();
    let kind = format!("# TYPE {metric} gauge");
    assert!(server.get("/metrics").body.lines().any(|line| line == kind), "no {metric}");
}
