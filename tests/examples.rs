//! The documented examples under `config/` are configurations that Pollux takes.

use pollux::control::config::Config;
use pollux::model::Forward;

fn example(name: &str) -> Config {
    let path = format!("{}/config/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    Config::load(path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_example_is_valid_and_forwards_by_the_method_it_is_named_after() {
    type IsMethod = fn(&Forward) -> bool;
    let methods: [(&str, IsMethod); 3] = [
        ("nat", |forward| matches!(forward, Forward::Nat)),
        ("dr", |forward| matches!(forward, Forward::Dr)),
        ("tun", |forward| matches!(forward, Forward::Tun(_))),
    ];
    for (name, is_method) in methods {
        let services = example(name).services;
        let destinations: Vec<_> = services.iter().flat_map(|service| &service.destinations).collect();
        assert_eq!(destinations.len(), 6, "{name}: three real servers for each of two services");
        assert!(destinations.iter().all(|destination| is_method(&destination.forward)), "{name}");
    }
}
