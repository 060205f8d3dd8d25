# What makes a node of the control plane: containerd, kubelet, kube-proxy, and the names of Services, by CoreDNS. And
# kube-scheduler, which has nothing to do without one.

readonly NODE=node1
readonly POD_RANGE=10.244.0.0/24

# For the components beyond the control plane's.
prepare_node() {
    issue kubelet "/O=system:nodes/CN=system:node:$NODE" clientAuth
    issue kubelet-server "/CN=$NODE" serverAuth -addext "subjectAltName=DNS:$NODE,IP:$NODE_ADDRESS"
    issue kube-scheduler /CN=system:kube-scheduler clientAuth
    issue kube-proxy /CN=system:kube-proxy clientAuth
    issue coredns /O=system:masters/CN=coredns clientAuth
    local name
    for name in kubelet kube-scheduler kube-proxy coredns; do
        certificate_kubeconfig "$name" >"$DIR/pki/$name.kubeconfig"
    done
}

start_kube-scheduler() {
    launch kube-scheduler "$DIR/bin/kube-scheduler" --kubeconfig="$DIR/pki/kube-scheduler.kubeconfig" \
        --leader-elect=false --secure-port=0
}

# --- containers

start_containerd() {
    cat >"$DIR/containerd.toml" <<END
version = 2
root = "$DIR/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$DIR/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
END
    mkdir -p "$DIR/cni"
    cat >"$DIR/cni/pods.conflist" <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "$POD_RANGE"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
    launch containerd containerd --config "$DIR/containerd.toml"
}

await_containerd() {
    wait_for containerd "containerd's answer" ctr version
}

# --- the node

start_kubelet() {
    cat >"$DIR/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: "$DIR/pki/ca.crt"}
authorization: {mode: Webhook}
tlsCertFile: "$DIR/pki/kubelet-server.crt"
tlsPrivateKeyFile: "$DIR/pki/kubelet-server.key"
clusterDomain: cluster.local
clusterDNS: [$NODE_ADDRESS]
resolvConf: ""
cgroupDriver: cgroupfs
cgroupRoot: /$(cgroup_name)
failCgroupV1: false
failSwapOn: false
featureGates: {KubeletInUserNamespace: true}
makeIPTablesUtilChains: false
podLogsDir: "$DIR/pods"
volumePluginDir: "$DIR/volume-plugins"
# ConfigMaps and Secrets reach pods within this time.
syncFrequency: 10s
# The disk is the machine's: how full it is says nothing here.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 50Mi, nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
END
    launch kubelet "$DIR/bin/kubelet" --config="$DIR/kubelet.yaml" --kubeconfig="$DIR/pki/kubelet.kubeconfig" \
        --root-dir="$DIR/kubelet" --cert-dir="$DIR/pki" --hostname-override="$NODE" --node-ip="$NODE_ADDRESS"
}

await_kubelet() {
    wait_for kubelet "kubelet's health" curl -fsS -m 5 http://127.0.0.1:10248/healthz
}

await_node() {
    wait_for kubelet "the node to be Ready" kubectl wait --for=condition=Ready --timeout=5s "node/$NODE"
}

# By its own minSyncPeriod of a second, a Service would be refused for that long after its pods are ready.
start_kube-proxy() {
    cat >"$DIR/kube-proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: "$DIR/pki/kube-proxy.kubeconfig"}
mode: nftables
clusterCIDR: $POD_RANGE
hostnameOverride: $NODE
nftables: {minSyncPeriod: 50ms}
# These are of the whole machine.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
    launch kube-proxy "$DIR/bin/kube-proxy" --config="$DIR/kube-proxy.yaml"
}

await_kube-proxy() {
    wait_for kube-proxy "the Service kubernetes" curl -sSk -m 5 "https://$SERVICE_ADDRESS/"
}

# Other names than the cluster's don't exist, for there is nobody to ask.
start_coredns() {
    cat >"$DIR/Corefile" <<END
cluster.local in-addr.arpa ip6.arpa {
    bind $NODE_ADDRESS
    errors
    ready 127.0.0.1:8181
    kubernetes {
        kubeconfig "$DIR/pki/coredns.kubeconfig"
    }
}
. {
    bind $NODE_ADDRESS
    template ANY ANY {
        rcode NXDOMAIN
    }
}
END
    launch coredns "$DIR/bin/coredns" -conf "$DIR/Corefile"
}

await_coredns() {
    wait_for coredns "CoreDNS to be ready" curl -fsS -m 5 http://127.0.0.1:8181/ready
}
