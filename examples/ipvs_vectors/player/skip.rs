//! Vectors that are not played, and why.

/// By the beginning of their names.
const SKIPPED: &[(&str, &str)] = &[
    ("sync-", "connection synchronisation between directors is not part of the director yet"),
    (
        "netlink-",
        "the kernel's netlink interface is not served yet; what ipvsadm prints is tested with the other vectors",
    ),
];

pub fn reason(name: &str) -> Option<&'static str> {
    SKIPPED.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, reason)| *reason)
}
