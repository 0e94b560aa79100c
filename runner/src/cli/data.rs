//! `runner data`: what may be typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `runner data`.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// The commands about datasets.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// List the datasets of this home and of the catalogue
    List,
    /// Say where a dataset lies, so that recipes may name it
    Add(AddArgs),
    /// Fetch a dataset of the catalogue from its official address, checked, and add it
    Fetch(FetchArgs),
    /// Read every image: counts, sizes, broken files, images in both splits
    Verify(VerifyArgs),
    /// Write a dataset into one file with the original bytes of its images
    Pack(PackArgs),
    /// Write a dataset with boxes or masks in the layout that other programs read
    Write(WriteArgs),
}

/// `runner data write`.
#[derive(Debug, Args)]
pub struct WriteArgs {
    /// Name, as in `runner data list`: fashion-scenes, or one of your own
    pub name: String,
    /// How to arrange the files: voc (boxes) or ade (masks)
    #[arg(long)]
    pub layout: String,
    /// Directory for them; must be empty or not there
    #[arg(long, short, value_name = "DIR")]
    pub out: PathBuf,
}

/// `runner data add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Name in recipes; one of the catalogue or your own
    pub name: String,
    /// Directory, archive or pack
    pub path: PathBuf,
    /// How the files are arranged, if not what is seen: folder, imagenet, cifar10, cifar100, mnist,
    /// places365-standard, places365-challenge (each also -large), shards, pack, voc, ade, fashion-scenes
    #[arg(long)]
    pub layout: Option<String>,
}

/// `runner data fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Name in the catalogue
    pub name: String,
    /// Directory for it, if not RUNGS_DATA/NAME or the user's data directory
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Address of a directory that has the same files, if not the official one
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<String>,
}

/// `runner data verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Name, as in `runner data list`
    pub name: String,
}

/// `runner data pack`.
#[derive(Debug, Args)]
pub struct PackArgs {
    /// Name, as in `runner data list`
    pub name: String,
    /// Make larger images smaller: pixels of the longer side. They are encoded again, which makes it
    /// another dataset
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=65_536))]
    pub max_side: Option<u32>,
    /// File to write, if not NAME.pack
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
