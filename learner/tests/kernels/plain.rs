//! What the kernels compute, as plain mathematics in f64, and its derivatives: by differences, and derived.

use assay_learner::kernels::Heads;

/// d/dx of `weights . forward(x)`, by central differences.
pub(super) fn gradient(x: &[f64], weights: &[f64], forward: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let (mut x, count) = (x.to_vec(), x.len());
    let along = |x: &[f64]| forward(x).iter().zip(weights).map(|(y, w)| y * w).sum::<f64>();
    let one = |i: usize| {
        let here = x[i];
        x[i] = here + STEP;
        let above = along(&x);
        x[i] = here - STEP;
        let below = along(&x);
        x[i] = here;
        (above - below) / (2.0 * STEP)
    };
    (0..count).map(one).collect()
}

/// dLoss/dx of y = w x / rms, row by row, derived: each number moves its own y, and through the rms those of its row.
pub(super) fn rms_norm_backward(x: &[f64], weight: &[f64], dy: &[f64], eps: f64) -> Vec<f64> {
    let width = weight.len();
    let row = |(x, dy): (&[f64], &[f64])| -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / width as f64 + eps;
        let pushed: Vec<f64> = dy.iter().zip(weight).map(|(dy, w)| dy * w).collect();
        let along = pushed.iter().zip(x).map(|(p, x)| p * x).sum::<f64>() / width as f64 / mean;
        pushed.iter().zip(x).map(|(p, x)| (p - along * x) / mean.sqrt()).collect()
    };
    x.chunks(width).zip(dy.chunks(width)).flat_map(row).collect()
}

/// Causal attention of one query row over the first `seen` rows of k and v.
pub(super) fn attend(q: &[f64], k: &[f64], v: &[f64], width: usize, seen: usize) -> (Vec<f64>, f64) {
    let score =
        |at: usize| q.iter().zip(&k[at * width..]).map(|(q, k)| q * k).sum::<f64>() / (q.len() as f64).sqrt();
    let scores: Vec<f64> = (0..seen).map(score).collect();
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|score| (score - top).exp()).sum();
    let value =
        |d: usize| (0..seen).map(|at| (scores[at] - top).exp() / total * v[at * width + d]).sum::<f64>();
    ((0..q.len()).map(value).collect(), top + total.ln())
}

/// The attended values of a packed batch and the log sums, row by row.
pub(super) fn plain_attention(
    q: &[f64],
    k: &[f64],
    v: &[f64],
    starts: &[u32],
    heads: Heads,
) -> (Vec<f64>, Vec<f64>) {
    let (dim, group) = (heads.dim as usize, (heads.query / heads.key_value) as usize);
    let (q_width, kv_width) = (heads.query as usize * dim, heads.key_value as usize * dim);
    let (mut out, mut log_sums) = (Vec::new(), Vec::new());
    for pair in starts.windows(2) {
        for row in pair[0] as usize..pair[1] as usize {
            for head in 0..heads.query as usize {
                let first = pair[0] as usize * kv_width + head / group * dim;
                let query = &q[row * q_width + head * dim..][..dim];
                let seen = row - pair[0] as usize + 1;
                let (values, log_sum) = attend(query, &k[first..], &v[first..], kv_width, seen);
                out.extend(values);
                log_sums.push(log_sum);
            }
        }
    }
    (out, log_sums)
}

/// dq, dk and dv of causal attention, derived: with P the weights of a query, dP = d_out v and o its output,
/// dS = P (dP - d_out o), and dq, dk are dS with the other of the two. `out` is given, as the backward pass is given it.
pub(super) fn plain_attention_backward(
    [q, k, v]: [&[f64]; 3],
    [out, d_out]: [&[f64]; 2],
    starts: &[u32],
    heads: Heads,
) -> [Vec<f64>; 3] {
    let (dim, group) = (heads.dim as usize, (heads.query / heads.key_value) as usize);
    let (q_width, kv_width) = (heads.query as usize * dim, heads.key_value as usize * dim);
    let scale = 1.0 / (dim as f64).sqrt();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let add = |to: &mut [f64], from: &[f64], times: f64| {
        to.iter_mut().zip(from).for_each(|(to, from)| *to += times * from);
    };
    let mut all = [vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]];
    let [dq, dk, dv] = &mut all;
    for pair in starts.windows(2) {
        for row in pair[0] as usize..pair[1] as usize {
            for head in 0..heads.query as usize {
                let own = row * q_width + head * dim..row * q_width + (head + 1) * dim;
                let (query, push) = (&q[own.clone()], &d_out[own.clone()]);
                let first = head / group * dim;
                let place = |at: usize| at * kv_width + first..at * kv_width + first + dim;
                let seen = pair[0] as usize..row + 1;
                let scores: Vec<f64> = seen.clone().map(|at| dot(query, &k[place(at)]) * scale).collect();
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|score| (score - top).exp()).sum();
                let mean = dot(push, &out[own.clone()]);
                for (at, score) in seen.zip(scores) {
                    let weight = (score - top).exp() / total;
                    let d_score = weight * (dot(push, &v[place(at)]) - mean) * scale;
                    add(&mut dq[own.clone()], &k[place(at)], d_score);
                    add(&mut dk[place(at)], query, d_score);
                    add(&mut dv[place(at)], push, weight);
                }
            }
        }
    }
    all
}

/// Log-probability of the target, entropy, variance, log sum exp, of z/T.
pub(super) fn plain_statistics(z: &[f64], target: usize, temperature: f64) -> [f64; 4] {
    let s: Vec<f64> = z.iter().map(|z| z / temperature).collect();
    let top = s.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = top + s.iter().map(|s| (s - top).exp()).sum::<f64>().ln();
    let expected = |f: &dyn Fn(f64) -> f64| {
        s.iter().filter(|s| s.is_finite()).map(|s| (s - log_sum).exp() * f(*s)).sum::<f64>()
    };
    let mean = expected(&|s| s);
    [s[target] - log_sum, log_sum - mean, expected(&|s| (s - mean) * (s - mean)), log_sum]
}
