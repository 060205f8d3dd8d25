# etcd, kube-apiserver and kube-controller-manager. The script says by API_ADDRESS where the API server is found, by API_FLAGS
# what else it is started with, and by CONTROLLERS which of the controllers run.

readonly SERVICE_RANGE=10.96.0.0/16 SERVICE_ADDRESS=10.96.0.1

# The functions below are about the one that was opened.
open() {
    [[ -e ${1:-}/ports ]] || fail "there is none in '${1:-}': make one by ${SELF##*/} up DIR"
    DIR="$(cd "$1" && pwd)"
    read -r ETCD_PORT API_PORT <"$DIR/ports"
    # To kubectl, so that nothing of the user's own settings has a say.
    export KUBECONFIG="$DIR/kubeconfig" KUBECACHEDIR="$DIR/cache" KUBERC=off
}

check_component() {
    [[ " ${COMPONENTS[*]} " == *" $1 "* ]] || fail "'$1' is no component: write one of ${COMPONENTS[*]}"
}

# Returns once it serves. One that runs is left alone.
start() {
    is_running "$1" || "start_$1"
    if declare -F "await_$1" >/dev/null; then
        "await_$1"
    fi
}

start_etcd() {
    launch etcd "$DIR/bin/etcd" --data-dir="$DIR/etcd" --unsafe-no-fsync --log-level=warn \
        --listen-client-urls="http://127.0.0.1:$ETCD_PORT" --advertise-client-urls="http://127.0.0.1:$ETCD_PORT" \
        --listen-peer-urls=http://127.0.0.1:0
}

await_etcd() {
    wait_for etcd "etcd's health" curl -fsS -m 5 "http://127.0.0.1:$ETCD_PORT/health"
}

start_kube-apiserver() {
    launch kube-apiserver "$DIR/bin/kube-apiserver" "${API_FLAGS[@]}" \
        --bind-address="$API_ADDRESS" --secure-port="$API_PORT" --advertise-address="$API_ADDRESS" \
        --etcd-servers="http://127.0.0.1:$ETCD_PORT" --service-cluster-ip-range="$SERVICE_RANGE" --allow-privileged=true \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
        --client-ca-file="$DIR/pki/ca.crt" --tls-cert-file="$DIR/pki/server.crt" --tls-private-key-file="$DIR/pki/server.key" \
        --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$DIR/pki/tokens.pub" \
        --service-account-signing-key-file="$DIR/pki/tokens.key" \
        --audit-policy-file="$DIR/audit-policy.yaml" --audit-log-path="$DIR/audit.log" --audit-log-maxsize=100000
}

await_kube-apiserver() {
    wait_for kube-apiserver "the API server's /readyz" request /readyz
}

# By its default of 20 requests a second, the first ServiceAccount comes after 9 seconds.
start_kube-controller-manager() {
    launch kube-controller-manager "$DIR/bin/kube-controller-manager" --kubeconfig="$DIR/pki/controller-manager.kubeconfig" \
        --kube-api-qps=300 --kube-api-burst=600 --leader-elect=false --use-service-account-credentials \
        --controllers="$CONTROLLERS" --secure-port=0 --root-ca-file="$DIR/pki/ca.crt" \
        --service-account-private-key-file="$DIR/pki/tokens.key"
}

await_first_service_account() {
    wait_for kube-controller-manager "the ServiceAccount default" \
        request /api/v1/namespaces/default/serviceaccounts/default
}

# With open watches the API server takes a minute to end by itself.
stop() {
    [[ $1 == kube-apiserver ]] || end_by TERM "$1" 10
    end_by KILL "$1"
}

request() {
    curl -fsS -m 5 --cacert "$DIR/pki/ca.crt" --cert "$DIR/pki/admin.crt" --key "$DIR/pki/admin.key" \
        "https://$API_ADDRESS:$API_PORT$1"
}

# --- what a new one is made of

prepare() {
    ETCD_PORT="$1" API_PORT="$2"
    ln -sfn "$(binaries)" "$DIR/bin"
    printf '%s\n' 'apiVersion: audit.k8s.io/v1' 'kind: Policy' 'omitStages: [RequestReceived]' \
        'rules: [{level: Metadata}]' >"$DIR/audit-policy.yaml"
    make_pki
    certificate_kubeconfig admin >"$DIR/kubeconfig"
    certificate_kubeconfig controller-manager >"$DIR/pki/controller-manager.kubeconfig"
}

# Last, for it is what tells one from any folder.
prepared() {
    echo "$ETCD_PORT $API_PORT" >"$DIR/ports"
}

certificate_kubeconfig() {
    local certificate key
    certificate="$(base64 -w0 "$DIR/pki/$1.crt")"
    key="$(base64 -w0 "$DIR/pki/$1.key")"
    kubeconfig_with default "client-certificate-data: $certificate" "client-key-data: $key"
}

# For the user of these lines.
kubeconfig_with() {
    local namespace="$1"
    shift
    cat <<END
apiVersion: v1
kind: Config
clusters:
  - name: test
    cluster:
      server: https://$API_ADDRESS:$API_PORT
      certificate-authority-data: $(base64 -w0 "$DIR/pki/ca.crt")
users:
  - name: test
    user:
$(printf '      %s\n' "$@")
contexts:
  - name: test
    context: {cluster: test, user: test, namespace: $namespace}
current-context: test
END
}

make_pki() {
    certify ca /CN=kubernetes -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign
    local names=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
    issue server /CN=kube-apiserver serverAuth \
        -addext "subjectAltName=$names,DNS:localhost,IP:$API_ADDRESS,IP:$SERVICE_ADDRESS"
    issue admin /O=system:masters/CN=admin clientAuth
    issue controller-manager /CN=system:kube-controller-manager clientAuth
    openssl ecparam -name prime256v1 -genkey -noout -out "$DIR/pki/tokens.key"
    openssl ec -in "$DIR/pki/tokens.key" -pubout -out "$DIR/pki/tokens.pub" 2>/dev/null
}

issue() {
    local name="$1" subject="$2" usage="$3"
    shift 3
    certify "$name" "$subject" -CA "$DIR/pki/ca.crt" -CAkey "$DIR/pki/ca.key" \
        -addext basicConstraints=critical,CA:FALSE -addext "extendedKeyUsage=$usage" "$@"
}

certify() {
    local name="$1" subject="$2"
    shift 2
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 365 -subj "$subject" \
        -keyout "$DIR/pki/$name.key" -out "$DIR/pki/$name.crt" "$@" 2>/dev/null || fail "openssl can't certify $name"
}
