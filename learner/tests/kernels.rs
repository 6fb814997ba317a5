//! Every CUDA kernel, its own text, run on the CPU against the mathematics written plainly in f64.
//!
//! Inputs are fresh on every run; the seed is printed, and ASSAY_KERNEL_SEED repeats it. Each case runs with a
//! block's threads in three orders, and the results must be the same bits: a forgotten barrier shows. Gradients are
//! compared with finite differences of the plain forward pass, so that no derivation is believed twice. Where numbers are
//! so small or so large that a difference is no derivative, they are compared with a derivation that equals the
//! differences elsewhere.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "kernels/plain.rs"]
mod plain;
#[path = "kernels/shim.rs"]
mod shim;

use assay_learner::kernels::{AdamW, Argument, Device, Heads, Kernels, Launch, Paged, Size, Stored};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use plain::{
    attend, gradient, plain_attention, plain_attention_backward, plain_statistics, rms_norm_backward,
};
use shim::{Memory, Shim};

/// Rising, falling, shuffled.
const ORDERS: [u32; 3] = [0, 1, 77];

#[test]
fn kernels_equal_the_plain_mathematics() {
    let seed = std::env::var("ASSAY_KERNEL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
    });
    println!("ASSAY_KERNEL_SEED={seed}");
    let shim = Shim::start();
    for stored in [Stored::F32, Stored::Bf16] {
        let mut bench =
            Bench { shim: &shim, stored, random: ChaCha8Rng::seed_from_u64(seed), worst: Vec::new() };
        embedding(&mut bench);
        rms_norm(&mut bench);
        rope(&mut bench);
        swiglu(&mut bench);
        linear(&mut bench);
        attention(&mut bench);
        decode(&mut bench);
        head(&mut bench);
        draw(&mut bench);
        optimizer(&mut bench);
        for (what, error) in &bench.worst {
            println!("{stored:?} {what:30} greatest error {error:.1e}");
        }
    }
    assert_eq!(shim.not_launched(), "", "kernels that no case launches");
}

/// A check that never fails shows nothing: kernels that are wrong on purpose.
#[test]
fn the_shim_notices_what_is_wrong() {
    let broken = |kernel: &str, order: u32| -> Option<Vec<u8>> {
        let run = || {
            let shim = Shim::start();
            shim.order.set(order);
            let x = shim.buffer(&[0; 4 * 64]);
            let arguments = vec![Argument::Buffer(&x)];
            let (kernel, shared_bytes) = (kernel.to_owned(), 4 * 64);
            shim.launch(&Launch { kernel, grid: [1, 1], block: 64, shared_bytes, arguments }).unwrap();
            shim.read(&x)
        };
        std::panic::catch_unwind(run).ok()
    };
    for kernel in ["broken_index", "broken_shared_index", "broken_barrier"] {
        assert_eq!(broken(kernel, 0), None, "{kernel} ran to its end");
    }
    let orders = ORDERS.map(|order| broken("broken_race", order).unwrap());
    assert!(orders[0] != orders[1] && orders[1] != orders[2], "a missing barrier does not show");
}

/// Where cases run and how they are compared.
struct Bench<'s> {
    shim: &'s Shim,
    stored: Stored,
    random: ChaCha8Rng,
    worst: Vec<(String, f64)>,
}

impl Bench<'_> {
    fn kernels(&self) -> Kernels<'_, Shim> {
        Kernels { device: self.shim, stored: self.stored }
    }

    /// Fresh numbers, normal-like, as the storage can hold them.
    fn numbers(&mut self, count: usize, deviation: f64) -> Vec<f64> {
        let mut one = || (0..4).map(|_| self.random.random_range(-1.0..1.0)).sum::<f64>() * 0.87 * deviation;
        let values: Vec<f64> = (0..count).map(|_| one()).collect();
        self.as_stored(&values)
    }

    fn as_stored(&self, values: &[f64]) -> Vec<f64> {
        let round = |&value: &f64| match self.stored {
            Stored::F32 => f64::from(value as f32),
            Stored::Bf16 => f64::from(f32::from_bits(u32::from(bf16(value as f32)) << 16)),
        };
        values.iter().map(round).collect()
    }

    /// What is stored as activations and weights are.
    fn up(&self, values: &[f64]) -> Memory {
        match self.stored {
            Stored::F32 => self.up_f32(values),
            Stored::Bf16 => {
                let bytes: Vec<u8> = values.iter().flat_map(|&v| bf16(v as f32).to_le_bytes()).collect();
                self.shim.buffer(&bytes)
            }
        }
    }

    fn up_f32(&self, values: &[f64]) -> Memory {
        self.shim.buffer(&values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect::<Vec<u8>>())
    }

    fn up_u32(&self, values: &[u32]) -> Memory {
        self.shim.upload(values).unwrap()
    }

    /// Room for a result, full of NaN.
    fn room(&self, count: usize) -> Memory {
        let each = if self.stored == Stored::F32 { 4 } else { 2 };
        self.shim.uninitialised(each * count).unwrap()
    }

    fn room_f32(&self, count: usize) -> Memory {
        self.shim.uninitialised(4 * count).unwrap()
    }

    fn down(&self, memory: &Memory) -> Vec<f64> {
        match self.stored {
            Stored::F32 => self.down_f32(memory),
            Stored::Bf16 => {
                let wide =
                    |pair: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([pair[0], pair[1]])) << 16);
                self.shim.read(memory).chunks_exact(2).map(|pair| f64::from(wide(pair))).collect()
            }
        }
    }

    fn down_f32(&self, memory: &Memory) -> Vec<f64> {
        let bytes = self.shim.read(memory);
        bytes.chunks_exact(4).map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap()))).collect()
    }

    fn down_u32(&self, memory: &Memory) -> Vec<u32> {
        let bytes = self.shim.read(memory);
        bytes.chunks_exact(4).map(|four| u32::from_le_bytes(four.try_into().unwrap())).collect()
    }

    /// The results of a case, which must not depend on the order in which threads take their turns.
    fn run(&self, what: &str, case: impl Fn(&Self) -> Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let bits =
            |results: &[Vec<f64>]| -> Vec<u64> { results.iter().flatten().map(|v| v.to_bits()).collect() };
        let mut first: Option<Vec<Vec<f64>>> = None;
        for order in ORDERS {
            self.shim.order.set(order);
            self.shim.free_all();
            let results = case(self);
            if let Some(first) = &first {
                assert!(bits(first) == bits(&results), "{what}: another result in order {order}");
            }
            first.get_or_insert(results);
        }
        first.unwrap()
    }

    /// The error of a result rounded once, as it is stored: a bf16 has 8 bits, f32 sums of some hundred terms keep
    /// about 5 digits.
    fn allowed(&self) -> f64 {
        if self.stored == Stored::F32 { 3e-5 } else { 1.0 / 128.0 }
    }

    /// Fails unless `ours` is `plain` to within what the storage allows.
    fn check(&mut self, what: &str, ours: &[f64], plain: &[f64]) {
        self.check_within(what, ours, plain, self.allowed());
    }

    /// As `check`, but the error is relative to the greatest number also where that is below 1: all of them are small.
    fn check_small(&mut self, what: &str, ours: &[f64], plain: &[f64]) {
        let greatest = plain.iter().fold(0.0f64, |a, b| a.max(b.abs()));
        assert!(greatest > 0.0, "{what}: nothing but zeros shows nothing");
        let [ours, plain] = [ours, plain].map(|all| all.iter().map(|v| v / greatest).collect::<Vec<_>>());
        self.check(what, &ours, &plain);
    }

    /// As `check`, for results that are f32 whatever the storage.
    fn check_f32(&mut self, what: &str, ours: &[f64], plain: &[f64]) {
        self.check_within(what, ours, plain, 3e-5);
    }

    /// The error is relative to the greatest number of the result, or to 1 where that is below 1.
    fn check_within(&mut self, what: &str, ours: &[f64], plain: &[f64], allowed: f64) {
        assert_eq!(ours.len(), plain.len(), "{what}");
        let size = plain.iter().fold(1.0f64, |a, b| a.max(b.abs()));
        let mut worst = 0.0f64;
        for (at, (ours, plain)) in ours.iter().zip(plain).enumerate() {
            let error = (ours - plain).abs() / size;
            assert!(error <= allowed, "{:?} {what}: number {at} is {ours}, should be {plain}", self.stored);
            worst = worst.max(error);
        }
        match self.worst.iter_mut().find(|(name, _)| name == what) {
            Some((_, known)) => *known = known.max(worst),
            None => self.worst.push((what.to_owned(), worst)),
        }
    }
}

/// That a derivation equals the finite differences it stands for. These are good to 1e-4, where a row of one number is
/// as small as the root of eps; mostly to 1e-9.
fn agree(what: &str, derived: &[f64], differences: &[f64]) {
    let size = differences.iter().fold(1.0f64, |a, b| a.max(b.abs()));
    for (at, (derived, difference)) in derived.iter().zip(differences).enumerate() {
        let error = (derived - difference).abs() / size;
        assert!(
            error <= 1e-4,
            "{what}: number {at} is derived as {derived}, the differences make it {difference}"
        );
    }
}

/// Round to nearest, ties to even.
fn bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

fn size(rows: usize, width: usize) -> Size {
    Size { rows: rows as u32, width: width as u32 }
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn embedding(bench: &mut Bench<'_>) {
    for (vocabulary, width, rows) in [(1, 1, 1), (7, 3, 20), (50, 130, 33), (300, 64, 5)] {
        let (table, dx) = (bench.numbers(vocabulary * width, 1.0), bench.numbers(rows * width, 1.0));
        let before = bench.numbers(vocabulary * width, 1.0);
        let tokens: Vec<u32> = (0..rows).map(|_| bench.random.random_range(0..vocabulary as u32)).collect();
        let got = bench.run("embedding", |bench| {
            let (out, d_table) = (bench.room(rows * width), bench.up_f32(&before));
            let (ids, kernels) = (bench.up_u32(&tokens), bench.kernels());
            kernels.embedding_forward(&bench.up(&table), &ids, &out, size(rows, width)).unwrap();
            kernels.embedding_backward(&bench.up(&dx), &tokens, &d_table, width as u32).unwrap();
            vec![bench.down(&out), bench.down_f32(&d_table)]
        });
        let plain: Vec<f64> =
            tokens.iter().flat_map(|&t| table[t as usize * width..][..width].to_vec()).collect();
        assert_eq!(got[0], plain, "a copy is exact");
        let mut expected = before;
        for (row, &token) in tokens.iter().enumerate() {
            (0..width).for_each(|i| expected[token as usize * width + i] += dx[row * width + i]);
        }
        bench.check_f32("embedding backward", &got[1], &expected);
    }
}

fn rms_norm(bench: &mut Bench<'_>) {
    // Tiny rows, where eps has its share of the root or nearly all of it, and huge ones.
    let cases = [
        (1, 1, 1.0),
        (3, 5, 1.0),
        (2, 31, 1e-4),
        (2, 40, 1e-3),
        (130, 7, 1.0),
        (3, 260, 300.0),
        (2, 33, 1e4),
    ];
    for (rows, width, deviation) in cases {
        let eps = 1e-6;
        let (x, weight) = (bench.numbers(rows * width, deviation), bench.numbers(width, 1.0));
        // What reaches x past the norm is as large as what comes through it, so that neither hides the other.
        let through = 1.0 / f64::max(deviation, 1e-3);
        let (dy, past) = (bench.numbers(rows * width, 1.0), bench.numbers(rows * width, through));
        let before = bench.numbers(width, 1.0);
        let forward = |x: &[f64], weight: &[f64]| -> Vec<f64> {
            let row = |x: &[f64]| {
                let rms = (x.iter().map(|x| x * x).sum::<f64>() / width as f64 + f64::from(eps)).sqrt();
                x.iter().zip(weight).map(|(x, w)| x / rms * w).collect::<Vec<_>>()
            };
            x.chunks(width).flat_map(row).collect()
        };
        let got = bench.run("rms_norm", |bench| {
            let [out, inverse] = [bench.room(rows * width), bench.room_f32(rows)];
            let [x, weight, dy, dx] = [&x, &weight, &dy, &past].map(|values| bench.up(values));
            let d_weight = bench.up_f32(&before);
            let (kernels, size) = (bench.kernels(), size(rows, width));
            kernels.rms_norm_forward([&x, &weight], [&out, &inverse], eps, size).unwrap();
            kernels.rms_norm_backward([&dy, &x, &inverse, &weight], [&dx, &d_weight], size).unwrap();
            vec![bench.down(&out), bench.down(&dx), bench.down_f32(&d_weight)]
        });
        bench.check("rms_norm forward", &got[0], &forward(&x, &weight));
        let dx = rms_norm_backward(&x, &weight, &dy, f64::from(eps));
        // Where x is tiny or huge, so are the differences that a derivative is made of.
        if deviation == 1.0 {
            let differences = gradient(&x, &dy, |x| forward(x, &weight));
            agree("rms_norm backward", &dx, &differences);
            bench.check("rms_norm backward", &got[1], &sum(&past, &differences));
        } else {
            bench.check_small("rms_norm backward extremes", &got[1], &sum(&past, &dx));
        }
        let d_weight = gradient(&weight, &dy, |weight| forward(&x, weight));
        bench.check_f32("rms_norm backward weight", &got[2], &sum(&before, &d_weight));
    }
}

fn rope(bench: &mut Bench<'_>) {
    for (rows, heads, half, most) in [(1, 1, 1, 1), (5, 3, 4, 9), (4, 2, 32, 5000), (2, 14, 64, 40)] {
        let x = bench.numbers(rows * heads * 2 * half, 1.0);
        let positions: Vec<u32> = (0..rows).map(|_| bench.random.random_range(0..most)).collect();
        let angle = |p: usize, i: usize| p as f64 * 10_000f64.powf(-(i as f64) / half as f64);
        let angles: Vec<f64> = (0..most as usize).flat_map(|p| (0..half).map(move |i| angle(p, i))).collect();
        let [cosine, sine] = [f64::cos as fn(f64) -> f64, f64::sin]
            .map(|f| angles.iter().map(|&angle| f64::from(f(angle) as f32)).collect::<Vec<f64>>());
        let got = bench.run("rope", |bench| {
            let (there, positions) = (bench.up(&x), bench.up_u32(&positions));
            let [cosine, sine] = [&cosine, &sine].map(|values| bench.up_f32(values));
            let shape = [rows, heads, half].map(|n| n as u32);
            bench.kernels().rope(&there, &positions, [&cosine, &sine], 1.0, shape).unwrap();
            let turned = bench.down(&there);
            bench.kernels().rope(&there, &positions, [&cosine, &sine], -1.0, shape).unwrap();
            vec![turned, bench.down(&there)]
        });
        let mut plain = x.clone();
        for (row, values) in plain.chunks_mut(heads * 2 * half).enumerate() {
            for head in values.chunks_mut(2 * half) {
                for i in 0..half {
                    let at = positions[row] as usize * half + i;
                    let (a, b) = (head[i], head[i + half]);
                    head[i] = a * cosine[at] - b * sine[at];
                    head[i + half] = b * cosine[at] + a * sine[at];
                }
            }
        }
        bench.check("rope", &got[0], &plain);
        // Twice rounded: there and back.
        let allowed = if bench.stored == Stored::F32 { 1e-6 } else { 1.0 / 64.0 };
        bench.check_within("rope there and back", &got[1], &x, allowed);
    }
}

fn swiglu(bench: &mut Bench<'_>) {
    for (count, deviation) in [(1, 1.0), (255, 2.0), (1030, 1.0), (40, 60.0)] {
        let [gate, up, da] = [deviation, 1.0, 1.0].map(|deviation| bench.numbers(count, deviation));
        let forward = |gate: &[f64], up: &[f64]| -> Vec<f64> {
            gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
        };
        let got = bench.run("swiglu", |bench| {
            let [gate, up, da] = [&gate, &up, &da].map(|values| bench.up(values));
            let [out, d_gate, d_up] = [0; 3].map(|_| bench.room(count));
            bench.kernels().swiglu_forward([&gate, &up], &out, count as u32).unwrap();
            bench.kernels().swiglu_backward([&da, &gate, &up], [&d_gate, &d_up], count as u32).unwrap();
            [&out, &d_gate, &d_up].map(|result| bench.down(result)).to_vec()
        });
        bench.check("swiglu forward", &got[0], &forward(&gate, &up));
        bench.check("swiglu backward gate", &got[1], &gradient(&gate, &da, |gate| forward(gate, &up)));
        bench.check("swiglu backward up", &got[2], &gradient(&up, &da, |up| forward(&gate, up)));
    }
    // Where e^x is no f32 any more, silu is x or 0 and nothing becomes NaN.
    let (gate, ones) = (vec![-1e4, -200.0, -88.0, 0.0, 88.0, 200.0, 1e4], vec![1.0; 7]);
    let gate = bench.as_stored(&gate);
    let got = bench.run("swiglu extremes", |bench| {
        let [there, up, out, d_gate, d_up] =
            [&gate, &ones, &ones, &ones, &ones].map(|values| bench.up(values));
        bench.kernels().swiglu_forward([&there, &up], &out, 7).unwrap();
        bench.kernels().swiglu_backward([&up, &there, &up], [&d_gate, &d_up], 7).unwrap();
        [&out, &d_gate, &d_up].map(|result| bench.down(result)).to_vec()
    });
    let silu: Vec<f64> = gate.iter().map(|&g| if g > 0.0 { g } else { 0.0 }).collect();
    bench.check("swiglu extremes", &got[0], &silu);
    bench.check("swiglu extremes", &got[1], &[0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0]);
    bench.check("swiglu extremes", &got[2], &silu);
}

fn linear(bench: &mut Bench<'_>) {
    for (rows, width) in [(1, 1), (63, 3), (64, 129), (65, 128), (200, 10)] {
        let [y, x] = [0; 2].map(|_| bench.numbers(rows * width, 1.0));
        let [bias, before] = [0; 2].map(|_| bench.numbers(width, 1.0));
        let got = bench.run("linear", |bench| {
            let [biased, added, there] = [&y, &y, &x].map(|values| bench.up(values));
            let (d_bias, kernels) = (bench.up_f32(&before), bench.kernels());
            kernels.bias_add(&biased, &bench.up(&bias), size(rows, width)).unwrap();
            kernels.add(&added, &there, (rows * width) as u32).unwrap();
            kernels.bias_backward(&there, &d_bias, size(rows, width)).unwrap();
            vec![bench.down(&biased), bench.down(&added), bench.down_f32(&d_bias)]
        });
        let biased: Vec<f64> = y.chunks(width).flat_map(|row| sum(row, &bias)).collect();
        bench.check("bias", &got[0], &biased);
        bench.check("add", &got[1], &sum(&y, &x));
        let d_bias = x.chunks(width).fold(before, |total, row| sum(&total, row));
        bench.check_f32("bias backward", &got[2], &d_bias);
    }
}

fn attention(bench: &mut Bench<'_>) {
    let cases: [(&[u32], u32, u32, u32, f64); 8] = [
        (&[0, 1], 1, 1, 2, 1.0),
        (&[0, 16, 17], 2, 1, 8, 1.0),
        (&[0, 17, 17, 18, 51], 4, 2, 6, 1.0),
        (&[0, 15, 33], 3, 1, 20, 1.0),
        (&[0, 5, 22], 2, 2, 64, 1.0),
        (&[0, 18], 2, 1, 128, 1.0),
        // Scores of some tens, so that a query looks at few keys.
        (&[0, 40], 2, 1, 16, 6.0),
        // Scores of some hundreds: all weight on one key, and a maximum that rises from tile to tile.
        (&[0, 40], 2, 1, 16, 20.0),
    ];
    for (starts, query, key_value, dim, deviation) in cases {
        let heads = Heads { query, key_value, dim };
        let rows = starts[starts.len() - 1] as usize;
        let (q_count, kv_count) = (rows * (query * dim) as usize, rows * (key_value * dim) as usize);
        let [q, k] = [q_count, kv_count].map(|count| bench.numbers(count, deviation));
        let [v, d_out] = [kv_count, q_count].map(|count| bench.numbers(count, 1.0));
        let got = bench.run("attention", |bench| {
            let kernels = bench.kernels();
            let [q, k, v, d_out] = [&q, &k, &v, &d_out].map(|values| bench.up(values));
            let [out, log_sums] = [bench.room(q_count), bench.room_f32(rows * query as usize)];
            let [dq, dk, dv] = [q_count, kv_count, kv_count].map(|count| bench.room(count));
            let tiles = kernels.tiles(starts).unwrap();
            kernels.attention_forward([&q, &k, &v], &tiles, [&out, &log_sums], heads).unwrap();
            let read = [&q, &k, &v, &out, &log_sums];
            kernels.attention_backward(&d_out, read, &tiles, [&dq, &dk, &dv], rows as u32, heads).unwrap();
            let [out, dq, dk, dv] = [&out, &dq, &dk, &dv].map(|result| bench.down(result));
            vec![out, bench.down_f32(&log_sums), dq, dk, dv]
        });
        let (out, log_sums) = plain_attention(&q, &k, &v, starts, heads);
        // Where scores reach a thousand, f32 knows them to 1e-4, and so the weights.
        let extreme = deviation > 1.0 && bench.stored == Stored::F32;
        let allowed = if extreme { 2e-3 } else { bench.allowed() };
        bench.check_within("attention forward", &got[0], &out, allowed);
        bench.check_f32("attention log sums", &got[1], &log_sums);
        let inputs = [&q[..], &k, &v];
        if deviation > 1.0 {
            // Finite differences are no derivative where a step moves all the weight. What is read of the forward
            // pass, its output as it was stored, is read here too.
            let derived = plain_attention_backward(inputs, [&got[0], &d_out], starts, heads);
            for (index, what) in ["dq", "dk", "dv"].iter().enumerate() {
                let what = format!("attention backward {what} extremes");
                bench.check_within(&what, &got[index + 2], &derived[index], allowed);
            }
            continue;
        }
        let dq = gradient(&q, &d_out, |q| plain_attention(q, &k, &v, starts, heads).0);
        let dk = gradient(&k, &d_out, |k| plain_attention(&q, k, &v, starts, heads).0);
        let dv = gradient(&v, &d_out, |v| plain_attention(&q, &k, v, starts, heads).0);
        let derived = plain_attention_backward(inputs, [&out, &d_out], starts, heads);
        for (derived, differences) in derived.iter().zip([&dq, &dk, &dv]) {
            agree("attention backward", derived, differences);
        }
        // What the backward pass reads of the forward pass, its output, was rounded as it was stored; dq and dk are
        // differences of sums over it.
        let rounded = if bench.stored == Stored::F32 { bench.allowed() } else { 1.0 / 16.0 };
        bench.check_within("attention backward dq", &got[2], &dq, rounded);
        bench.check_within("attention backward dk", &got[3], &dk, rounded);
        bench.check("attention backward dv", &got[4], &dv);
    }
}

/// Rollouts that share a prompt's pages, at lengths around a page's end.
fn decode(bench: &mut Bench<'_>) {
    for (lengths, query, key_value, dim, page) in
        [(vec![1u32], 1, 1, 2, 16), (vec![5, 16, 17, 3], 4, 2, 20, 16), (vec![40, 33], 7, 1, 128, 4)]
    {
        let heads = Heads { query, key_value, dim };
        let (rows, width) = (lengths.len(), (key_value * dim) as usize);
        let most_pages = lengths.iter().max().unwrap().div_ceil(page);
        // Pages lie in the pool in falling order; all rows name the same first page.
        let count = rows as u32 * most_pages;
        let mut pages: Vec<u32> = (0..count).rev().collect();
        (0..rows).for_each(|row| pages[row * most_pages as usize] = count - 1);
        let [keys, values] = [0; 2].map(|_| bench.numbers((count * page) as usize * width, 1.0));
        let q = bench.numbers(rows * (query * dim) as usize, 1.0);
        let new = bench.numbers(rows * width, 1.0);
        let slot = |row: usize, at: u32| {
            (pages[row * most_pages as usize + (at / page) as usize] * page + at % page) as usize
        };
        // Rows longer than the shared page write into pages of their own; the others all end in the shared one.
        let slots: Vec<u32> =
            lengths.iter().enumerate().map(|(row, &length)| slot(row, length - 1) as u32).collect();
        let got = bench.run("decode", |bench| {
            let kernels = bench.kernels();
            let [keys, values, q, new] = [&keys, &values, &q, &new].map(|values| bench.up(values));
            let [pages, lengths, slots] = [&pages, &lengths, &slots].map(|values| bench.up_u32(values));
            let out = bench.room(rows * (query * dim) as usize);
            kernels.cache_write(&new, &slots, &keys, size(rows, width)).unwrap();
            let cache = Paged { pools: [&keys, &values], pages: &pages, lengths: &lengths, page, most_pages };
            kernels.attention_decode(&q, &cache, &out, rows as u32, heads).unwrap();
            vec![bench.down(&out), bench.down(&keys)]
        });
        let mut expected = keys.clone();
        for (row, &slot) in slots.iter().enumerate() {
            expected[slot as usize * width..][..width].copy_from_slice(&new[row * width..][..width]);
        }
        assert_eq!(got[1], expected, "a copy is exact");
        let mut plain = Vec::new();
        for (row, &length) in lengths.iter().enumerate() {
            let gather = |pool: &[f64]| -> Vec<f64> {
                (0..length).flat_map(|at| pool[slot(row, at) * width..][..width].to_vec()).collect()
            };
            let (k, v) = (gather(&expected), gather(&values));
            for head in 0..query {
                let first = (head / (query / key_value) * dim) as usize;
                let query = &q[(row as u32 * query + head) as usize * dim as usize..][..dim as usize];
                plain.extend(attend(query, &k[first..], &v[first..], width, length as usize).0);
            }
        }
        bench.check("decode", &got[0], &plain);
    }
}

fn head(bench: &mut Bench<'_>) {
    for (rows, vocabulary, deviation, temperature) in [
        (1, 1, 1.0, 1.0),
        (2, 2, 1.0, 0.6),
        (3, 255, 3.0, 0.9),
        (2, 257, 1.0, 20.0),
        (2, 2003, 5.0, 0.5),
        (1, 40, 100.0, 0.05),
    ] {
        let mut logits = bench.numbers(rows * vocabulary, deviation);
        let targets: Vec<u32> = (0..rows).map(|_| bench.random.random_range(0..vocabulary as u32)).collect();
        // An impossible id: minus infinity, unless it is asked for.
        if vocabulary > 2 && targets[0] != 2 {
            logits[2] = f64::NEG_INFINITY;
        }
        let given = bench.numbers(rows, 1.0);
        let got = bench.run("head", |bench| {
            let (kernels, size) = (bench.kernels(), size(rows, vocabulary));
            let (z, statistics) = (bench.up(&logits), bench.room_f32(4 * rows));
            let (targets, given) = (bench.up_u32(&targets), bench.up_f32(&given));
            kernels.head_statistics(&z, &targets, &statistics, temperature, size).unwrap();
            kernels.head_gradient(&z, [&targets, &statistics, &given], temperature, size).unwrap();
            vec![bench.down_f32(&statistics), bench.down(&z)]
        });
        let t = 1.0 / f64::from(1.0 / temperature);
        let rows = || logits.chunks(vocabulary).zip(&targets);
        let plain: Vec<[f64; 4]> =
            rows().map(|(z, &target)| plain_statistics(z, target as usize, t)).collect();
        for (index, what) in ["logprob", "entropy", "variance", "log sum"].iter().enumerate() {
            let column = |all: &[f64]| all.iter().skip(index).step_by(4).copied().collect::<Vec<f64>>();
            bench.check_f32(&format!("head {what}"), &column(&got[0]), &column(&plain.concat()));
        }
        let mut d_logits = Vec::new();
        for (row, (z, &target)) in rows().enumerate() {
            let (push, log_sum) = (given[row] / t, plain[row][3]);
            let one =
                |(i, z): (usize, &f64)| push * (f64::from(i as u32 == target) - (z / t - log_sum).exp());
            d_logits.extend(z.iter().enumerate().map(one));
        }
        bench.check("head gradient", &got[1], &d_logits);
    }
}

fn draw(bench: &mut Bench<'_>) {
    for (vocabulary, temperature) in [(1, 1.0), (3, 0.7), (256, 1.0), (300, 2.0), (2003, 1.0)] {
        let rows = 12;
        let mut logits = bench.numbers(rows * vocabulary, 2.0);
        // Two best ids in the last row, of which greedy takes the lower.
        if vocabulary > 2 {
            let last = (rows - 1) * vocabulary;
            (logits[last + 1], logits[last + 2]) = (50.0, 50.0);
        }
        let mut uniforms: Vec<f64> = (0..rows).map(|_| f64::from(bench.random.random::<f32>())).collect();
        uniforms[0] = 0.0;
        uniforms[1] = f64::from(1.0 - f32::EPSILON / 2.0);
        uniforms[rows - 2] = -1.0;
        uniforms[rows - 1] = -1.0;
        let got = bench.run("draw", |bench| {
            let (z, uniforms) = (bench.up(&logits), bench.up_f32(&uniforms));
            let [ids, logprobs] = [bench.room_f32(rows), bench.room_f32(rows)];
            let size = size(rows, vocabulary);
            bench.kernels().head_draw(&z, &uniforms, [&ids, &logprobs], temperature, size).unwrap();
            vec![bench.down_u32(&ids).into_iter().map(f64::from).collect(), bench.down_f32(&logprobs)]
        });
        let t = 1.0 / f64::from(1.0 / temperature);
        let mut plain = Vec::new();
        for (row, z) in logits.chunks(vocabulary).enumerate() {
            let id = got[0][row] as usize;
            let log_sum = plain_statistics(z, id, t)[3];
            plain.push(z[id] / t - log_sum);
            if uniforms[row] < 0.0 {
                let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                assert_eq!(Some(id), z.iter().position(|&z| z == top), "the lowest of the best");
                continue;
            }
            let up_to = |end: usize| z[..end].iter().map(|z| (z / t - log_sum).exp()).sum::<f64>();
            // Where the uniform number is within rounding of an id's end, both neighbours are right.
            assert!(up_to(id) <= uniforms[row] + 1e-5, "{id} is too great for {}", uniforms[row]);
            assert!(up_to(id + 1) >= uniforms[row] - 1e-5, "{id} is too small for {}", uniforms[row]);
        }
        bench.check_f32("draw logprob", &got[1], &plain);
    }
}

fn optimizer(bench: &mut Bench<'_>) {
    for count in [1usize, 255, 5000] {
        let [value, gradient, first] = [0; 3].map(|_| bench.numbers(count, 1.0));
        let second: Vec<f64> = bench.numbers(count, 1.0).iter().map(|v| f64::from((v * v) as f32)).collect();
        let rule = AdamW {
            betas: [0.9, 0.95],
            eps: 1e-8,
            weight_decay: 0.1,
            learning_rate: 1e-2,
            step: 3,
            clip: 0.25,
        };
        let got = bench.run("optimizer", |bench| {
            let kernels = bench.kernels();
            let state = [&gradient, &first, &second].map(|values| bench.up_f32(values));
            let (stored, master) = (bench.up(&value), bench.up_f32(&value));
            let values: &[&Memory] = match bench.stored {
                Stored::F32 => &[&master],
                Stored::Bf16 => &[&stored, &master],
            };
            kernels.adamw(values, state.each_ref(), &rule, count as u32).unwrap();
            let norm = bench.shim.buffer(&7.0f64.to_le_bytes());
            kernels.sum_of_squares(&state[0], &norm, count as u32).unwrap();
            kernels.scale(&state[0], -0.5, count as u32).unwrap();
            let norm = f64::from_le_bytes(bench.shim.read(&norm).try_into().unwrap());
            let mut results: Vec<Vec<f64>> =
                [&master, &state[1], &state[2], &state[0]].map(|result| bench.down_f32(result)).to_vec();
            results.extend([vec![norm], bench.down(values[0])]);
            results
        });
        let mut plain = [value.clone(), first, second];
        for i in 0..count {
            let g = gradient[i] * 0.25;
            plain[1][i] = 0.9 * plain[1][i] + 0.1 * g;
            plain[2][i] = 0.95 * plain[2][i] + 0.05 * g * g;
            let (m, v) = (plain[1][i] / (1.0 - 0.9f64.powi(3)), plain[2][i] / (1.0 - 0.95f64.powi(3)));
            plain[0][i] -= 1e-2 * 0.1 * value[i] + 1e-2 * m / (v.sqrt() + 1e-8);
        }
        for (index, what) in ["value", "first moment", "second moment"].iter().enumerate() {
            bench.check_within(&format!("adamw {what}"), &got[index], &plain[index], 1e-6);
        }
        let halved: Vec<f64> = gradient.iter().map(|g| g * -0.5).collect();
        assert_eq!(got[3], halved, "a half is exact");
        let squares = 7.0 + gradient.iter().map(|g| g * g).sum::<f64>();
        bench.check_within("sum of squares", &got[4], &[squares], 1e-12);
        assert_eq!(got[5], bench.as_stored(&got[0]), "the stored parameter is its master, rounded");
    }
}

/// Element-wise launches have at most 4096 blocks of 256 threads and sums of squares 64: beyond that a thread takes several
/// numbers, which no smaller case reaches.
#[test]
fn numbers_beyond_one_for_each_thread_are_reached() {
    let shim = Shim::start();
    let bench =
        Bench { shim: &shim, stored: Stored::F32, random: ChaCha8Rng::seed_from_u64(1), worst: Vec::new() };
    let count = 4096 * 256 + 777;
    let numbers: Vec<f64> = (0..count).map(|i| f64::from((i % 1009) as u32) - 500.0).collect();
    let (x, sum) = (bench.up_f32(&numbers), shim.buffer(&1.0f64.to_le_bytes()));
    bench.kernels().sum_of_squares(&x, &sum, count as u32).unwrap();
    bench.kernels().scale(&x, -0.5, count as u32).unwrap();
    let squares = numbers.iter().map(|x| x * x).sum::<f64>() + 1.0;
    assert_eq!(
        f64::from_le_bytes(shim.read(&sum).try_into().unwrap()),
        squares,
        "sums of whole numbers are exact"
    );
    assert!(bench.down_f32(&x).iter().zip(&numbers).all(|(half, x)| *half == -0.5 * x));
}
