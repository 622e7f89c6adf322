//! Processor time, of this thread and of other processes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Processor time that a process has used so far, its ended threads included. Good to 10 ms.
///
/// # Errors
/// When there is no such process.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("no process {pid}"))?;
    // The program's name, in parentheses, may contain spaces.
    let (_, fields) = text.rsplit_once(')').context("an odd line in /proc")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> Result<u64> { Ok(fields.next().context("a short line in /proc")?.parse()?) };
    let used = ticks()? + ticks()?;
    // SAFETY: sysconf takes a number and touches no memory of ours.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    ensure!(per_second > 0, "the system does not tell how long a tick is");
    Ok(Duration::from_secs_f64(used as f64 / per_second as f64))
}

/// Processor time that this thread has used so far.
///
/// # Errors
/// When the system does not tell.
pub(super) fn own_cpu() -> Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is ours and as large as the system expects.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    ensure!(result == 0, "the system does not tell the processor time: {}", std::io::Error::last_os_error());
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}

/// Memory that a process has in use, in MiB.
///
/// # Errors
/// When there is no such process.
pub(super) fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_work() {
        let before = cpu(std::process::id()).unwrap();
        let mut turns = 0_u64;
        while cpu(std::process::id()).unwrap() < before + Duration::from_millis(30) {
            (0..1_000_000).for_each(|_| turns = std::hint::black_box(turns + 1));
        }

        assert!(turns > 0);
    }
}
