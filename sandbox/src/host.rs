//! What stands in the way of namespaces on this host, and what would clear it: words for people who are told that a
//! wall is missing. Nothing is decided here; whether namespaces can be made is found out by making them.

use std::fs;

/// A setting of the kernel, the value that forbids namespaces to ordinary users, and what to do about it.
const SETTINGS: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "user.max_user_namespaces is 0, so no user namespace can be made: `sysctl user.max_user_namespaces=10000`",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "kernel.unprivileged_userns_clone is 0, so ordinary users can make none: \
         `sysctl kernel.unprivileged_userns_clone=1`",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "kernel.apparmor_restrict_unprivileged_userns is 1, so a user namespace can be made and nothing mounted in it: \
         set it to 0, or give this program an AppArmor profile with the rule `userns,`",
    ),
];

/// What would let namespaces be made here.
pub(crate) fn advice() -> String {
    let read = |path: &str| fs::read_to_string(path).ok();
    let found = obstacles(read);
    match found.is_empty() {
        true => {
            "They need CAP_SYS_ADMIN, or a kernel that allows unprivileged user namespaces and mounts in them"
                .into()
        }
        false => format!("{}; CAP_SYS_ADMIN would provide them in any case", found.join("; ")),
    }
}

fn obstacles(read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let forbids =
        |(path, value, _): &&(&str, &str, &str)| read(path).is_some_and(|text| text.trim() == *value);
    let mut found: Vec<String> =
        SETTINGS.iter().filter(forbids).map(|(_, _, advice)| (*advice).to_string()).collect();
    if read("/proc/self/status").is_some_and(|status| status.contains("\nSeccomp:\t2")) {
        found.push(
            "this process runs under a list of system calls, as containers do: start the container with a seccomp \
             profile that allows unshare, mount and setns (docker: `--security-opt seccomp=unconfined`, and \
             `--security-opt apparmor=unconfined` where there is AppArmor)"
                .into(),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each obstacle is named where it is, and nowhere else.
    #[test]
    fn obstacles_are_named() {
        let status = "/proc/self/status";
        /// Files as they are on a host, and a word of each obstacle.
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
        let rows: [Row<'_>; 6] = [
            (&[], &[]),
            (&[(SETTINGS[0].0, "96365\n"), (SETTINGS[1].0, "1\n"), (SETTINGS[2].0, "0\n")], &[]),
            (&[(SETTINGS[0].0, "0\n")], &["user.max_user_namespaces is 0"]),
            (&[(SETTINGS[1].0, "0\n")], &["unprivileged_userns_clone is 0"]),
            (&[(SETTINGS[2].0, "1\n")], &["apparmor_restrict_unprivileged_userns is 1"]),
            (
                &[(status, "Name:\tx\nSeccomp:\t2\nx"), (SETTINGS[0].0, "0")],
                &["max_user_namespaces", "seccomp"],
            ),
        ];
        for (files, wanted) in rows {
            let found = obstacles(|path| {
                files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_string())
            });
            assert_eq!(found.len(), wanted.len(), "{found:?}");
            assert!(found.iter().zip(wanted).all(|(text, word)| text.contains(word)), "{found:?}");
        }
    }
}
