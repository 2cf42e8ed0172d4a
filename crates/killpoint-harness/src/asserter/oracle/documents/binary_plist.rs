//! Binary property lists: whether every object that the trailer counts is there.
//!
//! The value is not built: objects are shared, so a small list can describe a huge value. Two lists
//! are equal when their bytes are.

use super::Unreadable;
use crate::asserter::oracle::state::Digest;

pub(super) const MAGIC: &[u8] = b"bplist00";
const TRAILER_BYTES: usize = 32;

pub(super) fn read(contents: &[u8]) -> Result<Digest, Unreadable> {
    if !contents.starts_with(MAGIC) {
        return Err(Unreadable("no bplist00 at its start".to_owned()));
    }
    List::find(contents)
        .and_then(|list| list.is_whole().then(|| Digest::of(contents)))
        .ok_or_else(|| Unreadable("its table of objects is not whole".to_owned()))
}

struct List<'a> {
    contents: &'a [u8],
    /// The table of offsets, which follows the objects.
    table: &'a [u8],
    table_offset: usize,
    offset_bytes: usize,
    reference_bytes: usize,
    objects: u64,
    top: u64,
}

impl<'a> List<'a> {
    fn find(contents: &'a [u8]) -> Option<List<'a>> {
        let trailer_offset = contents.len().checked_sub(TRAILER_BYTES)?;
        let trailer = &contents[trailer_offset..];
        let (offset_bytes, reference_bytes) = (usize::from(trailer[6]), usize::from(trailer[7]));
        let objects = number(&trailer[8..16])?;
        let top = number(&trailer[16..24])?;
        let table_offset = usize::try_from(number(&trailer[24..32])?).ok()?;
        if !(1..=8).contains(&offset_bytes) || !(1..=8).contains(&reference_bytes) {
            return None;
        }
        let table_bytes = usize::try_from(objects).ok()?.checked_mul(offset_bytes)?;
        let table = contents.get(table_offset..table_offset.checked_add(table_bytes)?)?;
        let ends_before_trailer = table_offset + table_bytes <= trailer_offset;
        ends_before_trailer.then_some(List {
            contents,
            table,
            table_offset,
            offset_bytes,
            reference_bytes,
            objects,
            top,
        })
    }

    fn is_whole(&self) -> bool {
        self.top < self.objects
            && self.table.chunks_exact(self.offset_bytes).all(|offset| {
                number(offset)
                    .and_then(|offset| usize::try_from(offset).ok())
                    .is_some_and(|offset| self.object_is_whole(offset).is_some())
            })
    }

    fn object_is_whole(&self, offset: usize) -> Option<()> {
        if offset < MAGIC.len() || offset >= self.table_offset {
            return None;
        }
        let objects = &self.contents[..self.table_offset];
        let marker = objects[offset];
        let (kind, low) = (marker >> 4, marker & 0x0f);
        let body = offset + 1;
        let fixed = |bytes: usize| objects.get(body..body.checked_add(bytes)?).map(|_| ());
        match kind {
            0x0 => Some(()),
            0x1 | 0x2 if low <= 4 => fixed(1 << low),
            0x3 => fixed(8),
            0x4 | 0x5 => self.counted(objects, body, low, 1).map(|_| ()),
            0x6 => self.counted(objects, body, low, 2).map(|_| ()),
            0x8 => fixed(usize::from(low) + 1),
            0xa..=0xc => self.references(objects, body, low, 1),
            0xd => self.references(objects, body, low, 2),
            _ => None,
        }
    }

    /// The bytes of an object that says how many units it has.
    fn counted(&self, objects: &'a [u8], body: usize, low: u8, unit: usize) -> Option<&'a [u8]> {
        let (count, start) = if low < 0x0f {
            (usize::from(low), body)
        } else {
            let marker = *objects.get(body)?;
            let bytes = 1_usize << (marker & 0x0f).min(4);
            let start = body.checked_add(1 + bytes)?;
            if marker >> 4 != 0x1 || bytes > 8 {
                return None;
            }
            (usize::try_from(number(objects.get(body + 1..start)?)?).ok()?, start)
        };
        objects.get(start..start.checked_add(count.checked_mul(unit)?)?)
    }

    fn references(&self, objects: &[u8], body: usize, low: u8, each: usize) -> Option<()> {
        let references = self.counted(objects, body, low, each * self.reference_bytes)?;
        references
            .chunks_exact(self.reference_bytes)
            .all(|reference| number(reference).is_some_and(|object| object < self.objects))
            .then_some(())
    }
}

/// A big-endian number of at most eight bytes.
fn number(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8)
        .then(|| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": 1}`, as plutil writes it.
    fn list() -> Vec<u8> {
        let mut list = MAGIC.to_vec();
        list.extend([0xd1, 1, 2, 0x51, b'a', 0x10, 1]);
        list.extend([8, 11, 13]);
        list.extend([0, 0, 0, 0, 0, 0, 1, 1]);
        list.extend(3_u64.to_be_bytes());
        list.extend(0_u64.to_be_bytes());
        list.extend(15_u64.to_be_bytes());
        list
    }

    #[test]
    fn a_whole_list_reads_and_none_of_its_parts_does() {
        let list = list();
        assert!(read(&list).is_ok());
        for length in 0..list.len() {
            assert!(read(&list[..length]).is_err(), "{length} bytes of it");
        }
    }

    #[test]
    fn a_changed_byte_never_panics() {
        for index in 0..list().len() {
            for byte in [0, 1, 0x0f, 0x7f, 0xff] {
                let mut list = list();
                list[index] = byte;
                let _ = read(&list);
            }
        }
    }
}
