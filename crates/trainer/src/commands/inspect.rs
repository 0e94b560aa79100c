//! `trainer inspect`: what a model is made of.

use rungs_spec::model::{self, LayerRow, MODELS, Model, Shape};
use rungs_spec::recipe::Variant;
use serde::Serialize;

use super::print;
use crate::cli::{InspectArgs, VariantArg};
use crate::network::Network;

#[derive(Debug, Serialize)]
struct Inspected {
    model: String,
    input_size: u32,
    parameters: u64,
    decayed: u64,
    exempt: u64,
    macs: u64,
    layers: Vec<LayerRow>,
    state_dict: Vec<StateDictRow>,
}

#[derive(Debug, Serialize)]
struct StateDictRow {
    name: String,
    shape: Vec<i64>,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: &'static str,
    input_size: u32,
    depths: &'static [u32],
    source: &'static str,
}

pub fn inspect(args: &InspectArgs) -> anyhow::Result<()> {
    let Some(name) = &args.model else {
        return list(args.json);
    };
    let info = model::find(name)?;
    let shape = Shape {
        depths: args.depths.clone().unwrap_or_else(|| info.depths.to_vec()),
        width: args.width,
        dropout: info.dropout,
        variant: match args.variant {
            VariantArg::Paper => Variant::Paper,
            VariantArg::Gluoncv => Variant::Gluoncv,
        },
        classes: args.classes,
    };
    let model = Model::build(name, &shape)?;
    let input_size = args.input_size.unwrap_or(info.input_size);
    let counts = model::counts(&model, input_size);
    let inspected = Inspected {
        model: name.clone(),
        input_size,
        parameters: counts.parameters,
        decayed: counts.decayed,
        exempt: counts.exempt,
        macs: counts.macs,
        layers: model::rows(&model, input_size),
        state_dict: state_dict(&Network::new(&model)),
    };
    if args.json {
        return print::json(&inspected);
    }
    print::line(format_args!(
        "{name}: {}, input {input_size} x {input_size}",
        info.source
    ))?;
    print::line(format_args!(
        "parameters {} (decayed {}, exempt {})",
        counts.parameters, counts.decayed, counts.exempt
    ))?;
    print::line(format_args!(
        "MACs       {} (convolutions and linear layers)",
        counts.macs
    ))?;
    print::line(format_args!(
        "{:32} {:16} {:>18} {:>12} {:>14}",
        "layer", "kind", "output", "parameters", "MACs"
    ))?;
    for row in &inspected.layers {
        let [c, h, w] = row.output;
        let output = format!("{c} x {h} x {w}");
        print::line(format_args!(
            "{:32} {:16} {output:>18} {:>12} {:>14}",
            row.name, row.kind, row.parameters, row.macs
        ))?;
    }
    print::line(format_args!("state dict:"))?;
    for row in &inspected.state_dict {
        print::line(format_args!("  {} {:?}", row.name, row.shape))?;
    }
    Ok(())
}

/// Names and shapes: parameters in PyTorch's order, then running statistics.
fn state_dict(network: &Network) -> Vec<StateDictRow> {
    let parameters = network.parameters.iter().map(|p| StateDictRow {
        name: p.name.clone(),
        shape: p.shape.clone(),
    });
    let stats = network.norms.iter().flat_map(|norm| {
        ["running_mean", "running_var"].map(|part| StateDictRow {
            name: format!("{}.{part}", norm.name),
            shape: vec![norm.channels],
        })
    });
    parameters.chain(stats).collect()
}

fn list(json: bool) -> anyhow::Result<()> {
    let rows: Vec<Listed> = MODELS
        .iter()
        .map(|m| Listed {
            name: m.name,
            input_size: m.input_size,
            depths: m.depths,
            source: m.source,
        })
        .collect();
    if json {
        return print::json(&rows);
    }
    for row in rows {
        print::line(format_args!(
            "{:14} {} px, depths {:?}: {}",
            row.name, row.input_size, row.depths, row.source
        ))?;
    }
    Ok(())
}
