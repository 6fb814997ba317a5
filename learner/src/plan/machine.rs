//! What there is to compute with: its memory, and the peaks that a floor of time is counted by.

use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::cuda::{self, Description, Stored};

/// Where a run is planned for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// What computes, for people.
    pub name: String,
    /// Bytes of the memory that models and their activations are in.
    pub bytes: u64,
    /// Whether that is a GPU's.
    pub gpu: bool,
    /// Bytes of a stored parameter, activation, key or value.
    pub bytes_of_a_number: usize,
    /// Bytes a second, read from that memory.
    pub bytes_per_second: f64,
    /// Floating-point operations a second, of products of stored numbers.
    pub flops_per_second: f64,
    /// Bytes a second between a GPU and its host.
    pub link_bytes_per_second: f64,
    /// Bytes of the host's memory, where they are a bound.
    pub host_bytes: Option<u64>,
}

/// A GPU by its name, or by its size alone.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuModel {
    name: String,
    bytes: u64,
    peaks: Peaks,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Peaks {
    gigabytes: f64,
    /// Of dense products in bf16, and in f32 without tensor cores.
    bf16: f64,
    f32: f64,
}

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// Name, GiB that programs see, GB/s, TFLOP/s in bf16 and in f32, by their makers' data sheets.
const GPUS: [(&str, f64, Peaks); 7] = [
    ("h200", 140.0, Peaks { gigabytes: 4800.0, bf16: 989.0, f32: 67.0 }),
    ("h100", 79.0, Peaks { gigabytes: 3350.0, bf16: 989.0, f32: 67.0 }),
    ("a100", 79.0, Peaks { gigabytes: 2039.0, bf16: 312.0, f32: 19.5 }),
    ("a100-40", 39.0, Peaks { gigabytes: 1555.0, bf16: 312.0, f32: 19.5 }),
    ("l40s", 44.0, Peaks { gigabytes: 864.0, bf16: 362.0, f32: 91.6 }),
    ("rtx4090", 23.5, Peaks { gigabytes: 1008.0, bf16: 165.0, f32: 82.6 }),
    ("l4", 22.0, Peaks { gigabytes: 300.0, bf16: 121.0, f32: 30.3 }),
];
/// Of PCIe 4 with 16 lanes, one way.
const LINK: f64 = 25e9;
/// Of one core with AVX-512 (measured, see DESIGN.md); one without has half.
const CORE_FLOPS: f64 = 165e9;
/// Of one core.
const CORE_BYTES: f64 = 10e9;

impl FromStr for GpuModel {
    type Err = String;

    fn from_str(text: &str) -> Result<GpuModel, String> {
        let gpu =
            |name: String, bytes: f64, peaks: &Peaks| GpuModel { name, bytes: bytes as u64, peaks: *peaks };
        let lower = text.to_lowercase();
        if let Some((name, gib, peaks)) = GPUS.iter().find(|(name, ..)| *name == lower) {
            return Ok(gpu((*name).to_owned(), gib * GIB, peaks));
        }
        let names: Vec<&str> = GPUS.iter().map(|(name, ..)| *name).collect();
        let bytes = bytes(text).map_err(|what| format!("{what}, or one of {}", names.join(", ")))?;
        let (_, _, peaks) = &GPUS[1];
        Ok(gpu(format!("a GPU of {text} (the peaks of an h100 assumed)"), bytes as f64, peaks))
    }
}

/// A number of bytes as people write it: `80GiB`, `16GB`, `512MiB`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let expected = || format!("expected a size as 80GiB or 80GB, not {text:?}");
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| expected())?;
    let unit = match text[digits..].trim().to_lowercase().as_str() {
        "gib" => GIB,
        "gb" | "g" => 1e9,
        "mib" => GIB / 1024.0,
        "mb" | "m" => 1e6,
        "tib" => GIB * 1024.0,
        "tb" => 1e12,
        _ => return Err(expected()),
    };
    let bytes = number * unit;
    if (1e6..1e16).contains(&bytes) { Ok(bytes as u64) } else { Err(expected()) }
}

impl Machine {
    /// One GPU that stores numbers so.
    pub fn gpu(gpu: &GpuModel, stored: Stored) -> Machine {
        let flops = match stored {
            Stored::F32 => gpu.peaks.f32,
            Stored::Bf16 => gpu.peaks.bf16,
        };
        Machine {
            name: gpu.name.clone(),
            bytes: gpu.bytes,
            gpu: true,
            bytes_of_a_number: cuda::dtype(stored).size_in_bytes(),
            bytes_per_second: gpu.peaks.gigabytes * 1e9,
            flops_per_second: flops * 1e12,
            link_bytes_per_second: LINK,
            host_bytes: None,
        }
    }

    /// The GPU that this process computes on.
    pub fn this_gpu(gpu: &Description, stored: Stored) -> Machine {
        let known = GPUS.iter().find(|(name, ..)| gpu.name.to_lowercase().contains(name));
        let (_, _, peaks) = known.unwrap_or(&GPUS[1]);
        let assumed = if known.is_none() { " (the peaks of an h100 assumed)" } else { "" };
        let name = format!("{}{assumed}", gpu.name);
        Machine::gpu(&GpuModel { name, bytes: gpu.bytes as u64, peaks: *peaks }, stored)
    }

    /// The CPU of this machine, or one with so much memory.
    pub fn cpu(host_bytes: Option<u64>) -> Machine {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let bytes = host_bytes.unwrap_or_else(memory);
        Machine {
            name: format!("{cores} cores of a CPU"),
            bytes,
            gpu: false,
            bytes_of_a_number: 4,
            bytes_per_second: cores as f64 * CORE_BYTES,
            flops_per_second: cores as f64 * CORE_FLOPS,
            link_bytes_per_second: f64::INFINITY,
            host_bytes: Some(bytes),
        }
    }
}

/// Memory of this machine, or of the control group this process is in where that has less.
fn memory() -> u64 {
    let whole = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    });
    let bounds = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let bound =
        bounds.iter().filter_map(|path| std::fs::read_to_string(Path::new(path)).ok()?.trim().parse().ok());
    bound.chain(whole).min().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let rows = [
            ("80GiB", Ok(80 << 30)),
            ("16GB", Ok(16_000_000_000)),
            ("1.5 gib", Ok(3 << 29)),
            ("512MiB", Ok(512 << 20)),
        ];
        for (text, expected) in rows {
            assert_eq!(bytes(text), expected, "{text}");
        }
        for text in ["", "80", "GiB", "-1GB", "80 bananas", "0GiB", "1e9GB"] {
            assert!(bytes(text).is_err_and(|what| what.contains("80GiB")), "{text}");
        }
        assert_eq!("H100".parse::<GpuModel>().unwrap().bytes, 79 << 30);
        assert!("h1000".parse::<GpuModel>().unwrap_err().contains("h200, h100"));
        assert!(memory() > 1 << 28);
    }
}
