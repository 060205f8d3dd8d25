# The network, the mounts, the numbers of processes and the cgroups that a cluster has to itself. No packet leaves them, and
# they end, with all that is in them, with their first process.

# An address of the node that pods and the API server can use, which one on loopback is not.
readonly NODE_ADDRESS=10.250.0.1
# Where components keep state in paths that can't be chosen.
readonly HIDDEN=(/run /var/log /var/lib)
# kubelet sets these for the whole machine, so it finds them set.
readonly SYSCTLS=(vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000
    kernel/keys/root_maxbytes=25000000)
readonly CGROUPS=/sys/fs/cgroup
# Which controllers clusters had the root of cgroups give out.
readonly GIVEN_CONTROLLERS=/run/streamgate-controllers

check_folder() {
    local folder hidden
    folder="$(realpath --canonicalize-missing "$1")"
    for hidden in "${HIDDEN[@]}"; do
        [[ "$folder/" != "$hidden"/* ]] ||
            fail "$folder would be hidden in the cluster, whose $hidden is its own: name another folder"
    done
    [[ $folder != *[,:\"\\]* ]] ||
        fail "$folder has a comma, a colon, a quote or a backslash, which mounts and settings can't have: name another folder"
}

make_namespaces() {
    local unshare pid
    launch namespaces unshare --net --mount --pid --fork --kill-child --propagation private --mount-proc "$SELF" boot "$DIR"
    read -r unshare _ <"$DIR/pids/namespaces"
    wait_for namespaces "the first process of the namespaces" has_child "$unshare"
    # From now on it is this one that stands for all, for it is the last to end.
    pid="$(has_child "$unshare")"
    echo "$pid $(started "$pid")" >"$DIR/pids/namespaces"
    wait_for namespaces "the network of the namespaces" grep -qx pause "/proc/$pid/comm"
    readlink "/proc/$pid/ns/pid" >"$DIR/namespace"
    make_cgroups
}

has_child() {
    pgrep --parent "$1"
}

# Is the first process.
boot() {
    local folder="$1" setting
    mount --make-rshared /
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /var/log
    mkdir -p "$folder/var-lib/"{upper,work}
    mount -t overlay -o "lowerdir=/var/lib,upperdir=$folder/var-lib/upper,workdir=$folder/var-lib/work" overlay /var/lib
    mkdir /run/sysctls
    for setting in "${SYSCTLS[@]}"; do
        echo "${setting#*=}" >"/run/sysctls/${setting//\//.}"
        mount --bind "/run/sysctls/${setting//\//.}" "/proc/sys/${setting%=*}"
    done
    ip link set lo up
    # A bridge without ports, for not every kernel has dummy devices. The route is for Services' addresses, which packets
    # have until the packet filter gives them another.
    ip link add node type bridge
    ip address add "$NODE_ADDRESS/24" dev node
    ip link set node up
    ip route add default dev node
    echo 1 >/proc/sys/net/ipv4/ip_forward
    exec "$folder/images/pause"
}

# --- cgroups

cgroup_name() {
    tr -dc 0-9 <"$DIR/namespace" | sed 's/^/streamgate-/'
}

# One in each hierarchy: a single one with version 2.
cgroups() {
    local root
    if is_version_2; then
        echo "$CGROUPS/$(cgroup_name)"
        return
    fi
    for root in "$CGROUPS"/*/; do
        [[ -L ${root%/} ]] || echo "$root$(cgroup_name)"
    done
}

is_version_2() {
    [[ -e $CGROUPS/cgroup.controllers ]]
}

make_cgroups() {
    local folder
    for folder in $(cgroups); do
        mkdir -p "$folder"
    done
    ! is_version_2 || give_controllers
}

# With version 2, a cgroup has the controllers that the one above it gives. kubelet doesn't start without them, and gives all of
# them, from the root down. The cluster's own gives them on, which keeps them from being taken back while it is there.
give_controllers() {
    local group controller
    group="$(cgroups)"
    (
        flock 9
        for controller in $(cat "$CGROUPS/cgroup.controllers"); do
            grep -qw "$controller" "$CGROUPS/cgroup.subtree_control" || echo "$controller" >>"$GIVEN_CONTROLLERS"
            # One that can't be given may be none that kubelet wants, else kubelet says so.
            write_controller "+$controller" "$CGROUPS" && write_controller "+$controller" "$group" || true
        done
    ) 9<"$CGROUPS"
}

# Those that the root gave to no cgroup before there were clusters. One that another cluster has is left to it.
take_controllers_back() {
    local controller
    (
        flock 9
        [[ -e $GIVEN_CONTROLLERS ]] || exit 0
        for controller in $(cat "$GIVEN_CONTROLLERS"); do
            ! write_controller "-$controller" "$CGROUPS" || sed -i "/^$controller\$/d" "$GIVEN_CONTROLLERS"
        done
        [[ -s $GIVEN_CONTROLLERS ]] || rm "$GIVEN_CONTROLLERS"
    ) 9<"$CGROUPS"
}

write_controller() {
    { echo "$1" >"$2/cgroup.subtree_control"; } 2>/dev/null
}

# --- from outside

is_inside() {
    [[ "$(readlink /proc/self/ns/pid)" == "$(cat "$DIR/namespace" 2>/dev/null)" ]]
}

# Runs a command in them, in the present folder. It ends with this process.
enter() {
    local pid
    if is_inside; then
        exec "$@"
    fi
    is_running namespaces || fail "the cluster in $DIR isn't up: start it by cluster up $DIR"
    read -r pid _ <"$DIR/pids/namespaces"
    exec nsenter --target "$pid" --net --mount --pid --wdns="$PWD" -- setpriv --pdeathsig KILL -- "$@"
}

end_namespaces() {
    local folder deadline=$((SECONDS + PATIENCE_SECONDS))
    end_by KILL namespaces
    [[ -e $DIR/namespace ]] || return 0
    for folder in $(cgroups); do
        # Where a process has only just ended, its cgroup is busy for a moment.
        until remove_cgroup "$folder"; do
            ((SECONDS < deadline)) || fail "can't remove $folder"
            sleep 0.05
        done
    done
    ! is_version_2 || take_controllers_back
    rm "$DIR/namespace"
}

remove_cgroup() {
    [[ ! -e $1 ]] || find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
}
