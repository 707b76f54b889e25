//! `select!`, which takes its chances from shuttle, so that a schedule can be replayed.

/// Tokio's, for two branches in either order, or more in the order given.
#[macro_export]
macro_rules! select {
    (biased; $($branches:tt)*) => {
        $crate::real::select! { biased; $($branches)* }
    };
    ($first:pat = $one:expr => $does:block $second:pat = $other:expr => $acts:block) => {
        $crate::select! { $first = $one => $does, $second = $other => $acts }
    };
    ($first:pat = $one:expr => $does:expr, $second:pat = $other:expr => $acts:expr $(,)?) => {
        if $crate::chance() {
            $crate::real::select! { biased; $first = $one => { $does }, $second = $other => { $acts }, }
        } else {
            $crate::real::select! { biased; $second = $other => { $acts }, $first = $one => { $does }, }
        }
    };
}
