use super::*;

fn curve(n: usize, f: impl Fn(f64) -> f64) -> ChartSeries {
    let points = (0..n).map(|i| (i as f64, f(i as f64))).collect();
    ChartSeries {
        label: "+ LR warmup".into(),
        colour: 1,
        points,
    }
}

fn spec(series: Vec<ChartSeries>) -> ChartSpec {
    ChartSpec {
        title: "Training loss".into(),
        runs: series.len(),
        series,
        ..ChartSpec::default()
    }
}

/// y coordinates of all polylines of a colour, in pixels.
fn ys(svg: &str, colour: &str) -> Vec<f64> {
    svg.lines()
        .filter(|l| l.starts_with("<polyline") && l.contains(colour))
        .flat_map(|l| l.split("points=\"").nth(1).unwrap_or("").split(['"', ' ']))
        .filter_map(|p| p.split_once(',')?.1.parse::<f64>().ok().map(|y| y / 4.0))
        .collect()
}

#[test]
fn one_bad_step_among_600_000_is_seen() {
    let svg = line(&spec(vec![curve(600_000, |x| {
        if x == 123_456.0 { 50.0 } else { 2.0 }
    })]))
    .unwrap();
    let top = ys(&svg, "#EE7733")
        .into_iter()
        .fold(f64::INFINITY, f64::min);
    let plot: Vec<f64> = attribute(&svg, "data-plot")
        .split(' ')
        .map(|v| v.parse().unwrap())
        .collect();
    let range: Vec<f64> = attribute(&svg, "data-y")
        .split(' ')
        .map(|v| v.parse().unwrap())
        .collect();
    let wanted = plot[3] - (50.0 - range[0]) / (range[1] - range[0]) * (plot[3] - plot[1]);
    assert!((top - wanted).abs() <= 0.25, "{top} is not {wanted}");
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
    assert!(svg.contains("1 run, 600,000 of 600,000 points"));
}

fn attribute<'a>(svg: &'a str, name: &str) -> &'a str {
    svg.split(&format!("{name}=\""))
        .nth(1)
        .and_then(|r| r.split('"').next())
        .unwrap_or("")
}

#[test]
fn nan_breaks_the_line_and_is_counted() {
    let svg = line(&spec(vec![curve(100, |x| {
        if x == 50.0 { f64::NAN } else { x }
    })]))
    .unwrap();
    assert_eq!(
        svg.lines()
            .filter(|l| l.starts_with("<polyline") && l.contains("#EE7733"))
            .count(),
        2
    );
    assert!(svg.contains("99 of 100 points, 1 not a number") && !svg.contains("NaN"));
}

#[test]
fn a_title_and_a_description_say_what_is_drawn() {
    let mut spec = spec(vec![curve(10, |x| 2.0 - x / 10.0)]);
    spec.title = "loss <of> \"us\" & them".into();
    let svg = line(&spec).unwrap();
    assert!(svg.contains("<title>loss &lt;of&gt; &quot;us&quot; &amp; them</title>"));
    assert!(svg.contains(
        "<desc>Training loss by step; 1 run, 10 of 10 points. + LR warmup: from 2.0000 to 1.1000"
    ));
    assert!(svg.trim_end().ends_with("</svg>"));
}

#[test]
fn auto_repaints_in_the_dark_and_dark_is_drawn_dark() {
    let auto = line(&spec(vec![curve(10, |x| x)])).unwrap();
    assert!(
        auto.contains("prefers-color-scheme:dark")
            && auto.contains("[stroke=\"#EE7733\"]{stroke:#ff9e5e}")
    );
    let dark = line(&ChartSpec {
        theme: Theme::Dark,
        ..spec(vec![curve(10, |x| x)])
    })
    .unwrap();
    assert!(!dark.contains("prefers-color-scheme") && dark.contains("stroke=\"#FF9E5E\""));
}

#[test]
fn smoothing_keeps_the_raw_line_behind() {
    let svg = line(&ChartSpec {
        smooth: 0.9,
        ..spec(vec![curve(100, |x| (x * 0.7).sin())])
    })
    .unwrap();
    let lines: Vec<&str> = svg
        .lines()
        .filter(|l| l.starts_with("<polyline") && l.contains("#EE7733"))
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("opacity=\"0.22\"") && lines[1].contains("opacity=\"1\""));
}

#[test]
fn a_window_shows_only_what_lies_in_it() {
    let spec = ChartSpec {
        from: Some(2.5),
        to: Some(4.0),
        ..spec(vec![curve(10, |x| x)])
    };
    let svg = line(&spec).unwrap();
    assert!(svg.contains("1 run, 2 of 10 points"), "{svg}");
    assert_eq!(attribute(&svg, "data-x"), "2.5 4");
    let left: f64 = attribute(&svg, "data-plot")
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let path = svg
        .lines()
        .find(|l| l.starts_with("<polyline") && l.contains("#EE7733"))
        .unwrap();
    let first = path
        .split("points=\"")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    assert_eq!(first.parse::<f64>().unwrap(), (left * 4.0).round());
}

#[test]
fn a_log_scale_leaves_out_what_it_cannot_show() {
    let spec = ChartSpec {
        scale: YScale::Log,
        ..spec(vec![curve(50, |x| if x == 0.0 { 0.0 } else { 1.0 / x })])
    };
    let svg = line(&spec).unwrap();
    assert!(
        svg.contains("49 of 50 points, 1 not positive") && attribute(&svg, "data-y-log") == "true"
    );
}

#[test]
fn nothing_yet_and_single_points_are_pictures_too() {
    assert!(line(&spec(Vec::new())).unwrap().contains("No points yet"));
    let one = line(&spec(vec![curve(1, |_| 0.5)])).unwrap();
    assert!(one.contains("<circle") && !one.contains("NaN"));
    let nan = line(&spec(vec![curve(3, |_| f64::NAN)])).unwrap();
    assert!(nan.contains("No points yet") && !nan.contains("inf"));
}

#[test]
fn restarts_spreads_and_superseded_points_are_drawn_behind() {
    let plain = spec(vec![curve(100, |x| x)]);
    let full = ChartSpec {
        marks: vec![
            Mark {
                x: 50.0,
                label: "attempt 2".into(),
            },
            Mark {
                x: 500.0,
                label: "attempt 3".into(),
            },
        ],
        bands: vec![Band {
            colour: 1,
            points: (0..100).map(|i| (f64::from(i), 0.0, 150.0)).collect(),
        }],
        behind: vec![curve(20, |x| 90.0 - x)],
        made_of: Some((300, 600)),
        ..plain.clone()
    };
    let (before, after) = (line(&plain).unwrap(), line(&full).unwrap());
    assert!(after.contains("attempt 2") && !after.contains("attempt 3"));
    assert!(after.contains("<polygon") && !before.contains("<polygon"));
    assert!(after.contains("opacity=\"0.4\""));
    assert!(after.contains("1 run, 300 of 600 points"), "{after}");
    let top = |svg: &str| -> f64 {
        let range = attribute(svg, "data-y").split(' ').nth(1).unwrap();
        range.parse().unwrap()
    };
    assert!(
        top(&after) > 150.0 && top(&before) < 110.0,
        "the band has room"
    );
}

#[test]
fn the_wall_clock_has_times_for_ticks() {
    let mut series = curve(60, |x| x);
    for point in &mut series.points {
        point.0 = 1_795_492_800.0 + 60.0 * point.0;
    }
    let svg = line(&ChartSpec {
        x: "wall".parse().unwrap(),
        ..spec(vec![series])
    })
    .unwrap();
    assert!(
        svg.contains("04:30") && svg.contains("UTC, from 2026-11-24 04:00"),
        "{svg}"
    );
    assert_eq!(attribute(&svg, "data-x-kind"), "wall");
    assert_eq!("relative".parse::<XKind>().unwrap(), XKind::Time);
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let base = spec(Vec::new());
    for (bad, word) in [
        (
            ChartSpec {
                width: 10,
                ..base.clone()
            },
            "width",
        ),
        (
            ChartSpec {
                smooth: 1.0,
                ..base.clone()
            },
            "smooth",
        ),
        (
            ChartSpec {
                from: Some(3.0),
                to: Some(2.0),
                ..base.clone()
            },
            "before",
        ),
        (
            ChartSpec {
                from: Some(f64::NAN),
                ..base
            },
            "finite",
        ),
    ] {
        let error = line(&bad).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn the_look_of_a_chart() {
    let series = vec![
        ChartSeries {
            label: "Linear scaling".into(),
            colour: 0,
            points: vec![(1.0, 61.0), (2.0, 70.5), (3.0, 75.0), (4.0, 75.4)],
        },
        ChartSeries {
            label: "+ LR warmup".into(),
            colour: 1,
            points: vec![(1.0, 58.0), (2.0, 71.5), (3.0, 76.9), (4.0, 77.2)],
        },
    ];
    let spec = ChartSpec {
        title: "Top-1 by epoch, BS = 1024".into(),
        x: XKind::Epoch,
        y: "val/top1".into(),
        runs: 2,
        series,
        ..ChartSpec::default()
    };
    insta::assert_snapshot!(line(&spec).unwrap());
}
