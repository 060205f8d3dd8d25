# The images that tests run, made of this machine's programs, once, into the user's cache: archives that `ctr images import`,
# `docker load` and `podman load` take. Times and owners in them are fixed, so that the same programs make the same image.

readonly MOSQUITTO_IMAGE=streamgate.test/mosquitto:1
readonly PAUSE_IMAGE=streamgate.test/pause:1
readonly MOSQUITTO=(mosquitto mosquitto_pub mosquitto_sub mosquitto_rr mosquitto_passwd)

# Prints the folder that holds them, and the program pause.
images() {
    local folder programs
    programs="$(command -v "${MOSQUITTO[@]}" busybox)"
    mapfile -t programs <<<"$programs"
    folder="$CACHE/images-$(cat "$HERE/parts/images.bash" "$HERE/images/pause.c" "${programs[@]}" | sha256sum | cut -c1-12)"
    make_once images "$folder" make_images
    echo "$folder"
}

make_images() {
    local folder="$1"
    umask 022
    gcc -static -O2 -s -o "$folder/pause" "$HERE/images/pause.c"
    make_pause "$folder/root"
    pack "$folder/root" "$PAUSE_IMAGE" '{"Entrypoint": ["/pause"]}' >"$folder/pause.tar"
    make_mosquitto "$folder/root"
    pack "$folder/root" "$MOSQUITTO_IMAGE" '{
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"],
        "ExposedPorts": {"1883/tcp": {}}
    }' >"$folder/mosquitto.tar"
}

make_pause() {
    mkdir "$1"
    cp "${1%/*}/pause" "$1/pause"
}

# Used as eclipse-mosquitto is: the same paths, a shell, nothing that must be written.
make_mosquitto() {
    local root="$1" name file
    mkdir -p "$root"/{bin,etc,tmp,usr/bin,usr/sbin,mosquitto/{config,data,log}}
    chmod 1777 "$root/tmp"
    for name in "${MOSQUITTO[@]}"; do
        file="$(command -v "$name")"
        install -D -m 755 "$file" "$root$file"
        # Libraries, and the loader, under the names that they are asked for by.
        while read -r file; do
            install -D -m 755 "$file" "$root$file"
        done < <(ldd "$file" | grep -oE '/[^ ]+')
    done
    install -m 755 "$(command -v busybox)" "$root/bin/busybox"
    for name in $("$root/bin/busybox" --list); do
        [[ -e $root/bin/$name ]] || ln -s busybox "$root/bin/$name"
    done
    printf '%s\n' 'root:x:0:0::/:/bin/sh' 'mosquitto:x:1883:1883::/:/bin/sh' >"$root/etc/passwd"
    printf '%s\n' 'root:x:0:' 'mosquitto:x:1883:' >"$root/etc/group"
    echo '# By its defaults: port 1883 on loopback.' >"$root/mosquitto/config/mosquitto.conf"
}

# Makes an archive of that folder, which goes, as the only layer.
pack() {
    local root="$1" name="$2" config="$3" image="$1.image" architecture
    architecture="$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')"
    mkdir "$image"
    archive "$root" >"$image/layer.tar"
    echo "{\"architecture\": \"$architecture\", \"os\": \"linux\", \"config\": $config, \"rootfs\": {\"type\": \"layers\",
        \"diff_ids\": [\"sha256:$(sha256sum <"$image/layer.tar" | cut -d' ' -f1)\"]}}" >"$image/config.json"
    echo "[{\"Config\": \"config.json\", \"RepoTags\": [\"$name\"], \"Layers\": [\"layer.tar\"]}]" >"$image/manifest.json"
    archive "$image"
    rm -r "$root" "$image"
}

archive() {
    tar --create --directory "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu .
}
