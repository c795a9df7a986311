//! What devices answer, as it lies in the file: secrets taken out, packed, and sealed for its delivery's place.
//!
//! Called by `polling`, which files it, and by those who show it.

use super::commands::result_place;
use super::custody::{self, Captured};
use super::{Context, Error, filevault};
use crate::plist::{Dictionary, Value, to_xml};
use crate::protocol::report::Report;
use crate::store::DeliveryRow;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;

/// Answers shorter than this, in bytes, are not worth compressing: they fit a database page, and the compressor's tables cost more.
const COMPRESS_FROM: usize = 4 * 1024;

/// The answer of a report, compressed and sealed before the transaction, so that the writer is not held up by it.
pub(super) struct Sealed {
    pub blob: Option<(i64, Vec<u8>)>,
    pub bytes: i64,
    /// Secrets that were in it; the blob has notes in their places.
    pub captured: Vec<Captured>,
}

pub(super) fn seal_answer(cx: &Context, report: &Report, delivery: Option<&DeliveryRow>) -> Sealed {
    if report.keys.is_empty() {
        return Sealed { blob: None, bytes: 0, captured: Vec::new() };
    }
    let (keys, captured) = match delivery {
        Some(delivery) => custody::capture(&delivery.request_type, &report.keys),
        None => (report.keys.clone(), Vec::new()),
    };
    let captured = filevault::open_escrowed(cx, captured);
    let plain = to_xml(&Value::Dictionary(keys));
    let bytes = plain.len() as i64;
    let Some(delivery) = delivery else { return Sealed { blob: None, bytes, captured } };
    let packed = pack(plain);
    Sealed { blob: Some((delivery.seq, cx.seal(&result_place(delivery.seq), &packed))), bytes, captured }
}

/// One byte says how the rest is packed: 0 as it is, 1 zlib.
fn pack(plain: Vec<u8>) -> Vec<u8> {
    if plain.len() >= COMPRESS_FROM {
        let mut encoder = ZlibEncoder::new(vec![1], Compression::fast());
        if encoder.write_all(&plain).is_ok()
            && let Ok(packed) = encoder.finish()
        {
            return packed;
        }
    }
    let mut out = Vec::with_capacity(plain.len() + 1);
    out.push(0);
    out.extend_from_slice(&plain);
    out
}

/// Opens what [`pack`] packed; at most `limit` bytes.
pub(super) fn unpack(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    use std::io::Read;
    match packed.split_first()? {
        (0, rest) => Some(rest.to_vec()),
        (1, rest) => {
            let mut plain = Vec::new();
            flate2::read::ZlibDecoder::new(rest).take(limit as u64).read_to_end(&mut plain).ok()?;
            Some(plain)
        }
        _ => None,
    }
}

/// The answer of a delivery as it came, opened.
pub(super) fn open_answer(cx: &Context, seq: i64, sealed: &[u8]) -> Result<Dictionary, Error> {
    let packed = cx.open(&result_place(seq), sealed)?;
    let plain = unpack(packed.expose(), crate::base::limits::MAX_DRAINED_BODY)
        .ok_or_else(|| Error::internal("a result cannot be unpacked"))?;
    Ok(crate::plist::parse_dict(&plain).map_err(Error::internal)?.into_dictionary())
}
