//! What the operating system counts, read from `/proc`.

use std::fs;

/// What this network namespace has sent, of whatever protocol.
#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) packets: u64,
    /// With IP headers.
    pub(crate) bytes: u64,
}

impl Traffic {
    /// Since the namespace began.
    pub(crate) fn now() -> Result<Self, String> {
        let packets = field(&read("/proc/self/net/snmp")?, "Ip:", "OutRequests")?;
        Ok(Self { packets, bytes: field(&read("/proc/self/net/netstat")?, "IpExt:", "OutOctets")? })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { packets: self.packets - before.packets, bytes: self.bytes - before.bytes }
    }
}

/// Memory of this process that is in RAM.
pub(crate) fn resident_kib() -> Result<u64, String> {
    let status = read("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).ok_or_else(|| "no VmRSS in status".into())
}

/// CPU time of this process, of user and system.
pub(crate) fn cpu_seconds() -> Result<f64, String> {
    let stat = read("/proc/self/stat")?;
    // The name before it may hold blanks. The two fields are the 14th and the 15th of all.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).ok_or("stat is too short");
    // A tick is a hundredth of a second on every Linux.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|why| format!("{path}: {why}"))
}

/// A number by its name: a line of names is followed by one of numbers, both with the same beginning.
fn field(text: &str, beginning: &str, name: &str) -> Result<u64, String> {
    let mut lines = text.lines().filter(|line| line.starts_with(beginning));
    let (names, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let found = names.split_whitespace().zip(numbers.split_whitespace()).find(|(this, _)| *this == name);
    found.and_then(|(_, number)| number.parse().ok()).ok_or_else(|| format!("no {beginning} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_by_its_name() {
        let text = "Ip: A OutRequests\nIp: 1 42\nUdp: OutRequests\nUdp: 7\n";
        assert_eq!(field(text, "Ip:", "OutRequests"), Ok(42));
        assert!(field(text, "Ip:", "InRequests").is_err());
    }

    #[test]
    fn this_process_has_counters() {
        assert!(Traffic::now().is_ok() && cpu_seconds().is_ok());
        assert!(resident_kib().is_ok_and(|kib| kib > 100));
    }
}
