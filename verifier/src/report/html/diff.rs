//! Expected against actual output, line by line. Texts are excerpts of a few hundred bytes, so the plain quadratic way
//! will do; longer ones are cut first.

/// Lines compared at most of either side.
const LINES: usize = 200;

/// A line of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// In both.
    Same(&'a str),
    /// Expected and not there.
    Missing(&'a str),
    /// There and not expected.
    Surplus(&'a str),
}

/// The fewest lines that must go and come to make `actual` of `expected`, in order; what goes stands before what comes.
pub(super) fn diff<'a>(expected: &'a str, actual: &'a str) -> Vec<Line<'a>> {
    let lines = |text: &'a str| text.split('\n').take(LINES).collect::<Vec<&str>>();
    let (a, b) = (lines(trim_end(expected)), lines(trim_end(actual)));
    // common[i][j]: how many lines a[i..] and b[j..] have in common, in order.
    let mut common = vec![vec![0_u16; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] =
                if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut result) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            result.push(Line::Same(a[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && (j == b.len() || common[i + 1][j] >= common[i][j + 1]) {
            result.push(Line::Missing(a[i]));
            i += 1;
        } else {
            result.push(Line::Surplus(b[j]));
            j += 1;
        }
    }
    result
}

/// Where two lines differ: the bytes before and behind that both have in common.
pub(super) fn common_ends(a: &str, b: &str) -> (usize, usize) {
    let front: usize = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).map(|(x, _)| x.len_utf8()).sum();
    let (a, b) = (&a[front..], &b[front..]);
    let back =
        a.chars().rev().zip(b.chars().rev()).take_while(|(x, y)| x == y).map(|(x, _)| x.len_utf8()).sum();
    (front, back)
}

/// One newline at the end says nothing.
fn trim_end(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_and_come() {
        let rows = [
            ("1\n2\n3\n", "1\n3", "=1 -2 =3"),
            ("a", "b", "-a +b"),
            ("", "x", "- +x"),
            ("1\n2", "1\n2\n", "=1 =2"),
            ("1\n2", "0\n1\n9\n2", "+0 =1 +9 =2"),
            ("a\nb\nc", "c\na\nb", "+c =a =b -c"),
        ];
        for (expected, actual, wanted) in rows {
            let said: Vec<String> = diff(expected, actual)
                .iter()
                .map(|line| match line {
                    Line::Same(text) => format!("={text}"),
                    Line::Missing(text) => format!("-{text}"),
                    Line::Surplus(text) => format!("+{text}"),
                })
                .collect();
            assert_eq!(said.join(" "), wanted, "{expected:?} {actual:?}");
        }
        let long = "x\n".repeat(5000);
        assert_eq!(diff(&long, "").len(), LINES + 1);
    }

    #[test]
    fn ends_in_common_are_found() {
        for (a, b, ends) in [
            ("[1, 2, 3]", "[1, 5, 3]", (4, 4)),
            ("abc", "abc", (3, 0)),
            ("aa", "a", (1, 0)),
            ("", "x", (0, 0)),
            ("\u{e9}1\u{e9}", "\u{e9}2\u{e9}", (2, 2)),
        ] {
            assert_eq!(common_ends(a, b), ends, "{a:?} {b:?}");
        }
    }
}
