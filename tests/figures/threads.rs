//! Many independent parts of a measurement on all processors.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What `work` makes of each number below `parts`, in their order.
pub(crate) fn each<T: Send>(parts: u64, work: impl Fn(u64) -> Result<T, String> + Sync) -> Result<Vec<T>, String> {
    let (next, done) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let part = next.fetch_add(1, Ordering::Relaxed);
                    if part >= parts {
                        return;
                    }
                    let outcome = work(part);
                    if let Ok(mut done) = done.lock() {
                        done.push((part, outcome));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().map_err(|_| "a part panicked")?;
    done.sort_unstable_by_key(|(part, _)| *part);
    done.into_iter().map(|(part, outcome)| outcome.map_err(|why| format!("part {part}: {why}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::each;

    #[test]
    fn outcomes_come_in_the_order_of_their_parts_and_the_first_error_with_its_part() {
        assert_eq!(each(100, |part| Ok(part * 2)), Ok((0..100).map(|part| part * 2).collect()));
        let odd = |part: u64| if part < 7 { Ok(part) } else { Err("odd".to_string()) };
        assert_eq!(each(20, odd), Err("part 7: odd".into()));
    }
}
