//! The registry of keys, the structs that read them, and the defaults it promises agree.

use super::super::file;
use super::super::keys::{Absent, Change, KEYS, Key, Table};
use super::*;
use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{Deserializer, Error as _, Visitor};

/// Fails, after it has noted the fields that a struct's `Deserialize` knows.
struct FieldsOf<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for FieldsOf<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("not a struct"))
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(fields);
        Err(Error::custom("noted"))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn fields_of<T: for<'de> Deserialize<'de>>() -> Vec<&'static str> {
    let mut fields = Vec::new();
    assert!(T::deserialize(FieldsOf(&mut fields)).is_err());
    fields
}

fn fields_of_table(table: Table) -> Vec<&'static str> {
    match table {
        Table::Root => fields_of::<file::File>(),
        Table::Dpdk => fields_of::<file::DpdkTable>(),
        Table::Workers => fields_of::<file::WorkersTable>(),
        Table::Connections => fields_of::<file::ConnectionsTable>(),
        Table::Timeouts => fields_of::<file::TimeoutsTable>(),
        Table::Ipvs => fields_of::<file::IpvsTable>(),
        Table::Ip => fields_of::<file::IpTable>(),
        Table::Port => fields_of::<file::PortTable>(),
        Table::Route => fields_of::<file::RouteTable>(),
        Table::Neighbour => fields_of::<file::NeighbourTable>(),
        Table::Mark => fields_of::<file::MarkTable>(),
        Table::Service => fields_of::<file::ServiceTable>(),
        Table::Destination => fields_of::<file::DestinationTable>(),
    }
}

#[test]
fn the_registry_and_the_structs_know_the_same_keys() {
    for table in Table::ALL.iter().copied().chain([Table::Root]) {
        let known: Vec<_> = table.keys().map(|key| key.name).chain(table.children().map(Table::name)).collect();
        assert_eq!(fields_of_table(table), known, "{}", table.heading());
    }
}

#[test]
fn every_key_is_there_once() {
    for (i, key) in KEYS.iter().enumerate() {
        assert!(!KEYS[..i].iter().any(|other| (other.table, other.name) == (key.table, key.name)), "{}", key.place());
    }
}

/// A file with one table of each kind, in which `key` has `value`, and stands alone where others would be in its way.
fn file_with(key: &Key, value: Option<&str>) -> String {
    let base: &[(Table, &[(&str, &str)])] = &[
        (Table::Dpdk, &[]),
        (Table::Workers, &[]),
        (Table::Connections, &[]),
        (Table::Timeouts, &[]),
        (Table::Ipvs, &[]),
        (Table::Ip, &[]),
        (Table::Port, &[("name", "\"client\""), ("device", "\"net_tap0\""), ("addresses", "[\"192.0.2.254/24\"]")]),
        (Table::Route, &[("prefix", "\"10.9.0.0/16\""), ("via", "\"192.0.2.1\"")]),
        (Table::Neighbour, &[("port", "\"client\""), ("address", "\"192.0.2.1\""), ("mac", "\"02:00:00:00:00:02\"")]),
        (Table::Mark, &[("mark", "5")]),
        (Table::Service, &[("protocol", "\"udp\""), ("address", "\"192.0.2.10:53\"")]),
        (Table::Destination, &[("address", "\"10.1.0.1\"")]),
    ];
    let needed: &[(&str, &str)] = match key.name {
        "threshold_lower" => &[("threshold_upper", "1000")],
        "scheduler_flags" => &[("scheduler", "\"sh\"")],
        "persistence_mask" | "persistence_engine" => &[("persistence_timeout_s", "60")],
        "family" => &[("mark", "5")],
        "source_port" | "destination_port" => &[("protocol", "\"tcp\"")],
        "tunnel" => &[("forward", "\"tun\"")],
        "tunnel_port" => &[("forward", "\"tun\""), ("tunnel", "\"gue\"")],
        "tunnel_checksum" => &[("forward", "\"tun\""), ("tunnel", "\"gre\"")],
        // a real server's own port is for NAT only
        "address" if key.table == Table::Destination => &[("forward", "\"nat\"")],
        _ => &[],
    };
    let mut text = String::new();
    // without an address of a port no next hop is connected
    // and no destination would be of the other family
    let is_in_the_way = |table: Table| {
        (key.name, table) == ("addresses", Table::Route) || (key.name, table) == ("family", Table::Destination)
    };
    for (table, entries) in base.iter().filter(|(table, _)| !is_in_the_way(*table)) {
        text += &format!("{}\n", table.heading());
        let own = *table == key.table;
        let on_a_mark = match key.name {
            "mark" => value.is_some(),
            name => name == "family",
        } && *table == Table::Service;
        for (name, value) in entries.iter().filter(|(name, _)| !(own && (*name == key.name || on_a_mark))) {
            text += &format!("{name} = {value}\n");
        }
        if own {
            needed.iter().for_each(|(name, value)| text += &format!("{name} = {value}\n"));
            text += &value.map_or_else(String::new, |value| format!("{} = {value}\n", key.name));
        }
    }
    text
}

#[test]
fn the_example_of_every_key_is_taken() {
    for key in KEYS {
        parse(&file_with(key, Some(key.example)));
    }
}

#[test]
fn a_default_given_is_a_default_left_out() {
    for key in KEYS {
        if let Absent::Default(value) = key.absent {
            assert_eq!(parse(&file_with(key, Some(value))), parse(&file_with(key, None)), "{}", key.place());
        }
    }
}

#[test]
fn an_example_differs_from_the_default_and_shows_in_the_difference() {
    // an example of these is what the file has anyway
    const SAME: [&str; 7] = ["name", "via", "port", "mac", "protocol", "prefix", "tunnel_port"];
    for key in KEYS.iter().filter(|key| !SAME.contains(&key.name)) {
        if key.absent == Absent::Required || key.name == "address" || key.name == "addresses" {
            continue;
        }
        let (old, new) = (parse(&file_with(key, None)), parse(&file_with(key, Some(key.example))));
        let (restart, reload) = (!restart_needed(&old, &new).is_empty(), !changes(&old, &new).is_empty());
        assert_eq!((restart, reload), (key.change == Change::Restart, key.change == Change::Reload), "{}", key.place());
    }
}

#[test]
fn a_required_key_left_out_is_named_with_an_example() {
    for key in KEYS.iter().filter(|key| key.absent == Absent::Required) {
        let error = Config::parse(&file_with(key, None), "t.toml").unwrap_err();
        let [problem] = error.problems() else { panic!("{error}") };
        assert_eq!(problem.place, key.place());
        assert_eq!(problem.message, format!("missing; for example `{} = {}`", key.name, key.example));
    }
}

#[test]
fn a_value_of_the_wrong_type_is_refused_for_every_key() {
    for key in KEYS {
        let error = Config::parse(&file_with(key, Some("1979-05-27")), "t.toml").unwrap_err();
        let [problem] = error.problems() else { panic!("{error}") };
        let expected =
            format!("expected {}, found a date; for example `{} = {}`", key.kind.name(), key.name, key.example);
        assert_eq!((problem.place.clone(), problem.message.clone()), (key.place(), expected));
    }
}

#[test]
fn a_number_out_of_range_is_refused_for_every_key_that_has_one() {
    use super::super::keys::Kind;
    let mut tried = 0;
    for key in KEYS {
        let Kind::Number(min, max) = key.kind else { continue };
        for value in [min - 1, max + 1] {
            let error = Config::parse(&file_with(key, Some(&value.to_string())), "t.toml").unwrap_err();
            let [problem] = error.problems() else { panic!("{error}") };
            assert_eq!(problem.place, key.place());
            assert_eq!(problem.message, format!("{value} is out of range; allowed: {}", key.allowed_text()));
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried}");
}

#[test]
fn schedulers_named_in_messages_are_all_that_there_are() {
    let names: Vec<_> = values::scheduler_names().collect();
    for name in ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq"] {
        assert!(names.contains(&name), "{name}");
    }
}
