//! Makes tables and plots of what was measured.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use plotters::prelude::*;
use serde_json::Value;

use crate::{drive::median, target::Result};

/// The fields that tell one kind of work from another, in the order in which they are shown.
const KINDS: [&str; 13] = [
    "work", "adapter", "by", "after", "state", "sync", "clients", "batch", "bytes", "topics",
    "ids", "there", "events",
];
/// The fields that are figures.
const FIGURES: [&str; 14] = [
    "events_per_s",
    "p50_us",
    "p95_us",
    "p99_us",
    "seconds",
    "seconds_per_gib",
    "seconds_to_first_append",
    "scanned_per_s",
    "bytes_per_event",
    "index_bytes_per_event",
    "resident_mib",
    "resident_mib_after_append",
    "found",
    "stream",
];

/// The figures of one kind of work, each with its runs.
type Figures = BTreeMap<&'static str, Vec<f64>>;
/// The kinds of work, and of each the targets.
type Works = BTreeMap<String, BTreeMap<String, Figures>>;

/// Prints a table of medians, and draws throughput and p99 over the number of clients.
pub(crate) fn report(files: &[PathBuf], plots: &Path) -> Result<()> {
    let mut works = Works::new();
    let mut curves: BTreeMap<String, BTreeMap<u64, Figures>> = BTreeMap::new();
    for file in files {
        for line in std::fs::read_to_string(file)?.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            add(&line, &mut works, &mut curves);
        }
    }
    table(works);
    std::fs::create_dir_all(plots)?;
    plot(
        &plots.join("throughput.svg"),
        "events per second",
        "events_per_s",
        1.0,
        &curves,
    )?;
    plot(
        &plots.join("p99.svg"),
        "p99 in milliseconds",
        "p99_us",
        1000.0,
        &curves,
    )
}

fn add(line: &Value, works: &mut Works, curves: &mut BTreeMap<String, BTreeMap<u64, Figures>>) {
    let target = line["target"].as_str().unwrap_or("annals").to_owned();
    let measured = |figures: &mut Figures| {
        for name in FIGURES {
            if let Some(value) = line[name].as_f64() {
                figures.entry(name).or_default().push(value);
            }
        }
    };
    let of_time = line["work"] == "append";
    let kind: Vec<_> = KINDS
        .iter()
        // How many events a load of some seconds came to says nothing about its kind.
        .filter(|name| !(of_time && **name == "events"))
        .filter_map(|name| match &line[*name] {
            Value::Null => None,
            Value::String(text) => Some(format!("{name} {text}")),
            value => Some(format!("{name} {value}")),
        })
        .map(|field| field.strip_prefix("work ").unwrap_or(&field).to_owned())
        .collect();
    measured(
        works
            .entry(kind.join(", "))
            .or_default()
            .entry(target.clone())
            .or_default(),
    );
    let single = of_time && line["batch"] == 1 && line["round"].is_u64();
    if let Some(clients) = line["clients"].as_u64().filter(|_| single) {
        measured(
            curves
                .entry(target)
                .or_default()
                .entry(clients)
                .or_default(),
        );
    }
}

fn table(works: Works) {
    println!("| work | store | runs | median (least – most) |");
    println!("| --- | --- | --- | --- |");
    for (work, targets) in works {
        for (target, figures) in targets {
            let runs = figures.values().map(Vec::len).max().unwrap_or(0);
            let shown: Vec<_> = figures
                .into_iter()
                .map(|(name, mut runs)| {
                    let middle = median(&mut runs);
                    let (least, most) = (runs.first(), runs.last());
                    match (least, most) {
                        (Some(least), Some(most)) if runs.len() > 1 => {
                            format!(
                                "{name} {} ({} – {})",
                                short(middle),
                                short(*least),
                                short(*most)
                            )
                        }
                        _ => format!("{name} {}", short(middle)),
                    }
                })
                .collect();
            println!("| {work} | {target} | {runs} | {} |", shown.join("; "));
        }
    }
}

fn short(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{:.0} k", value / 1000.0)
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

/// One curve for each target: a figure over the number of clients.
fn plot(
    path: &Path,
    title: &str,
    figure: &str,
    unit: f64,
    curves: &BTreeMap<String, BTreeMap<u64, Figures>>,
) -> Result<()> {
    let points: Vec<(&String, Vec<(f64, f64)>)> = curves
        .iter()
        .filter(|(target, _)| *target != "raw")
        .map(|(target, clients)| {
            let points = clients.iter().filter_map(|(clients, figures)| {
                let mut runs = figures.get(figure)?.clone();
                Some((*clients as f64, median(&mut runs) / unit))
            });
            (target, points.collect())
        })
        .collect();
    let values = || {
        points
            .iter()
            .flat_map(|(_, points)| points.iter().map(|point| point.1))
    };
    let (least, most) = (
        values().fold(f64::MAX, f64::min),
        values().fold(0.0, f64::max),
    );
    if most == 0.0 {
        return Ok(());
    }
    let area = SVGBackend::new(path, (720, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            format!("{title}, single events, a sync each"),
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(72)
        .build_cartesian_2d(
            (1.0..300.0).log_scale(),
            (least * 0.7..most * 1.4).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("clients")
        .y_desc(title)
        .draw()?;
    for (nth, (target, points)) in points.into_iter().enumerate() {
        let colour = Palette99::pick(nth).to_rgba();
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(3)))?
            .label(target.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;
    area.present()?;
    Ok(())
}

/// The bytes of all files in a directory.
pub(crate) fn bytes_of(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        bytes += if path.is_dir() {
            bytes_of(&path)?
        } else {
            std::fs::metadata(&path)?.len()
        };
    }
    Ok(bytes)
}
