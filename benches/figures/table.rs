//! The table that is printed.

use std::{collections::BTreeMap, fmt::Write as _};

/// One figure.
pub struct Row {
    /// What is measured.
    pub figure: String,
    /// What it should be.
    pub goal: String,
    /// What it is.
    pub measured: String,
    /// What the peers take, where that is known.
    pub peers: String,
    /// Whether the goal is met; none: there is no goal.
    pub met: Option<bool>,
}

impl Row {
    /// A figure with a goal.
    pub fn new(figure: &str, goal: &str, measured: impl Into<String>, met: bool) -> Self {
        Self {
            figure: figure.into(),
            goal: goal.into(),
            measured: measured.into(),
            peers: String::new(),
            met: Some(met),
        }
    }

    /// A figure that has no goal of its own.
    pub fn told(figure: &str, measured: impl Into<String>) -> Self {
        Self { figure: figure.into(), goal: String::new(), measured: measured.into(), peers: String::new(), met: None }
    }

    /// What the peers take.
    pub fn peers(self, peers: &str) -> Self {
        Self { peers: peers.into(), ..self }
    }
}

/// The table in Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let head = ["Figure", "Goal", "Measured", "Met", "Peers"].map(String::from);
    let cells = |row: &Row| {
        let met = match row.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        [row.figure.clone(), row.goal.clone(), row.measured.clone(), met.into(), row.peers.clone()]
    };
    let lines: Vec<[String; 5]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |n: usize| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// How many calls AWS throttled, and in words, with the operations.
pub fn throttled(calls: &[(String, String, String)]) -> (usize, String) {
    let mut of = BTreeMap::<&str, usize>::new();
    for (operation, ..) in calls.iter().filter(|(_, outcome, _)| outcome.contains("Thrott")) {
        *of.entry(operation).or_default() += 1;
    }
    let all = of.values().sum();
    let each: Vec<String> = of.iter().map(|(operation, count)| format!("{operation} {count}")).collect();
    let which = if each.is_empty() { String::new() } else { format!(" ({})", each.join(", ")) };
    (all, format!("{all} throttled{which}"))
}
