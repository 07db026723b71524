//! Addresses as they stand in datagrams and records: one text each (spec: DHT-12).

use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::address::plain_socket;
use crate::error::WireError;
use crate::wire::line::write_number;

/// The longest text: an IPv6 address in full, and a port of five digits.
pub(crate) const ADDRESS_BYTES_MAX: usize = 47;

/// Reads an address in the form in which [`write_address`] writes it.
///
/// # Errors
/// [`WireError::Address`] for anything else: zeros in front, upper case, zones, IPv4 in IPv6 clothes.
pub(crate) fn read_address(text: &str) -> Result<SocketAddr, WireError> {
    if let Some(address) = read_v4(text) {
        return Ok(address);
    }
    if !text.starts_with('[') || text.len() > ADDRESS_BYTES_MAX {
        return Err(WireError::Address);
    }
    let read: SocketAddr = text.parse().map_err(|_| WireError::Address)?;
    let mut written = Written { bytes: [0; ADDRESS_BYTES_MAX], length: 0 };
    let is_same = write!(written, "{read}").is_ok() && written.bytes.get(..written.length) == Some(text.as_bytes());
    // A zone is written as it was read, but is no part of a plain address.
    if is_same && plain_socket(read) == read { Ok(read) } else { Err(WireError::Address) }
}

/// Writes an address: `a.b.c.d:port` or `[v6]:port`, the latter as RFC 5952 says.
pub(crate) fn write_address(out: &mut Vec<u8>, address: SocketAddr) {
    let address = plain_socket(address);
    match address.ip() {
        IpAddr::V4(ip) => {
            let mut before: &[u8] = b"";
            for octet in ip.octets() {
                out.extend_from_slice(before);
                write_number(out, octet.into());
                before = b".";
            }
            out.push(b':');
            write_number(out, address.port().into());
        }
        IpAddr::V6(_) => {
            // Nothing can go wrong: it is the longest text that decides the room.
            let mut written = Written { bytes: [0; ADDRESS_BYTES_MAX], length: 0 };
            let _ = write!(written, "{address}");
            out.extend_from_slice(written.bytes.get(..written.length).unwrap_or_default());
        }
    }
}

/// By hand, since most addresses are these and the library writes them slowly.
fn read_v4(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let mut parts = ip.split('.');
    let mut octet = || decimal(parts.next()?, 3).and_then(|octet| u8::try_from(octet).ok());
    let ip = Ipv4Addr::new(octet()?, octet()?, octet()?, octet()?);
    let port = decimal(port, 5).and_then(|port| u16::try_from(port).ok())?;
    parts.next().is_none().then(|| SocketAddr::new(ip.into(), port))
}

/// A number without zeros in front and with at most this many digits, at most five.
fn decimal(text: &str, digits_max: usize) -> Option<u32> {
    let bytes = text.as_bytes();
    let is_plain = matches!(bytes, [b'0'] | [b'1'..=b'9', ..]) && bytes.len() <= digits_max;
    is_plain.then_some(())?;
    bytes.iter().try_fold(0_u32, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte.wrapping_sub(b'0')))?;
        Some(sum.saturating_mul(10).saturating_add(digit))
    })
}

/// Text within a bound, in place.
struct Written {
    bytes: [u8; ADDRESS_BYTES_MAX],
    length: usize,
}

impl fmt::Write for Written {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length.saturating_add(text.len());
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
