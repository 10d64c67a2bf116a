//! What a rows event will probably become, from its first row alone: for the size of jobs and buffers,
//! and for the lengths that stand in front of what they measure.

use crate::binlog::rows::RowOp;
use crate::pipeline::plan::TablePlan;
use crate::read::Reader;

/// What a rows event will probably become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess {
    /// Rows.
    pub rows: u32,
    /// Bytes of their `RowData`.
    pub bytes: usize,
}

impl TablePlan {
    /// Measures the first row of an event, `data` from its column count on, and supposes that all are
    /// like it. Whether they are, decoding finds out.
    #[must_use]
    pub fn guess(&self, op: RowOp, data: &[u8]) -> Guess {
        let images = if op == RowOp::Update { 2 } else { 1 };
        let (rows_len, row_len) = self.measure(images, data).unwrap_or((data.len(), 0));
        let rows = (rows_len + row_len / 2).checked_div(row_len).unwrap_or(1);
        let overhead = rows.saturating_mul(ROW_LENGTHS + images * self.image_overhead);
        Guess {
            rows: rows.min(u32::MAX as usize) as u32,
            bytes: overhead.saturating_add(rows_len),
        }
    }

    /// Bytes of all rows and of the first; none if the event is cut short.
    fn measure(&self, images: usize, data: &[u8]) -> Option<(usize, usize)> {
        let mut r = Reader::new(data);
        let count = r.length("column count").ok()?;
        if count != self.columns.len() {
            return None;
        }
        let bitmap_bytes = count.div_ceil(8);
        let bitmaps = r.bytes(images * bitmap_bytes, "column bitmaps").ok()?;
        let all = &data[r.position()..];
        let mut rest = all;
        for bitmap in bitmaps.chunks_exact(bitmap_bytes.max(1)) {
            self.skip_image(bitmap, &mut rest)?;
        }
        Some((all.len(), all.len() - rest.len()))
    }

    /// Passes over an image of the columns in `bitmap`.
    fn skip_image(&self, bitmap: &[u8], rest: &mut &[u8]) -> Option<()> {
        let present = set_bits(bitmap, self.columns.len());
        let (nulls, behind) = rest.split_at_checked(present.div_ceil(8))?;
        *rest = behind;
        let columns = self.columns.iter().enumerate();
        let columns = columns.filter(|(index, _)| bit(bitmap, *index));
        for (i, (_, column)) in columns.enumerate() {
            if !bit(nulls, i) {
                column.width.take(rest).ok()?;
            }
        }
        Some(())
    }
}

/// Tag and length of a row.
const ROW_LENGTHS: usize = 3;

#[inline]
const fn bit(bitmap: &[u8], i: usize) -> bool {
    bitmap[i / 8] >> (i % 8) & 1 == 1
}

/// How many of the first `count` bits of `bitmap`, which has no byte beyond them, are set.
pub(crate) fn set_bits(bitmap: &[u8], count: usize) -> usize {
    let ones: u32 = bitmap.iter().map(|byte| byte.count_ones()).sum();
    let beyond = match (count % 8, bitmap.last()) {
        (bits @ 1.., Some(last)) => (last >> bits).count_ones(),
        _ => 0,
    };
    (ones - beyond) as usize
}
