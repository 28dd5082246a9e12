//! Vectors that are not played, and why.

/// By the beginning of their names.
const SKIPPED: &[(&str, &str)] = &[
    ("sync-", "connection synchronisation between directors is not part of the director yet"),
    (
        "netlink-",
        "the kernel's netlink interface is not served yet; what ipvsadm prints is tested with the other vectors",
    ),
    ("localnode", "the real server is the host's own TCP stack, whose resets move the connections"),
    (
        "vip-not-local",
        "the VIP is no address of the host: a director of Pollux always has the addresses of its services",
    ),
];

pub fn reason(name: &str) -> Option<&'static str> {
    SKIPPED.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, reason)| *reason)
}
