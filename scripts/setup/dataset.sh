# shellcheck shell=bash
# Fashion-MNIST, from its Debian package.

DATASET_PACKAGE=dataset-fashion-mnist

setup_dataset() {
    local folder=
    if ! folder=$(find_dataset); then
        if [ "$(id -u)" -eq 0 ] && has apt-get; then
            install_packages "Fashion-MNIST" "$DATASET_PACKAGE"
        else
            unpack_dataset
        fi
        folder=$(find_dataset) || fail "Fashion-MNIST is missing" "sudo apt-get install -y $DATASET_PACKAGE"
    fi
    say "Fashion-MNIST in $folder"
}

find_dataset() {
    local folder
    for folder in ${LOSSMITH_DATA:+"$LOSSMITH_DATA/fashion-mnist"} .data/fashion-mnist /usr/share/datasets/fashion-mnist; do
        if has_all_parts "$folder"; then
            echo "$folder"
            return
        fi
    done
    return 1
}

has_all_parts() {
    local part
    for part in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
        [ -s "$1/$part-ubyte.gz" ] || [ -s "$1/$part-ubyte" ] || return 1
    done
}

# Without root a package can still be downloaded and unpacked.
unpack_dataset() {
    local command="sudo apt-get install -y $DATASET_PACKAGE"
    has apt-get || fail "Fashion-MNIST is missing" \
        "LOSSMITH_DATA=<folder with fashion-mnist/train-images-idx3-ubyte.gz and so on> scripts/setup.sh"
    say "downloading $DATASET_PACKAGE into .data/fashion-mnist (30 MB)"
    rm -rf .data.tmp
    mkdir -p .data.tmp .data
    (cd .data.tmp && apt-get download "$DATASET_PACKAGE") || fail "Fashion-MNIST could not be downloaded" "$command"
    dpkg -x .data.tmp/*.deb .data.tmp || fail "the package of Fashion-MNIST could not be unpacked" "$command"
    rm -rf .data/fashion-mnist
    mv .data.tmp/usr/share/datasets/fashion-mnist .data/fashion-mnist
    rm -rf .data.tmp
}
