//! Names of the classes of datasets whose files do not say them, in the order of their labels.

const FASHION_MNIST: &str =
    "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot";
const MNIST: &str = "0,1,2,3,4,5,6,7,8,9";
const KMNIST: &str = "o,ki,su,tsu,na,ha,ma,ya,re,wo";
const CIFAR10: &str = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck";
const CIFAR100: &str = "apple,aquarium_fish,baby,bear,beaver,bed,bee,beetle,bicycle,bottle,bowl,boy,bridge,\
    bus,butterfly,camel,can,castle,caterpillar,cattle,chair,chimpanzee,clock,cloud,cockroach,couch,crab,\
    crocodile,cup,dinosaur,dolphin,elephant,flatfish,forest,fox,girl,hamster,house,kangaroo,keyboard,lamp,\
    lawn_mower,leopard,lion,lizard,lobster,man,maple_tree,motorcycle,mountain,mouse,mushroom,oak_tree,\
    orange,orchid,otter,palm_tree,pear,pickup_truck,pine_tree,plain,plate,poppy,porcupine,possum,rabbit,\
    raccoon,ray,road,rocket,rose,sea,seal,shark,shrew,skunk,skyscraper,snail,snake,spider,squirrel,\
    streetcar,sunflower,sweet_pepper,table,tank,telephone,television,tiger,tractor,train,trout,tulip,\
    turtle,wardrobe,whale,willow_tree,wolf,woman,worm";

/// Names of the classes of a dataset of the catalogue; none of one whose files say them.
pub(super) fn of(name: &str) -> Vec<String> {
    let names = match name {
        "fashion-mnist" => FASHION_MNIST,
        "mnist" => MNIST,
        "kmnist" => KMNIST,
        "cifar10" => CIFAR10,
        "cifar100" => CIFAR100,
        _ => return Vec::new(),
    };
    names.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_names_as_the_catalogue_has_classes_and_cifars_are_sorted() {
        for dataset in ["fashion-mnist", "mnist", "kmnist", "cifar10", "cifar100"] {
            let entry = rungs_spec::dataset::find(dataset).unwrap();
            assert_eq!(of(dataset).len(), entry.classes as usize, "{dataset}");
        }
        assert!(of("cifar10").is_sorted() && of("cifar100").is_sorted());
        assert_eq!(of("cifar100")[47], "maple_tree");
    }
}
