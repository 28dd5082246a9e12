//! The kernel's sysctls as the director's settings.

use pollux::model::settings::Settings;
use serde_json::Value;

/// False: the director has no such setting.
pub fn set(settings: &mut Settings, key: &str, value: &Value) -> Result<bool, String> {
    let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    let number = || number.ok_or_else(|| format!("{key} = {value} is not a number"));
    match key.strip_prefix("net.ipv4.vs.").unwrap_or(key) {
        "sloppy_tcp" => settings.sloppy_tcp = number()? != 0,
        "sloppy_sctp" => settings.sloppy_sctp = number()? != 0,
        "expire_nodest_conn" => settings.expire_nodest_conn = number()? != 0,
        "conn_reuse_mode" => settings.conn_reuse_mode = number()? as u8,
        "pmtu_disc" => settings.pmtu_disc = number()? != 0,
        "drop_packet" => settings.drop_packet = number()? as u8,
        "am_droprate" => settings.am_droprate = number()? as u32,
        "expire_quiescent_template" => settings.expire_quiescent_template = number()? != 0,
        "drop_entry" => settings.drop_entry = number()? as u8,
        "cache_bypass" => settings.cache_bypass = number()? != 0,
        "nat_icmp_send" => settings.nat_icmp_send = number()? != 0,
        "schedule_icmp" => settings.schedule_icmp = number()? != 0,
        "secure_tcp" => settings.secure_tcp = number()? as u8,
        // the director has no connection tracking of netfilter's to keep or to do without
        "conntrack" => {}
        name => return Ok(is_default(name, value)),
    }
    Ok(true)
}

/// Set to what holds anyway, so nothing is missing.
fn is_default(name: &str, value: &Value) -> bool {
    name == "ignore_tunneled" && value.as_i64() == Some(0)
}
