# Kubernetes, built once into the user's cache. $BINARIES are those that the script needs.

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/streamgate"
# What main.go can be called as.
readonly KUBERNETES=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy coredns kubectl)

# Prints the folder that holds them, after building them if need be.
binaries() {
    local name module version folder
    if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
        for name in "${BINARIES[@]}"; do
            [[ -x $KUBEBUILDER_ASSETS/$name ]] ||
                fail "there is no $name in KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS: put it there, or unset the variable"
        done
        [[ "$("$KUBEBUILDER_ASSETS/kube-apiserver" --version)" == *" v${KUBERNETES_VERSION:-}"* ]] ||
            fail "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS is not of Kubernetes $KUBERNETES_VERSION: unset one of the two"
        echo "$KUBEBUILDER_ASSETS"
        return
    fi
    module="$(module_file)"
    version="$(version_of "$module")"
    if folder="$(on_path "$version")"; then
        echo "$folder"
        return
    fi
    folder="$CACHE/kubernetes-$version-$(fingerprint "$module")"
    make_once kubernetes "$folder" compile "$module" "$version"
    echo "$folder"
}

# The folder of the PATH that has them all, of this version.
on_path() {
    local version="$1" folder name
    folder="$(command -v kube-apiserver)" || return 1
    folder="$(dirname "$folder")"
    for name in "${BINARIES[@]}"; do
        [[ -x $folder/$name ]] || return 1
    done
    [[ "$("$folder/kube-apiserver" --version)" == "Kubernetes $version" ]] || return 1
    echo "$folder"
}

module_file() {
    local module versions=()
    if [[ -z ${KUBERNETES_VERSION:-} ]]; then
        echo "$HERE/kubernetes/go.mod"
        return
    fi
    for module in "$HERE"/kubernetes/*.mod; do
        if [[ "$(version_of "$module")." == "v$KUBERNETES_VERSION."* ]]; then
            echo "$module"
            return
        fi
        versions+=("$(version_of "$module")")
    done
    fail "KUBERNETES_VERSION=$KUBERNETES_VERSION is none of those that there are: ${versions[*]}"
}

version_of() {
    sed -nE 's/^(require)?[[:space:]]+k8s\.io\/kubernetes (v[0-9.]+)$/\2/p' "$1"
}

# Of all that the binary depends on.
fingerprint() {
    { cat "$HERE"/kubernetes/*.go "$1" "${1%.mod}.sum" && declare -f compile && echo "${KUBERNETES[@]}"; } |
        sha256sum | cut -c1-12
}

# Makes a folder of the cache by a command, which gets the folder as its first argument.
make_once() {
    local what="$1" folder="$2"
    shift 2
    [[ ! -e $folder ]] || return 0
    mkdir -p "$CACHE"
    # Whoever comes second waits, and finds it made.
    (
        flock 9
        [[ ! -e $folder ]] || return 0
        rm -rf "$folder.unfinished"
        mkdir "$folder.unfinished"
        "$1" "$folder.unfinished" "${@:2}"
        mv "$folder.unfinished" "$folder"
    ) 9>"$CACHE/$what.lock"
}

# The components misbehave where they don't know their version.
compile() {
    local folder="$1" module="$2" version="$3" flags="-s -w" package name
    command -v go >/dev/null || fail "Kubernetes is built by Go, which isn't installed: scripts/install-tools says how"
    local major_and_minor="${version#v}"
    local major="${major_and_minor%%.*}" minor="${major_and_minor#*.}"
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=${minor%%.*}"
        flags+=" -X $package.gitCommit=unknown -X $package.gitTreeState=clean -X $package.buildDate=1970-01-01T00:00:00Z"
    done
    echo "building Kubernetes $version, once, in ${folder%.unfinished} (some minutes)" >&2
    # `auto`: a Go that is older than what go.mod wants gets that one by itself.
    (cd "$HERE/kubernetes" && CGO_ENABLED=0 GOTOOLCHAIN="${GOTOOLCHAIN:-auto}" GOWORK=off \
        go build -modfile="$module" -trimpath -ldflags "$flags" -o "$folder/kubernetes" .) >&2
    for name in "${KUBERNETES[@]}"; do
        ln -s kubernetes "$folder/$name"
    done
}
