# A device with a certificate gets its message to the broker, and one without is refused. Until the routes count, the first is
# refused too, and tries again.
device() {
    mosquitto_pub -V 5 -h "$SERVER_NAME" -p "$PORT" --cafile /run/device/ca.crt -i helm-test-device \
        -t streamgate/helm-test -m through -q 1 "$@"
}

deadline=$(($(date +%s) + DEADLINE_SECONDS))
until device --cert /run/device/tls.crt --key /run/device/tls.key; do
    if [ "$(date +%s)" -ge "$deadline" ]; then
        echo "the device did not get through to $SERVER_NAME:$PORT within $DEADLINE_SECONDS seconds: does the gateway allow this name in this namespace (allowedNamespaces, domains)?"
        exit 1
    fi
    sleep 1
done
if device; then
    echo "a device without a certificate got through"
    exit 1
fi
echo "a device got through to $SERVER_NAME:$PORT, and one without a certificate did not"
